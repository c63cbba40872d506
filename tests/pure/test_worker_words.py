"""What the worker makes of what it reads: endings, environments, checkpoints."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from levare.store.attempts import Claimed
from levare.store.gangs import Gang
from worker import checkpoints
from worker.checkpoints import LOOK_EVERY_SECONDS, TELL_EVERY_SECONDS, Checkpoints
from worker.endings import outcome_of
from worker.environment import environment, number_of
from worker.rundir import Ending, Spec

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_spec(**wishes: Any) -> Spec:
    limits = {"timeout_seconds": 100, "warning_signal": 10, "warning_seconds": 30}
    fixed = {"attempt": "j-1", "argv": ["true"], "env": {}, "cwd": "/", "grace_seconds": 1, "memory_max_mib": None}
    logs = {"log_head_bytes": 1, "log_tail_bytes": 1, "lease_file": None, "lease_seconds": None}
    return Spec(**{**fixed, **logs, "fence_grace_seconds": 1, **limits, **wishes})


def an_ending(seconds: float, *, code: int = 143, cause: str = "exited") -> Ending:
    return Ending(code, None, cause, None, 1, 1.0, 1000.0, 1000.0 + seconds, 0)


@pytest.mark.parametrize(
    ("ending", "spec", "state"),
    [
        (an_ending(71), a_spec(), "timed_out"),
        (an_ending(69), a_spec(), "failed"),
        (an_ending(71, code=0), a_spec(), "succeeded"),
        (an_ending(71), a_spec(warning_signal=None), "failed"),
        (an_ending(71), a_spec(timeout_seconds=None), "failed"),
        (an_ending(71, cause="cancelled"), a_spec(), "cancelled"),
        (an_ending(101, cause="timed_out"), a_spec(), "timed_out"),
    ],
)
def test_who_leaves_when_warned_of_its_limit_has_timed_out(ending: Ending, spec: Spec, state: str):
    assert outcome_of(ending, spec, now=NOON).state == state


def test_who_left_in_time_is_not_said_to_have_run_too_long():
    outcome = outcome_of(an_ending(71), a_spec(), now=NOON)

    assert outcome.reason == "Warned of its limit of 100 s, it left with code 143."


def claimed(**wishes: Any) -> Claimed:
    fixed = {"attempt_id": "j-1.1", "job_id": "j", "queue": "gpu.b", "command": ["true"], "cwd": "", "env": {}}
    limits = {"devices": {}, "memory_mib": 0, "timeout_seconds": None, "grace_seconds": 10, "on_lost": "keep"}
    return Claimed(
        **{
            **fixed,
            **limits,
            "warning_signal": None,
            "warning_seconds": 0,
            "is_unwanted": False,
            "gang": None,
            **wishes,
        }
    )


def seen(job: Claimed) -> dict[str, str]:
    return environment(job, run=Path("/run"), home=Path("/home"), inherited={})


def test_a_part_of_a_gang_knows_where_all_of_it_meets():
    variables = seen(claimed(gang=Gang(1, ("a", "b"), "10.0.0.1", 23456), env={"NODE_RANK": "mine"}))

    meeting = {name: variables[name] for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK")}
    assert meeting == {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "23456", "WORLD_SIZE": "2", "NODE_RANK": "1"}
    assert variables["LEVARE_NODES"] == "a,b"


def test_a_job_on_one_node_keeps_its_own_names():
    variables = seen(claimed(env={"NODE_RANK": "mine"}))

    assert variables["NODE_RANK"] == "mine"
    assert not {"MASTER_ADDR", "LEVARE_NODES", "LEVARE_WARNING"} & set(variables)


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1"])
def test_a_warning_is_named_in_full(name: str):
    assert seen(claimed(warning_signal=name))["LEVARE_WARNING"] == "SIGUSR1"
    assert number_of(name) == 10


class Folder:
    """Checkpoints that are told in a list, by a clock of the test."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.now, self.told = path, 0.0, []
        self._checkpoints = Checkpoints(path, "j-1", since=1000.0, clock=lambda: self.now)
        monkeypatch.setattr(checkpoints.shipping, "saved", lambda *_, at: self.told.append(at.timestamp()))

    def save(self, name: str, at: float) -> None:
        (self.path / name).touch()
        os.utime(self.path / name, (at, at))

    def look(self, after: float) -> list[float]:
        self.now += after
        self._checkpoints.ship(lambda write: write(None))  # pyright: ignore[reportArgumentType]
        return self.told


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def test_the_newest_checkpoint_is_told_at_most_every_ten_seconds(folder: Folder):
    folder.save("old", 1001.0)
    folder.save("new", 1002.0)

    assert folder.look(LOOK_EVERY_SECONDS - 1) == []
    assert folder.look(1) == [1002.0]
    folder.save("newer", 1003.0)
    assert folder.look(TELL_EVERY_SECONDS - 1) == [1002.0]
    assert folder.look(1) == [1002.0, 1003.0]
    assert folder.look(TELL_EVERY_SECONDS) == [1002.0, 1003.0]


def test_checkpoints_of_an_attempt_before_are_none_of_this_one(folder: Folder):
    folder.save("inherited", 999.0)

    assert folder.look(LOOK_EVERY_SECONDS) == []


def test_a_folder_that_is_gone_holds_no_checkpoint(folder: Folder):
    folder.path.rmdir()

    assert folder.look(LOOK_EVERY_SECONDS) == []
