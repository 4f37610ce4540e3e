#!/usr/bin/env python3
"""The PyTorch twin of the network: writes reference.json, which src/train/pytorch_reference.rs reads.

usage: make_reference.py > reference.json        (torch 2.11, numpy)

Nothing is read from the project. The network is written here as one would write it in PyTorch,
with plain modules, float32, the default layout and torch.optim.AdamW. Inputs come from an integer
formula that both sides compute, so that no weights have to be stored.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

SIDE, PATIENTS = 128, [0, 2, 2, 1]  # the patient of each sample
LEARNING_RATE, WEIGHT_DECAY, STEPS = 1e-4, 1e-2, 2
# Which of four values a pooling takes, and whether a ReLU is open, must not hang on rounding: the gradient jumps there. With this label
# no decision of a training step is closer than the margin.
IMAGES, MARGIN = "images 18", 2e-6
torch.set_num_threads(1)


def noise(label: str, count: int) -> np.ndarray:
    """count values in [-0.5, 0.5): an integer hash of the label's bytes and the index."""
    salt = np.uint64(2166136261)
    for byte in label.encode():
        salt = ((salt ^ np.uint64(byte)) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF)
    x = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + salt) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 4294967296.0 - 0.5


def tensor(label: str, shape, scale: float, offset: float = 0.0) -> torch.Tensor:
    values = noise(label, int(np.prod(shape))) * scale + offset
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


class Twin(torch.nn.Module):
    """variant: 'hybrid' takes finished filters, 'plain-conditioned' multiplies W and f itself,
    'plain' has two free convolutions."""

    def __init__(self, variant: str, classes: int):
        super().__init__()
        self.variant = variant
        self.free = torch.nn.Conv2d(1, 1, 3, padding=1)
        if variant != "hybrid":
            self.conditioned = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
        for block, (inputs, outputs) in enumerate(((2, 8), (8, 16), (16, 32)), start=1):
            module = torch.nn.Module()
            module.conv = torch.nn.Conv2d(inputs, outputs, 3, padding=1)
            module.norm = torch.nn.BatchNorm2d(outputs)
            setattr(self, f"block{block}", module)
        self.dense = torch.nn.Linear(32 * 16 * 16, 512)
        self.classifier = torch.nn.Linear(512, classes)

    def forward(self, images, filters=None, features=None, mask=None):
        if self.variant == "plain":
            conditioned = self.conditioned(images)
        else:
            if self.variant == "plain-conditioned":
                filters = (self.conditioned.weight.view(1, 9) * features).clamp(-1, 1)
            conditioned = torch.cat([
                F.conv2d(images[b : b + 1], filters[patient].view(1, 1, 3, 3), padding=1)
                for b, patient in enumerate(PATIENTS)
            ])
        hidden = torch.cat([conditioned, self.free(images)], dim=1)
        self.margin = np.inf
        for block in (self.block1, self.block2, self.block3):
            hidden = F.relu(block.norm(block.conv(hidden)))
            self.decides(hidden.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2))
            hidden = F.max_pool2d(hidden, 2)
        hidden = self.dense(hidden.flatten(1))
        self.decides(torch.stack([hidden, torch.zeros_like(hidden)], dim=-1))
        hidden = F.relu(hidden)
        if mask is not None:
            hidden = hidden * mask
        return self.classifier(hidden)

    def decides(self, candidates):
        """Takes note of how far the largest of each row is from the next, where it is not zero."""
        first, second = candidates.detach().topk(2, dim=-1).values.unbind(-1)
        self.margin = min(self.margin, (first - second)[(first != second) | (first > 0)].min().item())


def initialise(twin: Twin) -> None:
    state = twin.state_dict()
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        fan_in = int(np.prod(value.shape[1:]))
        scale, offset = {
            "norm.weight": (0.6, 1.0), "norm.bias": (0.4, 0.0), "running_mean": (0.5, 0.0), "running_var": (0.8, 1.0),
        }.get(next((key for key in ("norm.weight", "norm.bias", "running_mean", "running_var") if name.endswith(key)), ""),
              (2.0 / np.sqrt(fan_in), 0.0) if value.dim() > 1 else (0.2, 0.0))
        if name == "conditioned.weight":
            scale = 6.0  # so that some products are clipped
        value.copy_(tensor(name, tuple(value.shape), scale, offset))


def sampled(value: torch.Tensor) -> list:
    """Everything of a small tensor, some 48 values of a large one; nine digits are a float32."""
    flat = value.detach().flatten()
    stride = 1 if flat.numel() <= 160 else flat.numel() // 48 | 1
    return [float(f"{x:.9g}") for x in flat[::stride].tolist()]


def trained(twin: Twin, step: int) -> dict:
    """Tensors after a step. A convolution's bias before a batch norm has no gradient but
    rounding noise, which AdamW turns into steps of full size: it is left out, and so are the
    running means of the next step, into which it is carried."""
    noisy = ("num_batches_tracked", "conv.bias") + (("running_mean",) if step > 0 else ())
    return {name: sampled(value) for name, value in sorted(twin.state_dict().items()) if not name.endswith(noisy)}


def record(variant: str, classes: int) -> dict:
    twin = Twin(variant, classes)
    with torch.no_grad():
        initialise(twin)
    images = tensor(IMAGES, (len(PATIENTS), 1, SIDE, SIDE), 3.4)
    labels = torch.tensor([0, 1, classes - 1, 1])
    class_weights = torch.tensor([0.7, 1.9, 1.2][:classes])
    features = tensor("features", (3, 9), 2.0)
    base = tensor("conditioned.weight", (1, 9), 6.0)
    filters = (base * features).clamp(-1, 1)
    filters.requires_grad_(variant == "hybrid")

    twin.eval()
    evaluation = twin(images, filters, features)
    twin.train()
    optimiser = torch.optim.AdamW(twin.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    result = {"classes": classes, "evaluation_logits": sampled(evaluation), "steps": []}
    for step in range(STEPS):
        mask = (noise(f"mask{step}", len(PATIENTS) * 512) >= -0.1).astype(np.float32) / np.float32(0.6)
        logits = twin(images, filters, features, torch.from_numpy(mask.reshape(-1, 512)))
        assert twin.margin > MARGIN, f"{variant}, step {step}: a decision within {twin.margin}"
        loss = F.cross_entropy(logits, labels, weight=class_weights)
        optimiser.zero_grad()
        filters.grad = None
        loss.backward()
        gradients = {name: sampled(p.grad) for name, p in sorted(twin.named_parameters())}
        if variant == "hybrid":
            gradients["filters"] = sampled(filters.grad)
        optimiser.step()
        result["steps"].append({"logits": sampled(logits), "loss": loss.item(), "gradients": gradients, "trained": trained(twin, step)})
    return result


def main() -> None:
    reference = {
        "torch": torch.__version__.split("+")[0],
        "hybrid": record("hybrid", 2),
        "plain-conditioned": record("plain-conditioned", 2),
        "plain": record("plain", 3),
    }
    json.dump(reference, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
