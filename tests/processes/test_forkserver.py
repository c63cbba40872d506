"""Starting supervisors, and what happens when whoever starts them dies."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fleet import eventually
from tests.trials import Trials, alive
from worker import launcher as launching
from worker.launcher import Launcher
from worker.rundir import RunDir


@pytest.fixture
def plain(tmp_path: Path, quick: Trials) -> Trials:
    """Beside `quick`: supervisors that a fork-server has nothing to do with."""
    return Trials(tmp_path / "plain", Launcher(fork_server=False), quick.made)


def server_of(launcher: Launcher) -> int:
    assert launcher._server
    return launcher._server.pid


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_both_ways_of_starting_give_the_same(quick: Trials, plain: Trials):
    script = "echo out; echo err >&2; env | grep -v RUN_DIR | grep -v ATTEMPT | sort; pwd; umask; exit 5"
    endings, logs = [], []
    for way in (quick, plain):
        trial = way.start("sh", "-c", script, cwd="/")
        ending = trial.ending()
        endings.append((ending.exit_code, ending.signal, ending.cause, ending.error))
        logs.append(trial.log())

    assert endings[0] == endings[1] == (5, None, "exited", None)
    assert logs[0] == logs[1]


def test_the_fork_server_is_several_times_faster(quick: Trials, plain: Trials):
    quick.run("true")  # starts the fork-server

    def seconds(way: Trials) -> float:
        trial = way.make("true")
        began = time.monotonic()
        trial.supervisor = way.launcher.start(trial.run)
        trial.ending()
        return time.monotonic() - began

    # the least of several: what others do on this machine only ever adds
    assert min(seconds(quick) for _ in range(9)) < min(seconds(plain) for _ in range(5)) / 2


def test_many_threads_may_start_attempts_at_once(quick: Trials):
    made = [quick.make("sh", "-c", f"exit {number}") for number in range(24)]

    def start(number: int) -> int:
        made[number].supervisor = quick.launcher.start(made[number].run)
        return made[number].ending().exit_code

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(start, range(24))) == list(range(24))


def test_a_fork_server_that_died_is_replaced(quick: Trials):
    first = quick.start("sleep", "600")
    first.state()
    before = server_of(quick.launcher)

    os.kill(before, signal.SIGKILL)

    assert quick.run("true").exit_code == 0  # the death may be noticed only now
    assert quick.run("true").exit_code == 0
    assert server_of(quick.launcher) != before
    assert alive(first.state().pid)
    first.signal()
    assert first.ending().cause == "cancelled"


def test_an_attempt_starts_once_even_if_the_fork_server_hangs(quick: Trials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launching, "ANSWER_SECONDS", 0.2)
    quick.run("true")
    os.kill(server_of(quick.launcher), signal.SIGSTOP)

    trial = quick.start("sh", "-c", "echo once")

    assert trial.ending().exit_code == 0
    assert trial.log() == b"once\n"


def test_without_a_fork_server_attempts_start_as_processes_of_their_own(quick: Trials, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError("no sockets today")

    monkeypatch.setattr(launching.socket, "socketpair", refuse)
    launcher = Launcher()
    trial = quick.make("sh", "-c", "exit 6")

    trial.supervisor = launcher.start(trial.run)

    assert trial.ending().exit_code == 6
    launcher.close()


def test_supervisors_that_nobody_holds_end_with_their_attempt_and_are_reaped(trials: Trials):
    trial = trials.start("sleep", "0.2")
    supervisor = trial.state().supervisor_pid

    trial.let_go()

    eventually(lambda: not Path(f"/proc/{supervisor}").exists())
    assert trial.run.ending()


def test_a_supervisor_whose_attempt_is_over_serves_again(quick: Trials):
    first = quick.start("sh", "-c", "head -c 30000000 /dev/zero | tail; exit 3", env={"SECRET": "of the first"})
    before = first.ending()
    quick.release(first)
    second = quick.start("sh", "-c", "env; pwd; ls -l /proc/self/fd; exit 4", cwd="/")
    after, log = second.ending(), second.log()

    assert second.state().supervisor_pid == first.state().supervisor_pid
    assert (before.exit_code, after.exit_code) == (3, 4)
    assert after.peak_memory_mib < before.peak_memory_mib
    assert after.cpu_seconds < before.cpu_seconds
    assert b"of the first" not in log
    assert b"/" in log.splitlines()
    assert str(first.run.path).encode() not in log
    assert not first.run.is_locked()


def test_a_signal_for_an_attempt_that_is_over_does_not_reach_the_next(quick: Trials):
    first = quick.start("true")
    first.ending()
    first.signal()
    quick.release(first)

    second = quick.start("sleep", "0.1")

    assert second.ending().cause == "exited"
    assert second.state().supervisor_pid == first.state().supervisor_pid


def test_a_supervisor_with_a_living_attempt_is_not_given_another(quick: Trials):
    first = quick.start("sleep", "600")
    pid = first.state().supervisor_pid
    held = first.hold_again()
    first.let_go()

    second = quick.start("true")

    assert second.ending().exit_code == 0
    assert second.state().supervisor_pid != pid
    assert alive(first.state().pid)
    held.signal()
    assert held.ends(20)
    held.close()


def test_a_spare_supervisor_that_has_died_is_replaced(quick: Trials):
    first = quick.start("true")
    first.ending()
    quick.release(first)
    os.kill(first.state().supervisor_pid, signal.SIGKILL)

    second = quick.start("true")

    assert second.ending().exit_code == 0
    assert second.state().supervisor_pid != first.state().supervisor_pid


def test_spare_supervisors_end_when_their_worker_closes_the_launcher(quick: Trials):
    first = quick.start("true")
    first.ending()
    quick.release(first)
    assert alive(first.state().supervisor_pid)

    quick.launcher.close()

    eventually(lambda: not alive(first.state().supervisor_pid))


def test_supervisors_outlive_the_worker_and_its_fork_server(quick: Trials):
    trial = quick.make("sh", "-c", "echo ready; sleep 600")
    script = f"""
import sys, time
from pathlib import Path
from worker.launcher import Launcher
from worker.rundir import RunDir
launcher = Launcher()
launcher.start(RunDir(Path({str(trial.run.path)!r})))
print(launcher._server.pid, flush=True)
time.sleep(600)
"""
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=launching._HERE.parent)
    assert worker.stdout
    server = int(worker.stdout.readline())
    trial.says(b"ready")

    worker.kill()
    worker.communicate()

    eventually(lambda: not alive(server))
    trial.supervisor = RunDir(trial.run.path).open_supervisor()
    assert trial.supervisor
    assert alive(trial.state().pid)
    trial.signal()
    assert trial.ending().cause == "cancelled"


def test_closing_the_launcher_ends_the_fork_server_and_nothing_else(quick: Trials):
    trial = quick.start("sleep", "600")
    trial.state()
    server = server_of(quick.launcher)

    quick.launcher.close()

    assert not alive(server)
    assert trial.run.is_locked()
    trial.signal()
    assert trial.ending().cause == "cancelled"


def test_a_supervisor_keeps_nothing_of_the_worker(trials: Trials, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEVARE_DATABASE", "postgresql://secret")
    trial = trials.start("sleep", "600")
    process = Path(f"/proc/{trial.state().supervisor_pid}")

    assert b"secret" not in process.joinpath("environ").read_bytes()
    files = {str(file.readlink()) for file in process.joinpath("fd").iterdir()}
    ours = {"/dev/null", str(trial.run.path / "lock"), str(trial.run.path / "out.log")}
    theirs = {file for file in files if not file.startswith(("anon_inode:", "pipe:", "socket:"))}
    assert {file for file in theirs if "/libffi.so" not in file} == ours  # which a libffi of 2025 holds open
    assert len(children_of(trial.state().supervisor_pid)) == 1


def test_a_supervisor_that_fails_itself_says_where(quick: Trials):
    trial = quick.make("true")
    spec = trial.run.path / "spec.json"
    spec.write_text(spec.read_text().replace('"log_head_bytes": 1048576', '"log_head_bytes": "many"'))

    trial.supervisor = quick.launcher.start(trial.run)

    assert trial.ends()
    assert "TypeError" in (trial.run.path / "supervisor.err").read_text()
    assert trial.run.ending() is None
