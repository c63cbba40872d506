"""Who uses a GPU, and the end of what was left behind, on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from levare.model import Device
from levare.store.reaping import Orphan
from tests.fleet import eventually
from worker import proc
from worker.probe.gpu_users import GpuUsers
from worker.probe.ledger import Use
from worker.probe.reading import Reading
from worker.reap import reap

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def gpu() -> str:
    """A simulated GPU of a name that no other test has."""
    return f"SIM-{uuid4().hex[:8]}-0"


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process with these variables; it runs once this returns."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str = SLEEP, *command: str, **environ: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        argv = [*command, sys.executable, "-c", code]
        process = subprocess.Popen(argv, env=clean | environ, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def users(gpu: str, supervisors: dict[int, str] | None = None, **options: Any) -> list[Use]:
    return GpuUsers(**options).of_simulated([gpu], supervisors or {})[gpu]


def as_orphan(process: subprocess.Popen[str], attempt: str = "a-1") -> Orphan:
    return Orphan(process.pid, proc.start_of(process.pid), attempt, "me", "python", (0,))


def test_whoever_names_a_simulated_gpu_uses_it_and_nobody_else(gpu: str, start: Start):
    start(CUDA_VISIBLE_DEVICES=f"{gpu}1")
    foreign = start(CUDA_VISIBLE_DEVICES=f"other, {gpu}")
    marked = start(CUDA_VISIBLE_DEVICES=gpu, LEVARE_ATTEMPT="a-1")

    found = {use.pid: use for use in users(gpu)}

    assert found.keys() == {foreign.pid, marked.pid}
    assert (found[foreign.pid].attempt, found[marked.pid].attempt) == (None, "a-1")
    assert found[foreign.pid].start == proc.start_of(foreign.pid)
    assert found[foreign.pid].command.startswith(os.path.basename(sys.executable))  # noqa: PTH119


def test_what_runs_below_a_live_supervisor_is_of_its_attempt_whatever_it_says(gpu: str, start: Start):
    below = start(CUDA_VISIBLE_DEVICES=gpu)
    nested = start(CUDA_VISIBLE_DEVICES=gpu, LEVARE_ATTEMPT="of-another-levare-1")

    found = users(gpu, {os.getpid(): "mine-1"})

    assert {use.pid: use.attempt for use in found} == {below.pid: "mine-1", nested.pid: "mine-1"}


def test_levares_own_processes_and_companions_do_not_count(gpu: str, start: Start, tmp_path: Any):
    start(CUDA_VISIBLE_DEVICES=gpu)
    (tmp_path / "beat.py").write_text(SLEEP)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "beat"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": gpu, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        assert daemon.stdout
        assert daemon.stdout.readline()
        assert daemon.pid not in {use.pid for use in users(gpu)}
        assert users(gpu, companions=[os.path.basename(sys.executable)]) == []  # noqa: PTH119
    finally:
        daemon.kill()
        daemon.communicate()


def a_reading(**processes: int) -> Reading:
    return Reading(Device("gpu-a", 0, 81920), {}, {int(pid[1:]): mib for pid, mib in processes.items()})


def test_what_the_driver_names_is_known_by_our_process_table(start: Start):
    ours = start(LEVARE_ATTEMPT="a-1")
    silent = Reading(Device("gpu-b", 1, 81920), {}, None)

    found = GpuUsers().of_readings([a_reading(**{f"p{ours.pid}": 300}), silent], {})

    assert found.keys() == {"gpu-a"}
    [use] = found["gpu-a"]
    assert (use.pid, use.start, use.attempt, use.memory_mib) == (ours.pid, proc.start_of(ours.pid), "a-1", 300)


def test_what_is_not_in_our_process_table_has_just_ended_unless_it_is_named_again():
    gone = subprocess.Popen(["true"])
    gone.wait()
    users, named = GpuUsers(), [a_reading(**{f"p{gone.pid}": 7})]

    looks = [users.of_readings(each, {})["gpu-a"] for each in (named, [a_reading()], named, named, named)]

    unknown = [Use(gone.pid, None, memory_mib=7)]
    assert looks == [[], [], [], unknown, unknown]


def test_a_process_that_only_its_owner_may_see_is_another_users(monkeypatch: pytest.MonkeyPatch):
    gone = subprocess.Popen(["true"])
    gone.wait()

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(pid, number)

    monkeypatch.setattr(os, "kill", refuse)

    assert GpuUsers().of_readings([a_reading(**{f"p{gone.pid}": 7})], {})["gpu-a"] == [
        Use(gone.pid, 0, "another user", memory_mib=7)
    ]


def test_an_orphan_ends_by_term_and_a_stubborn_one_is_killed(start: Start):
    soft, stubborn = start(LEVARE_ATTEMPT="a-1"), start(STUBBORN, LEVARE_ATTEMPT="a-1")

    reaped = reap([as_orphan(soft), as_orphan(stubborn)], is_over=lambda _: True, grace_seconds=0.5)

    assert [each.outcome for each in reaped] == ["ended", "killed"]
    assert (soft.wait(5), stubborn.wait(5)) == (-signal.SIGTERM, -signal.SIGKILL)


def test_what_cannot_be_proven_at_that_moment_is_left_alone(start: Start):
    unmarked, other, alive = start(), start(LEVARE_ATTEMPT="b-1"), start(LEVARE_ATTEMPT="live-1")
    reused = start(LEVARE_ATTEMPT="a-1")
    of_before = Orphan(reused.pid, proc.start_of(reused.pid) - 1, "a-1", "me", "python")
    ended = start(LEVARE_ATTEMPT="a-1")
    gone = as_orphan(ended)
    ended.kill()
    ended.wait()
    orphans = [as_orphan(unmarked), as_orphan(other), as_orphan(alive, "live-1"), of_before, gone]

    reaped = reap(orphans, is_over=lambda attempt: attempt != "live-1", grace_seconds=0.1)

    assert [each.outcome for each in reaped] == ["spared", "spared", "spared", "gone", "gone"]
    assert all(process.poll() is None for process in (unmarked, other, alive, reused))


def test_one_that_has_ended_and_is_not_waited_for_is_gone(start: Start):
    zombie = start(LEVARE_ATTEMPT="a-1")
    orphan = as_orphan(zombie)
    os.kill(zombie.pid, signal.SIGKILL)
    eventually(lambda: "Z" in (proc.files.read(f"/proc/{zombie.pid}/stat").rpartition(")")[2]).split()[0])

    assert [each.outcome for each in reap([orphan], is_over=lambda _: True)] == ["gone"]


def test_a_look_at_all_processes_is_cheap(gpu: str):
    GpuUsers().of_simulated([gpu], {})
    processes = sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208

    began = time.process_time()
    for _ in range(10):
        GpuUsers().of_simulated([gpu], {})
    each_us = (time.process_time() - began) / 10 / processes * 1e6

    assert each_us < 160, "300 processes every 5 s would take 1% of a core"
