#!/usr/bin/env python3
"""Whether huggingface_hub reads the model card as it was meant.

usage: check_hugging_face.py FOLDER        (huggingface_hub)

FOLDER is written by tests/export.rs: `out/huggingface/README.md` and `expected.json`.
"""
import json
import sys
from pathlib import Path

import huggingface_hub

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
text = (folder / "out/huggingface/README.md").read_text()
card = huggingface_hub.ModelCard(text)
data = card.data
assert data.license == expected["licence"] and data.library_name == "onnx", data
assert data.license_name == (expected["licence_name"] if data.license == "other" else None), data
assert data.pipeline_tag == "image-classification" and "multiple-sclerosis" in data.tags, data
assert "Not for diagnosis" in "".join(card.text.strip().splitlines()[:3]), card.text[:200]

found = data.eval_results or []
metrics = [[one.metric_name, one.metric_type, one.metric_value] for one in found]
assert metrics == expected["metrics"], metrics
assert {one.dataset_name for one in found} <= {expected["dataset"]}, found
if found:
    assert data.model_name == expected["name"], data.model_name
for part in expected["text"]:
    assert part in card.text, part
# What the library makes of the fields is again what it reads.
assert huggingface_hub.ModelCardData(**data.to_dict()).to_dict() == data.to_dict()
print(f"huggingface_hub {huggingface_hub.__version__}: {len(metrics)} results")
