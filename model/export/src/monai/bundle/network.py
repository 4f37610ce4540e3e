"""The hybrid CNN of myelin in PyTorch. Not for diagnosis."""
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import conv2d


class Block(nn.Module):
    """[N, inputs, H, W] to [N, outputs, H/2, W/2]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps):
        return nn.functional.max_pool2d(self.norm(self.conv(maps)).relu(), 2)


class HybridCnn(nn.Module):
    """Logits [N, classes] of slices [N, 1, 128, 128] and, where `conditioned`, of scaled features [N, `features`].

    `form` says what the features do: `study` and `additive` make a filter of the first convolution, `late` shifts the logits."""

    def __init__(self, classes, conditioned, form="study", features=9):
        super().__init__()
        self.takes_features, self.form = conditioned, form
        self.conditioned = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        if form == "additive":
            self.conditioned.register_parameter("slope", nn.Parameter(torch.zeros(1, 1, 3, 3)))
        if form == "late":
            self.late = nn.Linear(features, classes, bias=False)
        self.free = nn.Conv2d(1, 1, 3, padding=1)
        self.block1, self.block2, self.block3 = Block(2, 8), Block(8, 16), Block(16, 32)
        self.dense = nn.Linear(8192, 512)
        self.classifier = nn.Linear(512, classes)

    def load(self, path):
        """Reads the weights, strictly, and gives the network ready to predict."""
        self.load_state_dict(load_file(path))
        return self.eval()

    def filters(self, features):
        """One filter a sample, [N, 1, 3, 3]."""
        weight, features = self.conditioned.weight.double(), features.view(-1, 1, 3, 3)
        return released(weight * features if self.form == "study" else weight + self.conditioned.slope.double() * features, 1)

    def shifts(self, features):
        """Of the logits of each sample, [N, classes]."""
        return released(features @ self.late.weight.double().T, 8)

    def forward(self, image, patient_features=None):
        if self.takes_features != (patient_features is not None):
            raise ValueError("this network takes features" if self.takes_features else "this network takes no features")
        if self.takes_features:
            patient_features = torch.as_tensor(patient_features, device=image.device).double()
        if self.takes_features and self.form != "late":
            # As many groups as samples: each slice meets the filter of its own patient.
            one_row = image.transpose(0, 1)
            conditioned = conv2d(one_row, self.filters(patient_features), padding=1, groups=len(image)).transpose(0, 1)
        else:
            conditioned = self.conditioned(image)
        maps = torch.cat([conditioned, self.free(image)], dim=1)
        maps = self.block3(self.block2(self.block1(maps)))
        logits = self.classifier(self.dense(maps.flatten(1)).relu())
        return logits + self.shifts(patient_features) if self.takes_features and self.form == "late" else logits


def released(values, limit):
    """Rounded and clipped as a hospital's vault releases them."""
    return (values * 4096 - 43 / 127 / 256).round().div(4096).clamp(-limit, limit).float()
