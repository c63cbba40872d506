"""What the agent of a machine tells its workers, and what it remembers before it ends one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from levare import agent, settings
from levare.agent import Agent, Identity, environment
from levare.errors import Unauthorized, Unavailable

IDENTITY = Identity("http://127.0.0.1:1", "atlas", "lv_t", "postgresql://u:p@h/l", "redis://:p@h:6379/0", 30)
HAS = {"cpus": 8, "memory_mib": 1024, "scratch_mib": 10, "labels": {"zone": "a"}, "gpus": []}


def an_order(name: str = "atlas-p-1", **other: Any) -> dict[str, Any]:
    order = {
        "name": name,
        "state": "wanted",
        "cpus": 4,
        "memory_mib": 512,
        "scratch_mib": 5,
        "gpus": ["GPU-1", "GPU-2"],
        "simulated_gpus": "",
        "labels": {"pool": "p", "machine": "atlas", "zone": "a"},
        "price": 2.5,
    }
    return order | other


class Kept:
    """A process that only says whether it runs."""

    started: list["Kept"]

    def __init__(self, name: str, *_: Any, env: Mapping[str, str], **__: Any) -> None:
        self.name, self.env, self.pid, self.starts, self.trouble = name, env, None, 0, ""
        Kept.started.append(self)

    def start(self) -> None:
        self.pid, self.starts = 1, 1

    def terminate(self) -> None:
        pass

    def end(self) -> None:
        self.pid = None


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Callable[..., Agent]:
    """An agent whose API gives these answers, one after the other."""
    Kept.started = []
    monkeypatch.setattr(agent, "Kept", Kept)

    def made(*answers: Sequence[Mapping[str, Any]] | Exception) -> Agent:
        found, left = Agent(tmp_path, IDENTITY, HAS, version="1", say=lambda _, line: told.append(line)), list(answers)

        def poll(name: str, report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
            answer = left.pop(0)
            told.append(f"{name} runs {sorted(report['workers'])}")
            if isinstance(answer, Exception):
                raise answer
            return answer

        found._client.poll_machine = poll  # pyright: ignore[reportAttributeAccessIssue]
        return found

    return made


def test_a_worker_is_told_what_it_offers_and_nothing_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("LEVARE_TOKEN", "LEVARE_CPUS", "LEVARE_RESOURCES", "LEVARE_GPUS", "LEVARE_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LEVARE_LOG_FORMAT", "json")

    told = environment(an_order(), IDENTITY, tmp_path)

    assert not {"LEVARE_TOKEN", "LEVARE_RESOURCES", "LEVARE_PORT"} & told.keys()
    worker = settings.load(told)
    assert (worker.node, worker.cpus, worker.memory_mib, worker.scratch_mib) == ("atlas-p-1", 4, 512, 5)
    assert (worker.gpus, worker.price, worker.simulated_gpus) == (("GPU-1", "GPU-2"), 2.5, "")
    assert worker.labels == {"pool": "p", "machine": "atlas", "zone": "a"}
    assert (worker.database, worker.redis, worker.lost_after.total_seconds()) == (IDENTITY.database, IDENTITY.redis, 30)
    assert worker.log_format == "json"


def test_a_worker_without_gpus_takes_none_and_a_whole_one_all_of_the_machine(tmp_path: Path):
    none = settings.load(environment(an_order(gpus=[]), IDENTITY, tmp_path))
    whole = settings.load(
        environment(an_order(cpus=None, memory_mib=None, scratch_mib=None, gpus=None), IDENTITY, tmp_path)
    )

    assert none.gpus == ()
    assert (whole.gpus, whole.memory_mib, whole.scratch_mib) == (None, None, None)


def test_what_is_wanted_is_started_and_what_is_stopping_ended_and_forgotten_first(
    make: Callable[..., Agent], tmp_path: Path, told: list[str]
):
    both = [an_order(), an_order("atlas-p-2")]
    one = [an_order(), an_order("atlas-p-2", state="stopping")]
    with make(both, one, one) as running:
        running.turn()
        assert [kept.name for kept in Kept.started] == ["atlas-p-1", "atlas-p-2"]
        running.turn()
        assert [order["name"] for order in running._remembered()] == ["atlas-p-1"]
        for thread in running._ending.values():
            thread.join()
        running.turn()

    assert told[-2:] == ["atlas-p-2 ends", "atlas runs ['atlas-p-1']"]
    assert (tmp_path / "workers" / "atlas-p-1" / "jobs").resolve() == tmp_path / "jobs"
    assert not (tmp_path / "workers" / "atlas-p-2").exists()
    assert (tmp_path / "jobs").exists()


def test_the_next_agent_runs_again_what_ran_before_it_has_asked(make: Callable[..., Agent]):
    with make([an_order()]) as first:
        first.turn()

    with make() as second:
        assert list(second._running) == ["atlas-p-1"]


def test_while_web_does_not_answer_what_runs_goes_on_and_that_is_said_once(make: Callable[..., Agent], told: list[str]):
    away, gone = Unavailable("It does not answer."), Unauthorized("This token was revoked.")
    with make([an_order()], away, away, gone, [an_order()]) as running:
        waits = [running.turn() for _ in range(5)]
        assert list(running._running) == ["atlas-p-1"]

    assert told.count("It does not answer. What runs here goes on.") == 1
    assert told[-1] == "http://127.0.0.1:1 answers"
    assert waits == [1.0, 1.0, 1.0, 10.0, 1.0]
