#!/usr/bin/env python3
"""Grad-CAM of the PyTorch twin: writes grad_cam.json, which src/grad_cam.rs reads.

usage: make_grad_cam.py > grad_cam.json        (torch 2.11, numpy)
"""
import json
import sys

import torch
import torch.nn.functional as F
from make_reference import IMAGES, PATIENTS, SIDE, Twin, initialise, tensor

CLASSES, STRIDE = [1, 1, 0, 1], 97  # nothing speaks for class 0 in the third sample

twin = Twin("hybrid", 3)
with torch.no_grad():
    initialise(twin)
twin.eval()
features, base = tensor("features", (3, 9), 2.0), tensor("conditioned.weight", (1, 9), 6.0)
images = tensor(IMAGES, (len(PATIENTS), 1, SIDE, SIDE), 3.4)

caught = []


def catch(_, inputs):
    inputs[0].retain_grad()
    caught.append(inputs[0])


# The dense layer takes the last block's output, flattened.
twin.dense.register_forward_pre_hook(catch)
logits = twin(images, (base * features).clamp(-1, 1))
maps = []
for sample, of_class in enumerate(CLASSES):
    twin.zero_grad()
    caught[0].grad = None
    logits[sample, of_class].backward(retain_graph=True)
    activations = caught[0].detach()[sample].view(32, 16, 16)
    gradients = caught[0].grad[sample].view(32, 16, 16)
    cam = F.relu((gradients.mean(dim=(1, 2))[:, None, None] * activations).sum(dim=0))
    cam = F.interpolate(cam[None, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]
    maps.append(cam / cam.max() if cam.max() > 0 else cam)
heat = torch.stack(maps).flatten()[::STRIDE]
json.dump({
    "torch": torch.__version__.split("+")[0], "stride": STRIDE, "classes": CLASSES,
    "heat": [float(f"{x:.9g}") for x in heat.tolist()],
}, sys.stdout, separators=(",", ":"))
