"""PyTorch's side of `experiments bench training`: one job a line of JSON on stdin, one answer a line on stdout.

The arguments are the clock (`wall`, or `processor` for the time that this thread has the processor), the device, and the batch.
The network is written as one writes it in PyTorch: modules in the default layout, `torch.optim.AdamW` with its defaults, nothing
compiled. Every variant is given its batch as tensors on the device. A step is zero_grad, forward, loss, backward, optimiser, and
the loss read back.
"""

import gc
import json
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(3)

CLOCK = {"wall": time.perf_counter_ns, "processor": time.thread_time_ns}[sys.argv[1]]
DEVICE, BATCH = torch.device(sys.argv[2]), int(sys.argv[3])
SIDE, TAPS, CLASSES = 128, 9, 2
torch.set_num_threads(1)


class Block(torch.nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(
            torch.nn.Conv2d(inputs, outputs, 3, padding=1),
            torch.nn.BatchNorm2d(outputs),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
        )


class HybridCnn(torch.nn.Module):
    """With `variant` `hybrid` finished filters come in, one a sample; with `plain_conditioned` clinical features, from which the
    network makes them; with `plain` nothing, and the first convolution is like the second."""

    def __init__(self, variant):
        super().__init__()
        self.variant = variant
        if variant != "hybrid":
            self.conditioned = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.free = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.blocks = torch.nn.Sequential(Block(2, 8), Block(8, 16), Block(16, 32))
        self.dense = torch.nn.Linear(32 * 16 * 16, 512)
        self.dropout = torch.nn.Dropout(0.4)
        self.classifier = torch.nn.Linear(512, CLASSES)

    def forward(self, images, conditions):
        if self.variant == "plain":
            conditioned = self.conditioned(images)
        else:
            filters = conditions
            if self.variant == "plain_conditioned":
                filters = (self.conditioned.weight.view(1, TAPS) * conditions).clamp(-1, 1)
            # One group a sample: the fastest way that PyTorch has for it in one call.
            one_group_a_sample = images.view(1, -1, SIDE, SIDE)
            kernels = filters.reshape(-1, 1, 3, 3)
            conditioned = F.conv2d(one_group_a_sample, kernels, padding=1, groups=len(images)).view_as(images)
        hidden = self.blocks(torch.cat([conditioned, self.free(images)], dim=1))
        hidden = F.relu(self.dense(hidden.flatten(1)))
        return self.classifier(self.dropout(hidden))


class Variant:
    def __init__(self, name):
        self.network = HybridCnn(name).to(DEVICE).train()
        self.optimiser = torch.optim.AdamW(self.network.parameters())
        self.loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([0.6, 1.4])).to(DEVICE)
        self.images = torch.randn(BATCH, 1, SIDE, SIDE, device=DEVICE)
        self.labels = torch.randint(0, CLASSES, (BATCH,), device=DEVICE)
        # Filters of their own in `hybrid`: the gradient of each is wanted.
        self.conditions = torch.rand(BATCH, TAPS, device=DEVICE).mul(2).sub(1).requires_grad_(name == "hybrid")

    def step(self):
        self.optimiser.zero_grad()
        self.conditions.grad = None
        loss = self.loss(self.network(self.images, self.conditions), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def seconds(self, repetitions):
        samples = []
        gc.disable()
        for _ in range(repetitions):
            start = CLOCK()
            self.step()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            samples.append((CLOCK() - start) / 1e9)
        gc.enable()
        return samples


VARIANTS = {name: Variant(name) for name in ("hybrid", "plain_conditioned", "plain")}


def answer(value):
    print(json.dumps(value), flush=True)


answer({"version": torch.__version__})
for line in sys.stdin:
    name, repetitions = json.loads(line)
    answer(VARIANTS[name].seconds(repetitions))
