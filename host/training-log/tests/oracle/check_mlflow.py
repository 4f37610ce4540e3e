#!/usr/bin/env python3
"""Whether MLflow reads the file store as it was told.

usage: check_mlflow.py FOLDER        (mlflow-skinny)

FOLDER is written by tests/read_back.rs: `mlruns` and `expected.json`. MLflow of 2026 reads a file store where it is asked to; where all of
MLflow is installed, its own move into a database is tried as well.
"""
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow.tracking import MlflowClient

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())


def check(uri, artifacts):
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(expected["experiment"])
    [run] = client.search_runs([experiment.experiment_id])
    info, data = run.info, run.data
    assert (info.run_name, info.status, info.start_time) == (expected["run"], expected["status"], expected["start"]), info
    assert info.end_time == (expected["start"] + 9000 if expected["ending"] else None), info
    assert data.params == {"learning_rate": "0.001", "strategy": expected["strategy"]}, data.params
    history = client.get_metric_history(info.run_id, "validation/loss")
    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (step, 1 / step, expected["start"] + 1000 * step) for step in (1, 2, 3)
    ], history
    assert data.metrics["accuracy"] == 1e-300 and math.isnan(data.metrics["diverged"]), data.metrics
    if artifacts:
        notice = mlflow.artifacts.load_text(f"{info.artifact_uri}/notice/3.md")
        assert notice == "Not for *diagnosis*.\n", notice
        assert [one.path for one in client.list_artifacts(info.run_id, "notice")] == ["notice/3.md"]


check((folder / "mlruns").as_uri(), artifacts=True)
moved = "not tried"
if importlib.util.find_spec("sqlalchemy"):
    database = folder / "mlflow.db"
    database.unlink(missing_ok=True)
    command = [sys.executable, "-m", "mlflow", "migrate-filestore", "--source", folder / "mlruns", "--target", f"sqlite:///{database}"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    check(f"sqlite:///{database}", artifacts=False)
    moved = "the same"
print(f"MLflow {mlflow.__version__}: status {expected['status']}; in a database: {moved}")
