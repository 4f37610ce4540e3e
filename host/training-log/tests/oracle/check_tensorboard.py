#!/usr/bin/env python3
"""Whether TensorBoard reads the events as they were told.

usage: check_tensorboard.py FOLDER        (tensorboard, numpy)

FOLDER is written by tests/read_back.rs: `tensorboard/RUN/events.out.tfevents...` and `expected.json`.
"""
import json
import sys
from pathlib import Path

import numpy as np
from tensorboard import version
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
events = EventAccumulator(str(folder / "tensorboard" / expected["run"]), size_guidance={"scalars": 0, "tensors": 0}).Reload()
assert events.file_version == 2.0, events.file_version
assert abs(events.FirstEventTimestamp() - expected["start"] / 1000) < 1e-3, events.FirstEventTimestamp()

losses = events.Scalars("validation/loss")
assert [one.step for one in losses] == list(range(1, len(expected["losses"]) + 1)), losses
assert [one.value for one in losses] == [float(np.float32(loss)) for loss in expected["losses"]], losses
assert [round(one.wall_time - expected["start"] / 1000, 3) for one in losses] == [one.step for one in losses], losses
whole = len(losses) == 3
assert not whole or np.isnan(events.Scalars("diverged")[0].value)

texts = {"settings/learning_rate": ["0.001"], "settings/strategy": ["fedavg", expected["strategy"]]}
if whole:
    texts["notice"] = ["Not for *diagnosis*.\n"]
if expected["ending"]:
    texts["ending"] = [expected["ending"]]
settings = "_hparams_/session_start_info"
assert set(events.Tags()["tensors"]) == {*texts, settings}, events.Tags()
session = plugin_data_pb2.HParamsPluginData.FromString(events.SummaryMetadata(settings).plugin_data.content).session_start_info
compared = {name: value.string_value if value.HasField("string_value") else value.number_value for name, value in session.hparams.items()}
assert compared == {"learning_rate": 0.001, "strategy": expected["strategy"]}, compared
assert abs(session.start_time_secs - expected["start"] / 1000) < 1e-3, session.start_time_secs
assert list(events.PluginTagToContent("hparams")) == [settings]
for tag, told in texts.items():
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "text"
    found = [tensor_util.make_ndarray(one.tensor_proto).tolist() for one in events.Tensors(tag)]
    assert found == [[text.encode()] for text in told], found
print(f"TensorBoard {version.VERSION}: {len(losses)} losses, ending {expected['ending']}")
