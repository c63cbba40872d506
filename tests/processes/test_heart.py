"""The heart and its probes on real processes: whose they are, what they use, and what may hang or be away."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import structlog

from levare import settings
from levare.pulse import Pulse
from levare.settings import Settings
from worker.heart import Heart, Tracked, Usage
from worker.probe.facts import gpus
from worker.probe.machine import Machine
from worker.probe.nvidia import Nvidia
from worker.probe.processes import ProcessTable, Tree

SUPERVISOR = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # what escapes comes back to this process
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
child.wait()
print("child ended", flush=True)
sys.stdin.read()
"""
ESCAPE = """
import os, time
said, says = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(says, b".")
        time.sleep(600)
    os._exit(0)
os.wait()
os.read(said, 1)
"""
HOLD_200_MIB = "held = b'x' * (200 << 20); print('held', flush=True); import time; time.sleep(600)"
SHARE_200_MIB = """
import os, time
held = b'x' * (200 << 20)
for _ in range(3):
    if os.fork() == 0: time.sleep(600)
print('held', flush=True)
time.sleep(600)
"""
BURN = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"])
"""


def eventually(question: Callable[[], Any], seconds: float = 20) -> Any:
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)
    return answer


@pytest.fixture
def supervise() -> Iterator[Callable[[str], tuple[int, str]]]:
    """Run code below a supervisor; give the supervisor's process id and the first line that was printed."""
    table, started = ProcessTable(), []

    def start(code: str) -> tuple[int, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        return process.pid, process.stdout.readline().strip()

    yield start
    for process in started:
        tree = table.trees([Tracked("it", process.pid)]).get("it")
        for pid in tree.pids if tree else ():
            with suppress(ProcessLookupError):  # a parent that was killed first may have taken it along
                os.kill(pid, 9)
        process.communicate()


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return settings.load({"LEVARE_HOME": str(tmp_path), "LEVARE_NODE": "n1", "LEVARE_SIMULATED_GPUS": "2x80GiB"})


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    server = fakeredis.FakeServer()
    pulse = Pulse("", connect=lambda _, **__: fakeredis.FakeRedis(server=server, decode_responses=True))
    yield pulse
    pulse.close()


def tree_of(pid: int, cgroup: str | None = None) -> Tree:
    return ProcessTable().trees([Tracked("it", pid, cgroup)])["it"]


Supervise = Callable[[str], tuple[int, str]]


def test_a_grandchild_that_has_escaped_with_setsid_and_a_double_fork_is_found(supervise: Supervise) -> None:
    supervisor, escaped = supervise(ESCAPE)

    tree = tree_of(supervisor)

    assert int(escaped) in tree.pids
    assert supervisor not in tree.pids


def test_two_attempts_never_see_each_others_processes(supervise: Supervise) -> None:
    (first, its_escaped), (second, other_escaped) = supervise(ESCAPE), supervise(ESCAPE)

    trees = ProcessTable().trees([Tracked("first", first), Tracked("second", second)])

    assert int(its_escaped) in trees["first"].pids
    assert int(other_escaped) in trees["second"].pids
    assert not set(trees["first"].pids) & set(trees["second"].pids)


def test_with_a_cgroup_its_processes_are_the_attempts(supervise: Supervise, tmp_path: Path) -> None:
    supervisor, escaped = supervise(ESCAPE)
    (tmp_path / "inner").mkdir()
    (tmp_path / "cgroup.procs").write_text(f"{supervisor}\n")
    (tmp_path / "inner" / "cgroup.procs").write_text(f"{escaped}\n{os.getpid()}\n")

    tree = tree_of(supervisor, str(tmp_path))

    assert set(tree.pids) == {int(escaped), os.getpid()}


def test_attempts_with_and_without_a_cgroup_are_found_together(supervise: Supervise, tmp_path: Path) -> None:
    (first, _), (second, escaped) = supervise(ESCAPE), supervise(ESCAPE)
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")

    trees = ProcessTable().trees([Tracked("first", first, str(tmp_path)), Tracked("second", second)])

    assert list(trees["first"].pids) == [os.getpid()]
    assert int(escaped) in trees["second"].pids


def test_a_cgroup_that_is_gone_leaves_the_descendants(supervise: Supervise, tmp_path: Path) -> None:
    supervisor, escaped = supervise(ESCAPE)

    assert int(escaped) in tree_of(supervisor, str(tmp_path / "gone")).pids


def test_what_is_started_later_is_found_though_others_are_passed_over() -> None:
    table, one = ProcessTable(), [Tracked("it", os.getpid())]
    before = table.trees(one)["it"].pids

    with subprocess.Popen(["sleep", "600"]) as later:
        assert set(table.trees(one)["it"].pids) - set(before) == {later.pid}
        assert table._others._known
        later.kill()


def test_an_attempt_whose_supervisor_is_gone_has_no_tree() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert ProcessTable().trees([Tracked("it", ended.pid)]) == {}


def test_memory_is_what_the_processes_hold(supervise: Supervise) -> None:
    supervisor, _ = supervise(HOLD_200_MIB)

    tree = tree_of(supervisor)

    assert 200 < tree.memory_mib < 230
    assert (tree.processes, tree.threads) == (1, 1)


def test_memory_that_forked_processes_share_counts_once(supervise: Supervise) -> None:
    supervisor, _ = supervise(SHARE_200_MIB)

    tree = tree_of(supervisor)

    assert tree.processes == 4
    assert 200 < tree.memory_mib < 260


def test_cpu_time_of_what_has_ended_is_not_lost(supervise: Supervise) -> None:
    supervisor, _ = supervise(BURN)  # answers when all of it has ended

    tree = tree_of(supervisor)

    assert tree.processes == 0
    assert 0.39 < tree.cpu_seconds < 2


def test_a_beat_tells_the_node_and_each_attempt(given: Settings, pulse: Pulse, supervise: Supervise) -> None:
    supervisor, _ = supervise(HOLD_200_MIB)
    live = [Tracked("a-1", supervisor, None, {"SIM-n1-0": 40960})]
    heart = Heart(given, pulse, lambda: live, gpus(given))

    heart.beat()
    heart.beat()

    assert pulse.heartbeat_of("n1")["gpu0_memory_used_mib"] == 32768
    assert len(pulse.samples("node", "n1")) == 2
    first, second = pulse.samples("attempt", "a-1")
    assert first["processes"] == 1
    assert 200 < first["memory_mib"] < 230
    assert first["gpu_memory_mib"] == 32768
    assert "cpu_percent" not in first  # there is no rate yet
    assert {"cpu_percent", "read_mib_per_second", "write_mib_per_second"} <= second.keys()


def test_usage_is_what_was_seen_at_most_also_after_the_end(given: Settings, pulse: Pulse, supervise: Supervise) -> None:
    supervisor, _ = supervise(HOLD_200_MIB)
    live = [Tracked("a-1", supervisor, None, {"SIM-n1-0": 40960})]
    heart = Heart(given, pulse, lambda: live, gpus(given))
    heart.beat()
    os.kill(tree_of(supervisor).pids[0], 9)
    eventually(lambda: tree_of(supervisor).processes == 0)
    heart.beat()
    live.clear()
    heart.beat()

    usage = heart.usage("a-1")

    assert 200 < (usage.peak_memory_mib or 0) < 230
    assert usage.gpu_memory_mib == 32768
    assert 70 <= (usage.gpu_utilisation_percent or 0) <= 98
    assert (usage.energy_joules or 0) > 0
    assert heart.usage("never-1") == Usage(None, None, None, None)


def test_the_heart_beats_by_itself_until_it_is_stopped(given: Settings, pulse: Pulse) -> None:
    heart = Heart(given, pulse, list, gpus(given), every_seconds=0.02)
    heart.start()
    eventually(lambda: len(pulse.samples("node", "n1")) > 5)

    heart.stop()

    beats = len(pulse.samples("node", "n1"))
    assert not heart._thread.is_alive()
    assert len(pulse.samples("node", "n1")) == beats


def test_without_redis_the_heart_goes_on_measuring_and_says_so_once(given: Settings, supervise: Supervise) -> None:
    supervisor, _ = supervise(HOLD_200_MIB)
    pulse = Pulse("unix:///no/such/socket")
    heart = Heart(given, pulse, lambda: [Tracked("a-1", supervisor)], gpus(given), every_seconds=0.02)

    with structlog.testing.capture_logs() as said:
        heart.start()
        eventually(lambda: heart.usage("a-1").peak_memory_mib)
        eventually(lambda: len(said) > 0)
        heart.stop()
    pulse.close()

    assert [(line["event"], line["part"]) for line in said] == [("probe.failed", "pulse")]


def test_whatever_fails_the_rest_of_the_beat_goes_on(
    given: Settings, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("broken")

    heart = Heart(given, pulse, fail, gpus(given))
    with structlog.testing.capture_logs() as said:
        heart.beat()
        assert "gpu0_power_watts" in pulse.heartbeat_of("n1")
        monkeypatch.setattr(heart._gpus, "readings", fail)
        heart.beat()
        assert "gpu0_power_watts" not in pulse.heartbeat_of("n1")
        monkeypatch.setattr(Machine, "sample", fail)
        monkeypatch.setattr(heart._attempts, "sample", fail)
        heart.beat()
        heart.beat()
        monkeypatch.setattr(heart._pulse, "beat", fail)
        heart.beat()

    assert [line["part"] for line in said] == ["live", "gpus", "machine", "attempts", "pulse"]


A_GPU = json.dumps(
    {
        "devices": [
            {
                "uuid": "GPU-a",
                "index": 0,
                "model": "NVIDIA Test",
                "memory_mib": 81920,
                "counters": {"utilisation_percent": 50},
                "processes": {"7": 100},
            }
        ]
    }
)


def child(code: str) -> Sequence[str]:
    """Says one line for the GPU `A_GPU`, or whatever else the code does; `started` counts the starts."""
    return (sys.executable, "-c", f"import os, time; say = lambda: print({A_GPU!r}, flush=True)\n{code}")


@pytest.fixture
def nvidia() -> Iterator[Callable[..., Nvidia]]:
    made: list[Nvidia] = []

    def make(code: str, **options: Any) -> Nvidia:
        made.append(Nvidia(child(code), **options))
        return made[-1]

    yield make
    [each.close() for each in made]


Make = Callable[..., Nvidia]


def test_gpus_are_known_as_soon_as_they_are_named(nvidia: Make) -> None:
    found = nvidia("say(); time.sleep(600)")

    [device] = found.devices()

    assert (device.uuid, device.memory_mib, device.model) == ("GPU-a", 81920, "NVIDIA Test")
    assert found.readings()[0].memory_of([7, 8]) == 100


def test_a_node_that_offers_some_gpus_of_its_machine_tells_of_no_others(nvidia: Make, tmp_path: Path) -> None:
    """What shares the machine with it has them."""
    starts = f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); say(); time.sleep(600)"

    assert [device.uuid for device in nvidia(starts, only=("GPU-a", "GPU-z")).devices()] == ["GPU-a"]
    assert nvidia(starts, only=("GPU-b",)).devices() == []
    assert nvidia(starts, only=()).devices() == []
    assert (tmp_path / "starts").read_text() == "xx"  # none for a node without any


def test_an_nvml_that_hangs_from_the_start_is_replaced_and_stops_nothing(
    given: Settings, pulse: Pulse, nvidia: Make, tmp_path: Path
) -> None:
    found = nvidia(f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); time.sleep(600)", first_seconds=0.3)
    heart = Heart(given, pulse, list, found, every_seconds=0.02)

    with structlog.testing.capture_logs() as said:
        heart.start()
        eventually(lambda: len((tmp_path / "starts").read_text()) >= 2 if (tmp_path / "starts").exists() else False)
        heart.stop()

    assert len(pulse.samples("node", "n1")) > 20
    assert [line["event"] for line in said] == ["nvml.hung"]


def test_values_of_an_nvml_that_hangs_later_count_no_more(nvidia: Make) -> None:
    found = nvidia("say(); time.sleep(600)", stale_seconds=0.3)
    assert found.devices()

    eventually(lambda: found.readings() == [], 5)

    eventually(found.readings, 5)  # of its successor


def test_an_nvml_that_ends_is_started_again_at_growing_intervals(nvidia: Make, tmp_path: Path) -> None:
    found = nvidia(f"open({str(tmp_path / 'starts')!r}, 'a').write(f'{{time.monotonic()}} ')")
    starts = tmp_path / "starts"

    eventually(lambda: found.readings() or (starts.exists() and len(starts.read_text().split()) >= 3))

    first, second, third = [float(start) for start in starts.read_text().split()]
    assert second - first > 0.9
    assert third - second > 1.9


def test_a_machine_without_nvml_is_asked_once_and_told_once(nvidia: Make, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    found = nvidia(
        f"open({str(starts)!r}, 'a').write('x'); print('{{\"error\": \"no library\"}}', flush=True); os._exit(3)"
    )
    with structlog.testing.capture_logs() as said:
        assert found.devices() == []
        assert found._start_at == float("inf")
        assert [found.readings() for _ in range(100)] == [[]] * 100

    assert starts.read_text() == "x"
    assert [(line["event"], line["reason"]) for line in said] == [("gpus.not_found", "no library")]


def test_what_an_nvml_says_that_is_no_json_is_silence(nvidia: Make) -> None:
    found = nvidia("print('NVRM: Xid 79\\n[1]\\n{}', flush=True); time.sleep(600)", first_seconds=0.3)

    with structlog.testing.capture_logs() as said:
        eventually(lambda: found.readings() or found._failures == 1)

    assert [line["event"] for line in said] == ["nvml.hung"]


def test_close_leaves_no_process(nvidia: Make) -> None:
    found = nvidia("say(); time.sleep(600)")
    found.devices()
    process = found._child._process if found._child else None

    found.close()

    assert process
    assert process.returncode == -9
