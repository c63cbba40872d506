"""The process beside each attempt, with real commands."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import eventually
from tests.trials import Trial, Trials, alive, supervise_with
from worker import cgroup
from worker.rundir import RunDir
from worker.supervisor import STARTED_BEFORE, TAKEN

SUPERVISOR = Path(cgroup.__file__).with_name("supervisor.py")
GLIBCS_OWN_SIGNALS = 0b11 << 31
"""32 and 33: inherited as they are, and no program can change them through glibc."""
IGNORES_TERM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(f"escaped {os.getpid()}\\n", end="")
        time.sleep(600)
    os._exit(0)
os.wait()
print("ready\\n", end="")
time.sleep(600)
"""


def supervise(run: RunDir, *, within: float = 20) -> int:
    """Run a supervisor in the foreground; what it returns."""
    command = [sys.executable, "-I", "-S", "-E", str(SUPERVISOR), str(run.path)]
    return subprocess.run(command, timeout=within, check=False, start_new_session=True).returncode


def number_after(word: str, trial: Trial) -> int:
    """Wait until the job has printed the word and a number on a line."""
    found = eventually(lambda: re.search(rf"{word} (\d+)\n", trial.log().decode()))
    assert found
    return int(found[1])


@pytest.mark.parametrize("code", [0, 3])
def test_the_ending_tells_the_exit_code(trials: Trials, code: int):
    ending = trials.run("sh", "-c", f"exit {code}")

    assert (ending.exit_code, ending.signal, ending.cause, ending.error) == (code, None, "exited", None)
    assert ending.started_at < ending.ended_at


def test_the_ending_tells_the_signal(trials: Trials):
    ending = trials.run("sh", "-c", "kill -9 $$")

    assert (ending.exit_code, ending.signal, ending.cause) == (137, 9, "exited")


def test_a_job_gets_exactly_its_command_its_environment_and_its_directory(trials: Trials, tmp_path: Path):
    odd = {"LEVARE_JOB": "j", "EMPTY": "", "LINES": "a\nb", "TEXT": "schön ✓"}
    script = "import os, sys, json; print(json.dumps([sys.argv[1:], dict(os.environb)], default=bytes.decode))".replace(
        "dict(os.environb)", "{k.decode(): v.decode() for k, v in os.environb.items()}"
    )
    arguments = ["", "two words", "$HOME", "*"]

    trial = trials.python(f"{script}; print(os.getcwd())", *arguments, env=odd)

    assert trial.ending().exit_code == 0
    said, cwd = trial.log().decode().splitlines()
    environment = trial.run.spec().env
    given, seen = json.loads(said)
    assert given == arguments
    assert {name: seen[name] for name in environment} == environment
    assert set(seen) - set(environment) <= {"LC_CTYPE"}, "Python itself sets that one"
    assert cwd == str(tmp_path)


def test_a_job_starts_with_default_signals_no_input_and_only_its_own_files(trials: Trials):
    trial = trials.start("sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; wc -c; ls -l /proc/self/fd | wc -l")

    assert trial.ending().exit_code == 0
    lines = trial.log().decode().split()
    assert [int(lines[1], 16), int(lines[3], 16) & ~GLIBCS_OWN_SIGNALS] == [0, 0]
    assert lines[4:] == ["0", "5"], "0, 1, 2, the folder that ls reads, and a heading"


def test_a_job_has_a_group_of_its_own_and_goes_first_when_memory_runs_out(trials: Trials):
    trial = trials.start("sleep", "600")
    state = trial.state()

    score = int(Path(f"/proc/{state.supervisor_pid}/oom_score_adj").read_text())
    eventually(lambda: int(Path(f"/proc/{state.pid}/oom_score_adj").read_text()) == min(score + 500, 1000))
    assert os.getpgid(state.pid) == state.pid
    assert os.getsid(state.supervisor_pid) == state.supervisor_pid


def test_the_state_is_there_before_the_command_runs(trials: Trials):
    trial = trials.start("sh", "-c", "cat $RUN_DIR/state.json")

    assert trial.ending().exit_code == 0
    assert json.loads(trial.log())["pid"] == trial.state().pid


def test_a_second_supervisor_of_an_attempt_starts_nothing(quick: Trials):
    trial = quick.start("sleep", "600")
    state = trial.state()

    assert supervise(trial.run) == TAKEN
    assert trial.state() == state
    assert alive(state.pid)


def test_looking_at_the_lock_keeps_no_supervisor_from_starting(quick: Trials):
    trial = quick.make("true")
    lock = trial.run.path / "lock"
    waits = "import time\nsleep = time.sleep\ndef waits(s): open('waits', 'w').close(); sleep(s)\ntime.sleep = waits"

    with lock.open("w") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)

        def look_away() -> None:
            eventually(lock.with_name("waits").exists, every=0.001)
            fcntl.flock(looked_at, fcntl.LOCK_UN)

        assert supervise_with(waits, trial, then=look_away).exit_code == 0


def test_an_attempt_that_was_started_once_is_never_started_again(quick: Trials):
    ended = quick.start("sh", "-c", "echo once")
    ended.ending()
    killed = quick.start("sleep", "600")
    killed.state()
    killed.signal(signal.SIGKILL)
    assert killed.ends()

    assert supervise(ended.run) == STARTED_BEFORE
    assert supervise(killed.run) == STARTED_BEFORE
    assert ended.log() == b"once\n"
    assert killed.run.ending() is None


def test_a_missing_command_is_told_in_a_sentence(trials: Trials):
    ending = trials.run("no-such-command")

    assert (ending.cause, ending.exit_code, ending.signal) == ("not_started", 127, None)
    assert "no-such-command was not found on this node" in (ending.error or "")


def test_a_missing_directory_is_told_in_a_sentence(trials: Trials):
    ending = trials.run("true", cwd="/no/such/directory")

    assert (ending.cause, ending.exit_code) == ("not_started", 126)
    assert "/no/such/directory cannot be entered on this node: No such file or directory" in (ending.error or "")


@pytest.mark.parametrize(
    ("content", "mode", "code", "told"),
    [
        ("#!/bin/sh\n", 0o644, 126, "Permission denied"),
        ("#!/no/interpreter\n", 0o755, 127, "The interpreter that the first line"),
        ("print('hi')\n", 0o755, 126, "no #! line"),
    ],
)
def test_what_cannot_be_executed_is_told_in_a_sentence(
    quick: Trials, tmp_path: Path, *, content: str, mode: int, code: int, told: str
):
    script = tmp_path / "script"
    script.write_text(content)
    script.chmod(mode)

    ending = quick.run(str(script))

    assert (ending.cause, ending.exit_code) == ("not_started", code)
    assert told in (ending.error or "")


def test_an_attempt_without_a_spec_has_an_ending(quick: Trials):
    trial = quick.make("true")
    trial.run.path.joinpath("spec.json").unlink()

    assert supervise(trial.run) == 0
    ending = trial.run.ending()
    assert ending is not None
    assert (ending.cause, ending.exit_code) == ("not_started", 126)


def test_a_job_beyond_its_time_limit_is_ended(trials: Trials):
    began = time.monotonic()

    ending = trials.run("sleep", "600", timeout_seconds=0.5)

    assert (ending.cause, ending.exit_code, ending.signal) == ("timed_out", 143, 15)
    assert 0.5 <= time.monotonic() - began < 15


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_a_cancel_ends_what_ignores_it_and_what_has_escaped(trials: Trials, with_cgroup: bool):
    trial = trials.python(IGNORES_TERM, grace_seconds=0.5, cgroup=with_cgroup)
    trial.says(b"ready")
    escaped = number_after("escaped", trial)
    assert os.getsid(escaped) != os.getsid(trial.state().pid)

    trial.signal()

    ending = trial.ending(within=0.5 + 5)
    assert (ending.cause, ending.exit_code, ending.signal) == ("cancelled", 137, 9)
    assert not alive(escaped)
    assert not alive(trial.state().pid)


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_what_forks_faster_than_it_is_counted_ends_too(quick: Trials, with_cgroup: bool):
    script = """
import os, time
print("ready")
until = time.monotonic() + 60
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
    os.setsid()
"""
    trial = quick.python(
        f"import os\nif os.fork(): os.wait(); import time; time.sleep(60)\n{script}",
        grace_seconds=0.3,
        cgroup=with_cgroup,
    )
    trial.says(b"ready")

    trial.signal(signal.SIGTERM)

    assert trial.ending().cause == "cancelled"
    assert not left_of(trial)


def test_a_second_cancel_does_not_shorten_the_grace(quick: Trials):
    script = (
        "import signal, time; signal.signal(15, lambda *_: print('asked')); print('ready')\nwhile True: time.sleep(9)"
    )
    trial = quick.python(script, grace_seconds=1)
    trial.says(b"ready")
    began = time.monotonic()

    trial.signal()
    trial.says(b"asked")
    trial.signal()

    assert trial.ending().cause == "cancelled"
    assert time.monotonic() - began >= 1
    assert trial.log().count(b"asked") == 1


def test_a_child_that_saves_its_work_has_the_grace_even_if_the_shell_above_it_is_gone(quick: Trials, tmp_path: Path):
    saves = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit()); print('ready')\ntry: time.sleep(60)\n"
    saves += "finally: time.sleep(0.3); open('saved', 'w').close()"
    trial = quick.start("sh", "-c", f'{sys.executable} -ISuc "$0"; true', saves)
    trial.says(b"ready")

    trial.signal()

    ending = trial.ending()
    assert (ending.cause, ending.signal) == ("cancelled", 15)
    assert (tmp_path / "saved").exists()


def test_an_attempt_ends_when_its_process_ends(trials: Trials):
    began = time.monotonic()
    trial = trials.start("sh", "-c", "setsid sleep 600 & echo child $!; exit 4")

    assert trial.ending().exit_code == 4
    assert time.monotonic() - began < 10
    assert not alive(number_after("child", trial))


def test_a_killed_supervisor_leaves_no_process_of_the_job(trials: Trials):
    trial = trials.start("sleep", "600")
    state = trial.state()

    trial.signal(signal.SIGKILL)

    assert trial.ends()
    eventually(lambda: not alive(state.pid))
    assert trial.run.ending() is None


def test_user_signals_reach_the_job(quick: Trials):
    script = (
        "import os, signal, time; signal.signal(signal.SIGUSR1, lambda *_: os._exit(7)); print('ready'); time.sleep(60)"
    )
    trial = quick.python(script)
    trial.says(b"ready")

    trial.signal(signal.SIGUSR1)

    assert (trial.ending().exit_code, trial.ending().cause) == (7, "exited")


def test_a_lease_that_nobody_renews_ends_the_attempt(quick: Trials, tmp_path: Path):
    lease = tmp_path / "lease"
    lease.write_text(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f}")
    began = time.monotonic()

    ending = quick.run("sleep", "600", lease_file=str(lease), lease_seconds=1)

    assert (ending.cause, ending.signal) == ("fenced", 15)
    assert time.monotonic() - began >= 0.9


def test_a_fenced_attempt_has_the_grace_of_a_fence(quick: Trials, tmp_path: Path):
    began = time.monotonic()

    ending = quick.python(
        IGNORES_TERM, grace_seconds=600, fence_grace_seconds=0.2, lease_file=str(tmp_path / "none"), lease_seconds=0.5
    ).ending()

    assert (ending.cause, ending.signal) == ("fenced", 9)
    assert 0.5 <= time.monotonic() - began < 10


def test_a_renewed_lease_keeps_the_attempt_even_if_it_cannot_be_read_for_a_while(quick: Trials, tmp_path: Path):
    lease = tmp_path / "lease"
    trial = quick.start("sleep", "600", lease_file=str(lease), lease_seconds=3)
    until = time.monotonic() + 5
    turn = 0
    while time.monotonic() < until:
        turn += 1
        lease.write_text("" if turn % 2 else f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f}")
        assert not trial.ends(within=0.1)

    lease.unlink()

    assert trial.ending().cause == "fenced"


def test_what_a_job_used_is_counted(trials: Trials):
    script = "import time; x = b'x' * 200 * 2**20\nwhile time.process_time() < 0.6: pass"
    ending = trials.python(f"import os\nif os.fork() == 0:\n exec({script!r}); os._exit(0)\nos.wait()").ending()

    assert ending.cpu_seconds >= 0.6
    assert 200 <= ending.peak_memory_mib < 400


def test_nothing_is_left_of_a_cgroup(quick: Trials):
    trial = quick.start("sleep", "600")
    path = trial.state().cgroup
    trial.signal()

    assert trial.ending().cause == "cancelled"
    assert path is None or not Path(path).exists()


def test_a_job_that_the_kernel_killed_for_memory_ran_out_of_memory(quick: Trials, tmp_path: Path):
    trial = quick.make("sh", "-c", "kill -9 $$", memory_max_mib=64)
    counted = tmp_path / "counted"
    counted.mkdir()
    counted.joinpath("memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n")
    counted.joinpath("memory.peak").write_text("67108865\n")
    counted.joinpath("cpu.stat").write_text("usage_usec 90000000\nuser_usec 1\n")
    counted.joinpath("cgroup.procs").touch()
    patch = f"cgroup.make = lambda *_: cgroup.Cgroup({str(counted)!r}, has_memory=True)"

    ending = supervise_with(
        f"{patch}; cgroup.Cgroup.remove = lambda _: True; cgroup.Cgroup.fork = lambda _: cgroup.os.fork()", trial
    )

    shutil.rmtree(counted)
    assert (ending.cause, ending.exit_code, ending.signal) == ("out_of_memory", 137, 9)
    assert (ending.peak_memory_mib, ending.cpu_seconds) == (65, 90.0)
    assert "killed 2 processes of the job for lack of memory" in (ending.error or "")


def test_without_lists_of_children_the_marker_finds_what_has_escaped(quick: Trials):
    trial = quick.make(sys.executable, "-ISuc", IGNORES_TERM, grace_seconds=0.3)
    blind = "proc.descendants = lambda _: set(); cgroup.make = lambda *_: None"
    escaped = []

    def cancel() -> None:
        trial.says(b"ready")
        escaped.append(number_after("escaped", trial))
        os.kill(trial.state().supervisor_pid, signal.SIGTERM)

    assert supervise_with(blind, trial, then=cancel).cause == "cancelled"
    assert not alive(escaped[0])


def test_a_cgroup_that_cannot_be_entered_is_left_out(quick: Trials):
    refuse = "def fork(*_): raise PermissionError('not delegated')\ncgroup.Cgroup.fork = fork"
    trial = quick.make("sh", "-c", "exit 3")

    assert supervise_with(refuse, trial).exit_code == 3
    assert trial.state().cgroup is None


def test_where_no_process_can_be_made_the_ending_says_so(quick: Trials):
    refuse = "import os\ndef fork(): raise BlockingIOError(11, 'Resource temporarily unavailable')\nos.fork = fork"
    refuse += "\ncgroup.Cgroup.fork = lambda _: fork()"

    ending = supervise_with(refuse, quick.make("true"))

    assert (ending.cause, ending.exit_code) == ("not_started", 126)
    assert "Resource temporarily unavailable" in (ending.error or "")


def test_a_command_does_not_run_unless_its_state_is_written(quick: Trials, tmp_path: Path):
    refuse = "put = files.put\ndef refused(path, *a, **k):\n"
    refuse += " if path == 'state.json': raise OSError(28, 'No space left on device')\n return put(path, *a, **k)\n"
    trial = quick.make("touch", str(tmp_path / "ran"))

    ending = supervise_with(f"{refuse}files.put = refused", trial)

    assert (ending.cause, ending.exit_code) == ("not_started", 126)
    assert "No space left on device" in (ending.error or "")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_does_not_lose_the_ending(quick: Trials):
    refuse = "import os\nput = files.put\ndef refused(path, *a, **k):\n"
    refuse += (
        " if path == 'exit.json' and os.stat('lock').st_size: raise OSError(28, 'full')\n return put(path, *a, **k)\n"
    )

    assert supervise_with(f"{refuse}files.put = refused", quick.make("sh", "-c", "exit 3")).exit_code == 3


def test_a_cgroup_is_gone_once_nothing_lives_in_it(tmp_path: Path):
    made = cgroup.Cgroup(str(tmp_path / "attempt"))
    (tmp_path / "attempt" / "of-the-job" / "deeper").mkdir(parents=True)
    events = tmp_path / "attempt" / "cgroup.events"
    events.write_text("populated 1\nfrozen 0\n")

    assert not made.remove()
    events.unlink()
    assert made.remove()
    assert not (tmp_path / "attempt").exists()
    assert made.remove()


def left_of(trial: Trial) -> list[int]:
    from worker import proc

    return list(proc.marked(trial.run.attempt))
