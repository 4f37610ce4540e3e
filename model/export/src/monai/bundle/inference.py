"""Reads slices, writes predictions. Not for diagnosis."""
import csv
from pathlib import Path

import torch
from safetensors.torch import load_file


def samples(folder):
    """A dictionary for each slice of each file: `image` [1, 128, 128], `features` [features] where the file has them, `file`, `slice`."""
    found = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        tensors = load_file(path)
        for number, image in enumerate(tensors["slices"]):
            sample = {"image": image, "file": path.name, "slice": number}
            if "features" in tensors:
                sample["features"] = tensors["features"][number]
            found.append(sample)
    if not found:
        raise FileNotFoundError(f"there is no .safetensors file with slices in {folder}")
    return found


class Evaluator:
    """Runs the network over all slices, and writes a line of a table for each."""

    def __init__(self, dataloader, network, inferer, device, output_file):
        self.dataloader, self.network, self.inferer = dataloader, network, inferer
        self.device, self.output_file = device, output_file

    def run(self):
        with open(self.output_file, "w", newline="") as table, torch.no_grad():
            lines = csv.writer(table)
            for number, batch in enumerate(self.dataloader):
                features = [batch["features"].to(self.device)] if "features" in batch else []
                logits = self.inferer(batch["image"].to(self.device), self.network, *features).cpu()
                if number == 0:
                    classes = range(logits.shape[1])
                    names = [f"{what}_{one}" for what in ("logit", "probability") for one in classes]
                    lines.writerow(["file", "slice", *names])
                rows = torch.cat([logits, logits.softmax(dim=1)], dim=1).tolist()
                for file, place, row in zip(batch["file"], batch["slice"].tolist(), rows):
                    lines.writerow([file, place, *row])
