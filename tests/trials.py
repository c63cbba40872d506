"""Attempts with real supervisors, and nothing left behind of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fleet import eventually
from worker import files
from worker.hold import Hold
from worker.launcher import Launcher
from worker.rundir import Ending, RunDir, Spec, State, end_attempt

KIB, MIB = 2**10, 2**20


@dataclass
class Trial:
    """One attempt in a test."""

    run: RunDir
    supervisor: Hold | None = None

    def ends(self, within: float = 20.0) -> bool:
        """Whether the supervisor has done by then."""
        assert self.supervisor
        return self.supervisor.ends(within)

    def ending(self, within: float = 20.0) -> Ending:
        assert self.ends(within), f"still alive after {within} s"
        ending = self.run.ending()
        assert ending is not None
        return ending

    def state(self) -> State:
        state = eventually(self.run.state)
        assert state is not None
        return state

    def log(self) -> bytes:
        return self.run.read_log(0, MIB).data

    def says(self, text: bytes) -> bool:
        """Wait until the job has printed it."""
        return eventually(lambda: text in self.log())

    def signal(self, number: int = signal.SIGTERM) -> None:
        assert self.supervisor
        self.supervisor.signal(number)

    def let_go(self) -> None:
        """As when the worker dies."""
        assert self.supervisor
        self.supervisor.close()
        self.supervisor = None

    def hold_again(self) -> Hold:
        """As the next worker does."""
        held = self.run.open_supervisor()
        assert held
        return held


@dataclass
class Trials:
    """Makes attempts below a folder and starts them."""

    folder: Path
    launcher: Launcher
    made: list[Trial] = field(default_factory=list)

    def make(self, *argv: str, **wishes: Any) -> Trial:
        attempt = f"{self.folder.name[-20:]}x{os.getpid()}x{len(self.made)}-1".replace("_", "-")
        trial = Trial(RunDir(self.folder / attempt))
        spec = {
            "attempt": attempt,
            "argv": list(argv),
            "env": {
                "PATH": os.environ["PATH"],
                "LEVARE_ATTEMPT": attempt,
                "RUN_DIR": str(trial.run.path),
                **wishes.pop("env", {}),
            },
            "cwd": str(self.folder),
            "grace_seconds": 10,
            "timeout_seconds": None,
            "log_head_bytes": MIB,
            "log_tail_bytes": MIB,
            "memory_max_mib": None,
            "lease_file": None,
            "lease_seconds": None,
            "fence_grace_seconds": 1,
            **wishes,
        }
        trial.run.write_spec(Spec(**spec))
        self.made.append(trial)
        return trial

    def start(self, *argv: str, **wishes: Any) -> Trial:
        trial = self.make(*argv, **wishes)
        trial.supervisor = self.launcher.start(trial.run)
        return trial

    def python(self, script: str, *arguments: str, **wishes: Any) -> Trial:
        """Start a script of Python, with this interpreter and nothing of its environment."""
        return self.start(sys.executable, "-I", "-S", "-u", "-c", script, *arguments, **wishes)

    def release(self, trial: Trial) -> None:
        """Let its supervisor serve again."""
        assert trial.supervisor
        self.launcher.release(trial.supervisor)
        trial.supervisor = None

    def run(self, *argv: str, **wishes: Any) -> Ending:
        return self.start(*argv, **wishes).ending()

    def clean(self) -> None:
        for trial in self.made:
            if trial.supervisor:
                trial.supervisor.signal(signal.SIGKILL)
            eventually(lambda run=trial.run: not run.is_locked())
            end_attempt(trial.run)
            if trial.supervisor:
                trial.supervisor.close()


def supervise_with(patch: str, trial: Trial, *, then: Callable[[], None] = lambda: None) -> Ending:
    """Run a supervisor of whose world something is not as usual: `patch` is Python, run before it starts."""
    script = (
        f"from worker import cgroup, files, libc, proc, supervisor\n{patch}\nsupervisor.main({str(trial.run.path)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(files.__file__).parent.parent)
    try:
        then()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    ending = trial.run.ending()
    assert ending is not None
    return ending


def alive(pid: int) -> bool:
    """Whether the process is there; a zombie is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
