#!/usr/bin/env python3
"""Learning rates of torch.optim.lr_scheduler.ReduceLROnPlateau: writes plateau.json, which src/train/plateau.rs reads.

usage: make_plateau.py > plateau.json        (torch 2.11)
"""
import json
import sys

import torch


def rates(patience: int, factor: float, losses: list[float]) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=1e-3)
    watch = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=patience, factor=factor)
    seen = []
    for loss in losses:
        watch.step(loss)
        seen.append(optimiser.param_groups[0]["lr"])
    return seen


flat = [0.5] * 40
falling = [1.0 / (epoch + 1) for epoch in range(40)]
# Falls too slowly to count: less than a relative 1e-4 an epoch, but more over several.
creeping = [0.7 * (1 - 4e-5) ** epoch for epoch in range(40)]
uneven = [0.9 - 0.01 * epoch + 0.2 * (epoch % 5 == 0) + 0.3 * (epoch > 12) for epoch in range(40)]
cases = [
    {"patience": patience, "factor": factor, "losses": losses, "rates": rates(patience, factor, losses)}
    for patience, factor in ((15, 0.1), (3, 0.5), (0, 0.1))
    for losses in (flat, falling, creeping, uneven)
]
sys.stdout.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
