#!/usr/bin/env python3
"""Whether MONAI runs the bundle, and its logits are those of PyTorch.

usage: check_monai.py FOLDER        (requirements-monai.txt)

FOLDER is written by tests/export.rs: the bundle `out/monai`, a file of inputs, and `expected.json`. The metadata are compared with MONAI's
schema where MYELIN_MONAI_SCHEMA names a copy of it: MONAI itself fetches it from the address in the metadata.
"""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1])
bundle = folder / "out/monai"
expected = json.loads((folder / "expected.json").read_text())


def monai(*arguments):
    told = subprocess.run([sys.executable, "-m", "monai.bundle", *arguments], cwd=bundle, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


files = ["--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json"]
(bundle / "input").mkdir()
(folder / "input.safetensors").rename(bundle / "input/input.safetensors")
monai("run", *files, "--bundle_root", ".")
rows = list(csv.DictReader((bundle / "predictions.csv").open()))
assert [int(row["slice"]) for row in rows] == list(range(len(expected["logits"]))), rows
worst = max(
    abs(float(row[f"logit_{place}"]) - logit) for row, logits in zip(rows, expected["logits"]) for place, logit in enumerate(logits)
)
assert worst < 1e-5, f"logits differ by {worst}"
assert all(abs(sum(float(row[f"probability_{place}"]) for place in range(expected["classes"])) - 1) < 1e-5 for row in rows)

features = [f"--extra_forward_args={json.dumps({'patient_features': [[0.5] * 9]})}"] if expected["conditioned"] else []
told = monai("verify_net_in_out", "network_def", *files, "--device", "cpu", *features)
assert "verified with no error" in told, told

from monai.bundle import ConfigWorkflow

os.chdir(bundle)
sys.path.insert(0, ".")
workflow = ConfigWorkflow(config_file="configs/inference.json", meta_file="configs/metadata.json", workflow_type="infer")
workflow.initialize()
assert not workflow.check_properties(), workflow.check_properties()
# A card's text stays a text, whatever it says.
metadata = workflow.parser.get_parsed_content("_meta_")
assert metadata["name"].startswith("text: $__import__"), metadata["name"]
os.chdir(folder)

checked = "its schema was not at hand"
if schema := os.environ.get("MYELIN_MONAI_SCHEMA"):
    told = monai("verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", schema)
    assert "verified with no error" in told, told
    checked = "metadata fit the schema"
print(f"MONAI: logits differ from PyTorch's by at most {worst:.1e}; {checked}")
