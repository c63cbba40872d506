"""
An oracle that does not trust levare: what jobs themselves saw, in files that the kernel locks.

Each job holds an exclusive lock on a file of its own and on one per GPU while it lives, and appends to a
ledger when it starts. A lock that is taken means that something ran twice; it says so and fails. Jobs that are
told of `slots` hold one of so many locks besides: where none is free, more of them live than may. The script has no
braces, in which an array would look for its parameters.
"""

import json
import textwrap
from collections import Counter
from pathlib import Path

SCRIPT = textwrap.dedent(
    """
    import fcntl, json, os, signal, sys, time
    folder, seconds, code, lines = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    slots = int(sys.argv[5])
    job, attempt = os.environ["LEVARE_JOB"], os.environ["LEVARE_ATTEMPT"]
    ledger = os.open(folder + "/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def write(what):
        os.write(ledger, (json.dumps([what, job, attempt, os.getpid()]) + chr(10)).encode())
    gpus = [uuid for uuid in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if uuid]
    held = []
    def is_free(name):
        held.append(open(folder + "/" + name, "w"))
        try:
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
    if not all([is_free(name) for name in ["job-" + job] + ["gpu-" + uuid for uuid in gpus]]):
        write("twice")
        sys.exit(99)
    if slots and not any(is_free("slot-" + str(number)) for number in range(slots)):
        write("over")
        sys.exit(98)
    write("start")
    until = time.monotonic() + seconds
    for number in range(lines):
        print(job, "line", number, flush=True)
        time.sleep(max(0, until - time.monotonic()) / (lines - number))
    time.sleep(max(0, until - time.monotonic()))
    if code >= 128:
        os.kill(os.getpid(), code - 128)
    sys.exit(code)
    """
)

STUBBORN = textwrap.dedent(
    """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "CHILD" not in os.environ:
        line = [sys.executable, "-c", open("/proc/self/cmdline").read().split(chr(0))[2]]
        subprocess.Popen(line, env=dict(os.environ, CHILD="1"), start_new_session=True)
    time.sleep(600)
    """
)
"""Ignores TERM, and has a child that has left its session."""


class Ledger:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arguments(self, *, seconds: float = 0.0, code: int = 0, lines: int = 0, slots: int = 0) -> list[str]:
        """What comes behind the interpreter in the command of a job; without `slots` any number of jobs may live."""
        return ["-c", SCRIPT, str(self.folder), str(seconds), str(code), str(lines), str(slots)]

    def starts(self) -> Counter[str]:
        """How often each job has started."""
        return Counter(job for what, job in self._entries() if what == "start")

    def twice(self) -> list[str]:
        """Jobs that found themselves, or their GPU, taken."""
        return [job for what, job in self._entries() if what == "twice"]

    def over(self) -> list[str]:
        """Jobs that found all slots taken."""
        return [job for what, job in self._entries() if what == "over"]

    def _entries(self) -> list[tuple[str, str]]:
        path = self.folder / "ledger"
        if not path.exists():
            return []
        return [tuple(json.loads(line)[:2]) for line in path.read_text().splitlines()]


def expected_log(job_id: str, lines: int) -> bytes:
    return b"".join(f"{job_id} line {number}\n".encode() for number in range(lines))
