"""The examples train for real; stopped or killed and started again, they end as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = {"digits": ("--epochs", "8"), "digits_torch": ("--epochs", "60")}


class Run:
    """A job's environment without a fleet around it: attempts share checkpoints and output."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.output = folder / "output"
        self.metrics = folder / "metrics.jsonl"
        self._folder = folder
        self.env = {
            **os.environ,
            "PYTHONPATH": str(EXAMPLES.parent),
            "LEVARE_JOB": "k3v9x2m1qa",
            "LEVARE_METRICS": str(self.metrics),
            "LEVARE_CHECKPOINTS": str(folder / "checkpoints"),
            "LEVARE_OUTPUT": str(self.output),
        }

    def start(self, name: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", str(EXAMPLES / name / "train.py"), *SCRIPTS[name], *options]
        return subprocess.Popen(
            command, cwd=self._folder, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def to_its_end(self, name: str, *options: str) -> str:
        with self.start(name, *options) as process:
            said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return said

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.metrics.read_text().splitlines()] if self.metrics.exists() else []

    def curve(self) -> dict[tuple[str, int], tuple[float, float]]:
        metrics = [line for line in self.lines() if "stage" in line]
        return {(line["stage"], line["step"]): (line["loss"], line["accuracy"]) for line in metrics}

    def wait_for_epochs(self, count: int) -> None:
        until = time.monotonic() + 60
        while len(self.curve()) < 2 * count:
            assert time.monotonic() < until, "the training does not come forward"
            time.sleep(0.005)


@pytest.fixture(scope="module", params=SCRIPTS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("torch" if request.param == "digits_torch" else "sklearn")
    return request.param


@pytest.fixture(scope="module")
def undisturbed(name: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("examples") / "undisturbed")
    run.to_its_end(name)
    return run


def slowed(name: str) -> tuple[str, ...]:
    return ("--seconds-per-epoch", "0.3") if name == "digits" else ()


def test_it_learns_and_tells_how_it_goes(name: str, undisturbed: Run) -> None:
    run, epochs = undisturbed, int(SCRIPTS[name][1])

    assert run.curve().keys() == {(stage, step) for stage in ("train", "val") for step in range(1, epochs + 1)}
    assert run.curve()["val", epochs][1] > 0.9
    assert run.curve()["val", epochs][0] < run.curve()["val", 1][0]
    assert [line["progress"] for line in run.lines() if "progress" in line][-1] == 1.0
    assert len(list(run.output.iterdir())) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["stopped", "killed"])
def test_interrupted_and_resumed_it_ends_with_the_same_numbers(
    name: str, undisturbed: Run, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    disturbed = Run(tmp_path / "disturbed")

    with disturbed.start(name, *slowed(name)) as process:
        disturbed.wait_for_epochs(3)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert len(disturbed.curve()) < len(undisturbed.curve())
    resumed = disturbed.to_its_end(name)

    assert "resumed after epoch" in resumed
    assert disturbed.curve() == undisturbed.curve()


def test_it_runs_without_levare_around_it(name: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.env = {key: value for key, value in run.env.items() if not key.startswith("LEVARE_")}

    said = run.to_its_end(name)

    assert "final: " in said
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoints", "output"}
