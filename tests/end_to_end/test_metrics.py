"""
From what scripts log to curves, through every process.

`LEVARE_TRIAL_POINTS` is how many points one job tells, 60,000 by default; `LEVARE_FRAMEWORKS` is the Python of the
scripts, by default this one.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from levare.cli import levare
from levare.client import Client
from levare.store.curves import MOST_KEPT
from tests.fleet import ROOT, Fleet, eventually, fleet
from tests.processes.test_callbacks import PYTHON, needs

POINTS = int(os.environ.get("LEVARE_TRIAL_POINTS", "60000"))
FLOOD = """
import sys
sys.path.insert(0, sys.argv[1])
import levare
count = int(sys.argv[2])
for step in range(count):
    levare.log(step=step, stage="train", loss=1e6 if step == count // 3 else 1 / (1 + step))
    if step % 1000 == 999:
        levare.log(step=step, stage="val", accuracy=step / count)
        levare.progress(step + 1, count)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("metrics")) as deployment:
        deployment.start_all()
        yield deployment


def told(running: Fleet, job_id: str, **params: Any) -> dict[str, Any]:
    return running.client.get(f"/v1/jobs/{job_id}/metrics", params=params).raise_for_status().json()


def steps_of(answer: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Stage and metric -> how many points its curve has."""
    return {(curve["stage"], curve["name"]): len(curve["points"]) for curve in answer["curves"]}


@pytest.mark.parametrize(
    ("script", "stands_on", "curves"),
    [
        ("sklearn_autolog", (), {("train", "log_loss"): 5, ("val", "loss"): 5, ("val", "accuracy"): 5}),
        ("xgboost_autolog", (), {("train", "logloss"): 10, ("val", "logloss"): 10, ("val", "auc"): 10}),
        ("keras_autolog", ("keras", "torch"), {("train", "loss"): 4, ("val", "loss"): 8}),
        ("lightning_autolog", ("lightning", "torch"), {("train", "loss"): 4, ("val", "loss"): 4}),
        ("transformers_trainer", ("transformers", "accelerate", "torch"), {("train", "loss"): 6, ("val", "loss"): 3}),
    ],
)
def test_a_script_that_knows_nothing_of_levare_appears_with_its_curves(
    running: Fleet, script: str, stands_on: tuple[str, ...], curves: dict[tuple[str, str], int]
):
    needs(*stands_on)
    job_id = running.submit(PYTHON, str(ROOT / "tests" / "scripts" / f"{script}.py"), name=script)

    (job,) = running.await_end(job_id, within=120)

    answer = told(running, job_id, points=100)
    assert job["state"] == "succeeded", running.log(job_id)[-2000:]
    assert answer["params"]
    assert {key: count for key, count in steps_of(answer).items() if key in curves} == curves


def test_a_job_that_has_an_mlflow_of_its_own_is_left_alone(running: Fleet):
    script = (
        "import os; print(os.environ['MLFLOW_TRACKING_URI'], 'MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT' in os.environ)"
    )
    job_id = running.python(script, env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    running.await_end(job_id)

    assert running.log(job_id) == b"http://mlflow:5000 False\n"


def test_points_without_end_are_thinned_and_said_so_while_the_numbers_are_of_all(running: Fleet):
    job_id = running.submit(sys.executable, "-c", FLOOD, str(ROOT), str(POINTS), name="flood")
    worker = psutil.Process(running.processes["worker"].pid)
    peak = 0

    def is_over() -> bool:
        nonlocal peak
        peak = max(peak, worker.memory_info().rss)
        return running.job(job_id)["state"] == "succeeded"

    eventually(is_over, within=60 + POINTS / 1000)
    answer = told(running, job_id, points=500)
    loss = answer["summary"]["train"]["loss"]
    assert answer["thinned"]["told"] == POINTS + POINTS // 1000
    assert answer["thinned"]["kept"] <= MOST_KEPT
    assert (loss["count"], loss["best_max"], loss["best"]) == (POINTS, 1e6, 1 / POINTS)
    assert loss["mean"] == pytest.approx((1e6 + sum(1 / (1 + step) for step in range(POINTS))) / POINTS, rel=1e-4)
    curves = {curve["stage"]: curve["points"] for curve in answer["curves"]}
    assert (len(curves["train"]), len(curves["val"])) == (500, min(500, POINTS // 1000))
    assert max(point["value"] for point in curves["train"]) == 1e6
    assert peak < 250 * 2**20
    if POINTS > 100_000:
        report(running, answer, peak)


def report(running: Fleet, answer: dict[str, Any], peak: int) -> None:
    size = sum(path.stat().st_size for path in Path(running.home).glob("levare.db*"))
    sys.stderr.write(f"\n{answer['thinned']}; worker at most {peak / 2**20:.0f} MiB; database {size / 2**20:.1f} MiB\n")


def test_the_commands_show_what_was_told_and_stand_runs_beside_each_other(running: Fleet):
    script = "import sys; sys.path.insert(0, sys.argv[1]); import levare; levare.params(lr=sys.argv[2])\n"
    script += "for step in range(50): levare.log(step=step, stage='val', accuracy=step * float(sys.argv[2]))"
    first, second = (running.submit(sys.executable, "-c", script, str(ROOT), lr, name="two") for lr in ("0.01", "0.02"))
    running.await_end(first, second)

    def client() -> Client:  # a command closes its own
        return Client(str(running.client.base_url), (running.home / "admin.token").read_text())

    shown = CliRunner().invoke(levare, ["metrics", first], obj=client()).stdout
    compared = CliRunner().invoke(levare, ["compare", first, second], obj=client()).stdout
    with client() as asking:
        over_time = asking.compare(family="default/default/two", last=5)

    assert "▁" in shown
    assert "0.98 *" in compared
    assert [run["job"] for run in over_time["runs"]] == [first, second]
    assert over_time["metrics"][0]["best_run"] == 1
