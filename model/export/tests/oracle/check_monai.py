#!/usr/bin/env python3
"""Whether MONAI runs the bundles, and their logits are those of PyTorch.

usage: check_monai.py FOLDER..      (requirements-monai.txt)

Each FOLDER is written by tests/export.rs: the bundle `out/monai`, a file of inputs, and `expected.json`. The first bundle is run by the
command that its README names, the others by the same function in this process, which is started once. The metadata are compared with
MONAI's schema where MYELIN_MONAI_SCHEMA names a copy of it: MONAI itself fetches it from the address in the metadata.
"""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import monai
import numpy
import torch
from monai.bundle import ConfigWorkflow, run, verify_metadata, verify_net_in_out

FILES = {"config_file": "configs/inference.json", "meta_file": "configs/metadata.json"}
# Of a slice's largest logit, if that is above 1: another release of PyTorch, built otherwise, adds up in another order.
BOUND = 1e-5


def run_by_command(bundle):
    command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", "."]
    for name, file in FILES.items():
        command += [f"--{name}", file]
    told = subprocess.run(command, cwd=bundle, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def check_predictions(bundle, expected):
    """The largest difference from PyTorch's logits."""
    rows = list(csv.DictReader((bundle / "predictions.csv").open()))
    assert [int(row["slice"]) for row in rows] == list(range(len(expected["logits"]))), rows
    worst = 0
    for row, logits in zip(rows, expected["logits"]):
        differences = [abs(float(row[f"logit_{place}"]) - logit) for place, logit in enumerate(logits)]
        assert max(differences) < BOUND * max(1, *map(abs, logits)), f"{row} against {logits}"
        worst = max(worst, *differences)
    assert all(abs(sum(float(row[f"probability_{place}"]) for place in range(expected["classes"])) - 1) < BOUND for row in rows)
    return worst


def check(folder, by_command):
    bundle = folder / "out/monai"
    expected = json.loads((folder / "expected.json").read_text())
    (bundle / "input").mkdir()
    (folder / "input.safetensors").rename(bundle / "input/input.safetensors")
    os.chdir(bundle)
    # Each bundle has a package of this name.
    for module in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        del sys.modules[module]
    sys.path.insert(0, str(bundle))
    if by_command:
        run_by_command(bundle)
    else:
        run(**FILES, bundle_root=".")
    worst = check_predictions(bundle, expected)

    features = {"patient_features": [[0.5] * expected["features"]]} if expected["conditioned"] else {}
    verify_net_in_out("network_def", **FILES, device="cpu", extra_forward_args=features)

    workflow = ConfigWorkflow(**FILES, workflow_type="infer")
    workflow.initialize()
    assert not workflow.check_properties(), workflow.check_properties()
    # A card's text stays a text, whatever it says.
    metadata = workflow.parser.get_parsed_content("_meta_")
    assert metadata["name"].startswith("text: $__import__"), metadata["name"]

    # Of PyTorch the release alone: Debian's calls itself 1.13.0a0.
    installed = {"monai": monai.__version__, "numpy": numpy.__version__, "pytorch": torch.__version__}
    for name, version in installed.items():
        parts = 2 if name == "pytorch" else 3
        named = metadata[f"{name}_version"]
        assert version.split(".")[:parts] == named.split(".")[:parts], f"the bundle names {name} {named}, and this is {version}"

    checked = "its schema was not at hand"
    if schema := os.environ.get("MYELIN_MONAI_SCHEMA"):
        verify_metadata(meta_file=FILES["meta_file"], filepath=schema)
        checked = "metadata fit the schema"
    sys.path.remove(str(bundle))
    print(f"MONAI {monai.__version__}, PyTorch {torch.__version__}: logits differ from the recorded by at most {worst:.1e}; {checked}")


for place, folder in enumerate(sys.argv[1:]):
    check(Path(folder).resolve(), by_command=place == 0)
