"""
A dossier as the guide shows it.

`python -m tests.pure.test_dossiers` writes it into docs/dossiers.md.
"""

import os
import re
import time
from pathlib import Path
from typing import Any

from levare.cli.failure import of_dossier
from levare.decide.differences import Ran, differences
from levare.decide.failures import Facts, diagnose
from levare.decide.lastwords import lines_of
from levare.model.failures import FAILURE_CLASSES

GUIDE = Path(__file__).parents[2] / "docs" / "dossiers.md"
SHOWN = re.compile(r"(\$ levare show k3v9x2m1qa --failure\n).*?(?=```)", re.DOTALL)
LOG = """step 1180 loss 0.412
step 1200 loss 0.398
Traceback (most recent call last):
  File "/home/ann/run/train.py", line 88, in <module>
    main()
  File "/home/ann/run/train.py", line 61, in main
    loss = step(batch)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79.15 GiB of which 1.21 GiB is free.
"""
CODE = {"commit": "3f2a9c1d0b7e", "branch": "main", "dirty": False, "diff": None}
GOOD = Ran(
    "atlas",
    command=["python", "train.py", "--batch-size", "64"],
    env={"LEVARE_DATA": "imagenet@v2"},
    found={"code": CODE, "packages": ["torch==2.5.0"], "driver": "550.54"},
)
BAD = Ran(
    "atlas",
    command=["python", "train.py", "--batch-size", "96"],
    env={"LEVARE_DATA": "imagenet@v3"},
    found={"code": CODE | {"dirty": True, "diff": "9be1c02a77d4"}, "packages": ["torch==2.6.0"], "driver": "550.54"},
)


def a_dossier() -> dict[str, Any]:
    """As the API answers it, made by the code that makes it."""
    found = diagnose(Facts("failed", "Exited with code 1.", 1, log=LOG.encode(), offset=40_960))
    kind = FAILURE_CLASSES[found.name]
    return {
        "job": "k3v9x2m1qa",
        "name": "resnet-50",
        "family": "vision/imagenet/resnet-50",
        "attempt": "k3v9x2m1qa-1",
        "number": 1,
        "rank": 0,
        "state": "failed",
        "node": "atlas",
        "reason": "Exited with code 1.",
        "exit_code": 1,
        "signal": None,
        "started_at": "2030-01-04T11:20:00Z",
        "ended_at": "2030-01-04T12:00:00Z",
        "peak_memory_mib": 18_432,
        "gpu_memory_mib": 79_872,
        "gpu_utilisation_percent": 96.0,
        "failure": kind.name,
        "title": kind.title,
        "exception": found.exception,
        "next_step": kind.next_step,
        "evidence": [vars(each) for each in found.evidence],
        "last_lines": [{"offset": line.offset, "text": line.text} for line in lines_of(LOG.encode(), 40_960)],
        "metrics": [{"stage": "train", "step": 1200, "values": {"loss": 0.398}}],
        "samples": [
            {"at": 1.0, "gpu_memory_mib": 61_440.0, "gpu_utilisation_percent": 97.0, "memory_mib": 18_200.0},
            {"at": 2.0, "gpu_memory_mib": 79_872.0, "gpu_utilisation_percent": 95.0, "memory_mib": 18_432.0},
        ],
        "last_good": {"job": "a1b2c3d4e5", "attempt": "a1b2c3d4e5-1", "number": 1, "node": "atlas"}
        | {"ended_at": "2030-01-03T12:00:00Z"},
        "changes": [vars(each) for each in differences(GOOD, BAD)],
        "provenance": {},
        "submitted_code": None,
        "same_failures": {"days": 30, "failures": 2, "attempts": 21},
    }


def printed() -> str:
    found: Any = a_dossier()
    return "\n".join(of_dossier(found)) + "\n"


def test_the_guide_shows_a_dossier_as_it_is_printed(monkeypatch: Any):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        shown = SHOWN.search(GUIDE.read_text())
        assert shown is not None
        assert shown[0] == shown[1] + printed()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_in_a_log_steers_the_terminal():
    found: Any = a_dossier() | {"last_lines": [{"offset": 0, "text": "a\x1b[2Jb"}], "name": "x\x1b]0;y\x07"}

    assert all(line.isprintable() for line in of_dossier(found))


def test_what_has_never_succeeded_says_so():
    found: Any = a_dossier() | {"last_good": None, "changes": []}

    text = "\n".join(of_dossier(found))
    assert "No run of vision/imagenet/resnet-50 has succeeded before\n  Nothing to compare it with." in text


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    GUIDE.write_text(SHOWN.sub(lambda found: found[1] + printed(), GUIDE.read_text()))
