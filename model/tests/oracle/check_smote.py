#!/usr/bin/env python3
"""Whether imbalanced-learn makes the same synthetic samples from the same slices.

usage: check_smote.py FOLDER        (imbalanced-learn, scikit-learn, numpy)

FOLDER is written by src/balance/oracle.rs for one class: `slices.f32` and `made.f32` are images
of single precision one after another, and `smote.json` names what they were made of.
"""
import json
import sys
from pathlib import Path

import imblearn
import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.neighbors import NearestNeighbors

folder = Path(sys.argv[1])
told = json.loads((folder / "smote.json").read_text())
k, length = told["k"], told["length"]
slices = np.fromfile(folder / "slices.f32", dtype="<f4").reshape(-1, length)
made = np.fromfile(folder / "made.f32", dtype="<f4").reshape(-1, length)
seeds, ends, shares = (np.array(told[name]) for name in ("seeds", "neighbours", "shares"))
nearest = NearestNeighbors(n_neighbors=k + 1).fit(slices).kneighbors(slices, return_distance=False)[:, 1:]

# Every segment goes from a slice to one of its k nearest, as scikit-learn finds them.
columns = np.array([np.flatnonzero(nearest[seed] == end)[0] if end in nearest[seed] else -1 for seed, end in zip(seeds, ends)])
assert (columns >= 0).all(), f"no nearest neighbour of its seed: samples {np.flatnonzero(columns < 0).tolist()}"
assert set(columns) == set(range(k)), "some neighbours are never chosen"

# At the same seeds, neighbours and shares imbalanced-learn makes the same samples.
sampler = SMOTE(k_neighbors=k, random_state=0)
theirs = sampler._generate_samples(slices, slices, nearest, seeds, columns, shares[:, None])
difference = np.abs(theirs - made).max()
assert difference <= 1e-6, f"the same segments give samples that differ by {difference}"

# Left to itself it makes as many, each on a segment from a slice to one of the neighbours found here.
ours = np.array(told["nearest"])
majority = np.zeros((len(slices) + len(made), length), dtype=np.float32)
classes = np.repeat([1, 0], [len(slices), len(majority)])
its_own = sampler.fit_resample(np.concatenate([slices, majority]), classes)[0][len(classes):]
assert its_own.shape == made.shape, f"{len(made)} samples made here, {len(its_own)} there"
for sample in its_own:
    starts, stops = np.repeat(slices, k, axis=0), slices[ours.ravel()]
    along = stops - starts
    share = ((sample - starts) * along).sum(axis=1) / (along * along).sum(axis=1)
    beside = np.abs(starts + share.clip(0, 1)[:, None] * along - sample).max(axis=1)
    assert beside.min() <= 1e-5, f"a sample of imbalanced-learn is {beside.min()} beside every segment"

print(f"imbalanced-learn {imblearn.__version__}: {len(made)} samples of {len(slices)} slices agree to {difference:.1e}")
