"""
The callbacks of frameworks, and scripts that log to MLflow, each run by its framework where that is installed.

`LEVARE_FRAMEWORKS` names the Python of an environment that has them; by default it is this one.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import ROOT

PYTHON = os.environ.get("LEVARE_FRAMEWORKS", sys.executable)
XGBOOST = """
import numpy, xgboost
from levare.callbacks.xgboost import LevareCallback
x = numpy.random.default_rng(0).normal(size=(200, 4))
train, val = (xgboost.DMatrix(x[part], x[part, 0] > 0) for part in (slice(150), slice(150, 200)))
options = {"objective": "binary:logistic", "nthread": 1}
watched = [(train, "train"), (val, "eval"), (val, "other")]
xgboost.train(options, train, 4, evals=watched, verbose_eval=False, callbacks=[LevareCallback(rounds=4)])
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
from levare.callbacks.keras import LevareCallback
x = numpy.random.default_rng(0).normal(size=(64, 4))
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
model.fit(x, x[:, :1], epochs=4, batch_size=16, validation_split=0.25, verbose=0, callbacks=[LevareCallback()])
"""
LIGHTNING = """
import sys
sys.argv = ["x"]
source = open({script!r}).read().replace("mlflow.pytorch.autolog(log_models=False)", "").replace("import mlflow", "")
source = source.replace("logger=False", "logger=False, callbacks=[LevareCallback(every_steps=2)]")
exec("from levare.callbacks.lightning import LevareCallback\\n" + source)
""".format(script=str(ROOT / "tests/scripts/lightning_autolog.py"))
TRANSFORMERS = """
source = open({script!r}).read().replace('report_to="mlflow"', 'report_to="none"')
source = source.replace("eval_dataset=rows[:16]", "eval_dataset=rows[:16], callbacks=[LevareCallback()]")
exec("from levare.callbacks.transformers import LevareCallback\\n" + source)
""".format(script=str(ROOT / "tests/scripts/transformers_trainer.py"))


def needs(*names: str) -> None:
    """Skip where the frameworks are not installed; all of these stand on torch."""
    script = f"import importlib.util as u; raise SystemExit(not all(map(u.find_spec, {names!r})))"
    if subprocess.run([PYTHON, "-c", script], check=False).returncode:
        pytest.skip(f"torch, or what stands on it, is not installed: {', '.join(names)}")


def run(code: str, folder: Path) -> list[dict[str, Any]]:
    """The lines that a script has written."""
    metrics = folder / "metrics.jsonl"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "LEVARE_METRICS": str(metrics)}
    ran = subprocess.run([PYTHON, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "levare:" not in ran.stderr
    return [json.loads(line) for line in metrics.read_text().splitlines()]


def curves(lines: list[dict[str, Any]]) -> dict[tuple[str, str], list[Any]]:
    """Stage and metric -> the step or epoch of each point."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in lines:
        for name in line.keys() - {"step", "stage", "epoch", "time", "progress", "params"}:
            found[line.get("stage", ""), name].append(line.get("epoch", line.get("step")))
    return dict(found)


def test_xgboost_tells_every_round_of_every_set(tmp_path: Path):
    lines = run(XGBOOST, tmp_path)

    assert curves(lines) == {(stage, "logloss"): [1, 2, 3, 4] for stage in ("train", "val", "other")}
    assert lines[-1] == {"progress": 1.0}


def test_keras_tells_every_epoch_with_its_validation(tmp_path: Path):
    needs("keras", "torch")

    lines = run(KERAS, tmp_path)

    assert curves(lines) == {(stage, name): [1, 2, 3, 4] for stage in ("train", "val") for name in ("loss", "mae")}
    assert lines[-1] == {"progress": 1.0}
    assert lines[0]["params"]["epochs"] == 4


def test_lightning_tells_train_and_validation_and_nothing_of_its_trial_run(tmp_path: Path):
    needs("lightning", "torch")

    lines = run(LIGHTNING, tmp_path)

    found = curves(lines)
    assert len(found["val", "loss"]) == 4
    assert len(found["train", "loss"]) >= 8
    assert lines[-1] == {"progress": 1.0}


def test_the_trainer_of_hugging_face_tells_train_and_validation(tmp_path: Path):
    needs("transformers", "accelerate", "torch")

    lines = run(TRANSFORMERS, tmp_path)

    found = curves(lines)
    assert found["val", "loss"] == [1.0, 2.0, 3.0]
    assert found["train", "loss"] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert max(line.get("progress", 0) for line in lines) == 1.0
