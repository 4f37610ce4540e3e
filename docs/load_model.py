"""Logits of a model that a simulation left: load_model.py MODEL.safetensors INPUT.safetensors   (torch, safetensors)

INPUT holds `slices` [B, 1, 128, 128] and, for a model that clinical features condition, the patients' scaled `features` [B, features]."""
import json, sys, torch
from safetensors.torch import load_file
from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d

def released(values, limit):  # rounded and clipped as a vault releases them
    return (values * 4096 - 43 / 127 / 256).round().div(4096).clamp(-limit, limit)

def logits(model, slices, features=None):
    slope, late = model.get("conditioned.slope"), model.get("late.weight")  # of the forms `additive` and `late`
    filters = model["conditioned.weight"].double().expand(len(slices), 1, 3, 3)
    if features is not None and late is None:  # one filter a patient
        of_patients = features.double().view(-1, 1, 3, 3)
        filters = released(filters * of_patients if slope is None else filters + slope.double() * of_patients, 1)
    conditioned = conv2d(slices.transpose(0, 1), filters.float(), padding=1, groups=len(slices)).transpose(0, 1)
    x = torch.cat([conditioned, conv2d(slices, model["free.weight"], model["free.bias"], padding=1)], dim=1)
    for block in ("block1", "block2", "block3"):
        x = conv2d(x, model[f"{block}.conv.weight"], model[f"{block}.conv.bias"], padding=1)
        x = batch_norm(x, *(model[f"{block}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))
        x = max_pool2d(x.relu(), 2)
    x = linear(x.flatten(1), model["dense.weight"], model["dense.bias"]).relu()
    x = linear(x, model["classifier.weight"], model["classifier.bias"])
    return x if features is None or late is None else x + released(features.double() @ late.double().T, 8).float()

if __name__ == "__main__":
    given = load_file(sys.argv[2])
    print(json.dumps(logits(load_file(sys.argv[1]), given["slices"], given.get("features")).tolist()))
