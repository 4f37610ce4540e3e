#!/usr/bin/env python3
"""Whether ONNX takes the file for a model, and ONNX Runtime computes what PyTorch computes.

usage: check_onnx.py FOLDER        (onnx, onnxruntime, numpy)

FOLDER is written by tests/export.rs: `out/model.onnx`, inputs `slices.f32` and, for a conditioned model, `features.f32`, and
`expected.json` with PyTorch's logits of each sample, W, and what the file has to say of itself.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
logits = np.array(expected["logits"])
inputs = {"slices": np.fromfile(folder / "slices.f32", dtype="<f4").reshape(-1, 1, 128, 128)}
if (folder / "features.f32").exists():
    inputs["features"] = np.fromfile(folder / "features.f32", dtype="<f4").reshape(-1, 9)

model = onnx.load(folder / "out/model.onnx")
onnx.checker.check_model(model, full_check=True)
inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
shapes = {value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim] for value in inferred.graph.value_info}
assert shapes["block3.output"] == ["N", 32, 16, 16], shapes["block3.output"]
assert shapes["conditioned"] == ["N", 1, 128, 128], shapes["conditioned"]

session = onnxruntime.InferenceSession(folder / "out/model.onnx", providers=["CPUExecutionProvider"])
assert {given.name for given in session.get_inputs()} == set(inputs)
notes = session.get_modelmeta().custom_metadata_map
assert expected["notes"].items() <= notes.items(), notes
assert "features" in notes or "features" not in inputs, notes

count = len(inputs["slices"])
assert count == 5 and logits.shape == (5, expected["classes"])
worst = 0.0
for first, last in [(0, count)] + [(one, one + 1) for one in range(count)]:
    given = {name: values[first:last] for name, values in inputs.items()}
    found, probabilities = session.run(["logits", "probabilities"], given)
    assert found.shape == probabilities.shape == (last - first, expected["classes"])
    worst = max(worst, np.abs(found - logits[first:last]).max())
    softmax = np.exp(logits[first:last]) / np.exp(logits[first:last]).sum(axis=1, keepdims=True)
    assert np.abs(probabilities - softmax).max() < 1e-5
assert worst < 1e-5, f"logits differ by {worst}"
assert np.abs(logits[0] - logits[1]).max() > 0.01, "the samples are too much alike to tell them apart"

if "features" in inputs:
    # What a vault releases, bit for bit: numpy rounds half to even in double precision, as a vault does.
    late = expected["late"] is not None
    name, width, limit = ("shifts", expected["classes"], 8) if late else ("filter", 9, 1)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", width]))
    found = onnxruntime.InferenceSession(model.SerializeToString()).run([name], inputs)[0]
    features = inputs["features"].astype(np.float64)
    base = np.array(expected["base"])
    if late:
        values = features @ np.array(expected["late"]).reshape(-1, 9).T
    elif expected["slope"] is not None:
        values = base + features * np.array(expected["slope"])
    else:
        values = features * base
    multiples = np.round(values * 4096 - 43 / (127 * 256))
    assert (found == np.clip(multiples / 4096, -limit, limit).astype(np.float32)).all()
    if not late:
        # Of the weights that are drawn for two classes, none is clipped.
        assert (np.abs(found) == 1).any() == (expected["classes"] == 3), "the clip is not tried"
print(f"ONNX Runtime {onnxruntime.__version__}: logits differ from PyTorch's by at most {worst:.1e}")
