#!/usr/bin/env python3
"""Transforms by torchvision and synthetic samples by imbalanced-learn: writes balance.json, which
src/balance/oracle.rs reads.

usage: make_balance.py > balance.json        (torch, torchvision, imbalanced-learn, scikit-learn, numpy)

Inputs come from the integer formula of make_reference.py, which both sides compute.
"""
import json
import sys

import imblearn
import numpy as np
import sklearn
import torch
import torchvision
from imblearn.over_sampling import SMOTE
from make_reference import noise
from sklearn.neighbors import NearestNeighbors
from torchvision.transforms import functional

SIDE, STRIDE = 128, 61
BACKGROUND = -0.75
TRANSFORMS = [  # flip, degrees, shift to the right and downwards in pixels
    (True, 0.0, (0.0, 0.0)),
    (False, 20.0, (0.0, 0.0)),
    (False, 0.0, (12.8, -12.8)),
    (False, -7.3, (-4.25, 9.5)),
    (True, 13.37, (11.0, -3.6)),
]
POINTS, LENGTH, MADE, NEIGHBOURS = 40, 24, 30, 5


def transformed(flip: bool, degrees: float, shift) -> dict:
    image = torch.from_numpy(noise("slice", SIDE * SIDE).astype(np.float32) * np.float32(3.5))
    image = image.double().view(1, SIDE, SIDE) - BACKGROUND
    if flip:
        image = functional.hflip(image)
    # Around the image torchvision puts 0, which stands for the background here: its own `fill`
    # weights the pixels at the seam twice.
    image = functional.affine(
        image, angle=degrees, translate=list(shift), scale=1.0, shear=[0.0, 0.0],
        interpolation=functional.InterpolationMode.BILINEAR,
    )
    values = (image + BACKGROUND).flatten()[::STRIDE].tolist()
    return {"flip": flip, "degrees": degrees, "shift": shift, "values": [float(f"{x:.9g}") for x in values]}


def smote() -> dict:
    points = (noise("points", POINTS * LENGTH) * 2.0).astype(np.float32).reshape(POINTS, LENGTH)
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    others = np.zeros((POINTS + MADE, LENGTH), dtype=np.float32)
    classes = np.repeat([1, 0], [POINTS, POINTS + MADE])
    sampler = SMOTE(k_neighbors=NEIGHBOURS, random_state=1)
    made, labels = sampler.fit_resample(np.concatenate([points, others]), classes)
    made = made[len(classes):]
    assert made.shape == (MADE, LENGTH) and (labels[len(classes):] == 1).all()
    # The formula alone, at seeds, neighbours and shares of our choice.
    rows, columns = np.arange(8), np.arange(8) % NEIGHBOURS
    shares = np.arange(8) / 8.0
    given = sampler._generate_samples(points, points, nearest, rows, columns, shares[:, None])
    exact = lambda matrix: [[float(f"{x:.9g}") for x in row] for row in matrix.tolist()]
    return {
        "points": POINTS, "length": LENGTH, "nearest": nearest.tolist(), "made": exact(made),
        "given": [
            {"seed": int(row), "neighbour": int(nearest[row, column]), "share": share, "values": values}
            for row, column, share, values in zip(rows, columns, shares.tolist(), exact(given))
        ],
    }


json.dump({
    "torchvision": torchvision.__version__.split("+")[0], "imbalanced-learn": imblearn.__version__, "scikit-learn": sklearn.__version__,
    "background": BACKGROUND, "stride": STRIDE,
    "transforms": [transformed(*one) for one in TRANSFORMS],
    "smote": smote(),
}, sys.stdout, separators=(",", ":"))
