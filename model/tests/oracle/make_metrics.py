#!/usr/bin/env python3
"""Scores by scikit-learn of predictions that src/metrics/oracle.rs makes by the same formula.

usage: make_metrics.py > metrics.json        (scikit-learn, numpy)
"""
import json
import sys

import numpy as np
import sklearn
from sklearn import metrics


def scores(classes: int, count: int) -> dict:
    index = np.arange(count)
    labels = (index * 7 % 11) % classes
    # Coarse steps, so that scores are tied across classes.
    raw = np.stack([(index * (13 + 5 * c) + c * c) % 17 + 9 * (labels == c) * (index % 3 > 0) for c in range(classes)], axis=1) + 1
    probabilities = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    predicted = probabilities.argmax(axis=1)
    if classes == 2:
        auroc = metrics.roc_auc_score(labels, probabilities[:, 1])
    else:
        auroc = np.mean([metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in range(classes)])
    macro = metrics.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    each = metrics.precision_recall_fscore_support(labels, predicted, average=None, zero_division=0, labels=range(classes))
    return {
        "classes": classes, "count": count,
        "confusion": metrics.confusion_matrix(labels, predicted, labels=range(classes)).tolist(),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro": [float(x) for x in macro[:3]],
        "micro_f1": metrics.f1_score(labels, predicted, average="micro"),
        "per_class": [[float(x) for x in column] for column in zip(*each)],
        "auroc": float(auroc),
    }


json.dump({"scikit-learn": sklearn.__version__, "cases": [scores(2, 40), scores(3, 97), scores(5, 64)]}, sys.stdout)
