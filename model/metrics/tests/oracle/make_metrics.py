#!/usr/bin/env python3
"""Scores by scikit-learn of predictions that src/scikit_learn_reference.rs makes by the same formula.

usage: make_metrics.py > metrics.json        (scikit-learn, numpy)
"""
import json
import sys

import numpy as np
import sklearn
from sklearn import calibration, metrics


def scores(classes: int, count: int, slices: int) -> dict:
    """`slices` of each patient, who has one label; scored by slice and by patient."""
    index = np.arange(count)
    patient = index // slices
    labels = (patient * 7 % 11) % classes
    # Coarse steps, so that scores are tied across classes.
    raw = np.stack([(index * (13 + 5 * c) + c * c) % 17 + 9 * (labels == c) * (index % 3 > 0) for c in range(classes)], axis=1) + 1
    probabilities = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    first = np.flatnonzero(np.diff(patient, prepend=-1))
    means = np.stack([probabilities[patient == p].astype(np.float64).mean(axis=0) for p in patient[first]]).astype(np.float32)
    return {
        "classes": classes, "count": count, "slices": slices,
        "by_slice": table(classes, labels, probabilities),
        "by_patient": table(classes, labels[first], means),
    }


def table(classes: int, labels: np.ndarray, probabilities: np.ndarray) -> dict:
    predicted = probabilities.argmax(axis=1)
    each_auroc = [float(metrics.roc_auc_score(labels == c, probabilities[:, c])) for c in range(classes)]
    average = {
        kind: [float(x) for x in metrics.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)[:3]]
        for kind in ("macro", "micro")
    }
    each = metrics.precision_recall_fscore_support(labels, predicted, average=None, zero_division=0, labels=range(classes))
    return {
        "confusion": metrics.confusion_matrix(labels, predicted, labels=range(classes)).tolist(),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        **average,
        "per_class": [[float(x) for x in column] for column in zip(*each)],
        "auroc": each_auroc[1] if classes == 2 else float(np.mean(each_auroc)),
        "auroc_of_class": each_auroc,
        "roc": [curve(labels == c, probabilities[:, c]) for c in range(classes)],
        "average_precision": [float(metrics.average_precision_score(labels == c, probabilities[:, c])) for c in range(classes)],
        "precision_recall": [precision_recall(labels == c, probabilities[:, c]) for c in range(classes)],
        "brier": brier(labels, probabilities.astype(np.float64)),
        "calibration": [bins(labels == c, probabilities[:, c].astype(np.float64)) for c in range(classes)],
    }


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Of two classes scikit-learn's; of more its multiclass form, halved likewise."""
    if probabilities.shape[1] == 2:
        return float(metrics.brier_score_loss(labels == 1, probabilities[:, 1]))
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean() / 2)


def bins(positive: np.ndarray, score: np.ndarray) -> list:
    """Pairs (mean probability, share of positives) of the bins that hold a sample."""
    observed, predicted = calibration.calibration_curve(positive, score, n_bins=10, strategy="uniform")
    return [[float(a), float(b)] for a, b in zip(predicted, observed)]


def precision_recall(positive: np.ndarray, score: np.ndarray) -> list:
    """Points (precision, recall, threshold) from the highest threshold down."""
    precision, recall, threshold = metrics.precision_recall_curve(positive, score, drop_intermediate=False)
    return [[float(a), float(b), float(c)] for a, b, c in zip(precision, recall, threshold)][::-1]


def curve(positive: np.ndarray, score: np.ndarray) -> list:
    """Points (false positive rate, true positive rate, threshold) after the first, whose threshold is infinite."""
    points = zip(*metrics.roc_curve(positive, score, drop_intermediate=False))
    return [[float(x) for x in point] for point in points][1:]


cases = [scores(2, 40, 1), scores(3, 97, 1), scores(5, 64, 1), scores(2, 80, 4), scores(3, 100, 3)]
json.dump({"scikit-learn": sklearn.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
