"""From fork to exec: the child of the supervisor makes itself the job, or says in a sentence why it cannot."""
# pathlib costs more to import than all else here
# ruff: noqa: PTH110, PTH123

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache

from worker import libc
from worker.cgroup import Cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CANNOT_RUN, NOT_FOUND = 126, 127
_OOM_SCORE = 500
_MAX_OOM_SCORE = 1000


class NotStarted(Exception):
    """The command did not run: the exit code a shell would give, and why."""

    def __init__(self, exit_code: int, sentence: str) -> None:
        super().__init__(f"{exit_code} {sentence}")


def tie_to(parent: int) -> None:
    """A process group of its own that is killed with the supervisor: no job without one."""
    os.setpgid(0, 0)
    libc.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(CANNOT_RUN)


def offer_to_oom_killer() -> None:
    """When memory runs out, the job goes before its supervisor and the worker."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(min(own_oom_score() + _OOM_SCORE, _MAX_OOM_SCORE)))


@cache
def own_oom_score() -> int:
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def join(cgroup: Cgroup) -> None:
    try:
        cgroup.enter()
    except OSError as error:
        raise NotStarted(CANNOT_RUN, f"The job's cgroup {cgroup.path} cannot be entered: {error.strerror}.") from None


def execute(spec: Mapping[str, Any], stdout: int, signals: Iterable[int]) -> NoReturn:
    """Become the command, with exactly the environment and the directory of the spec."""
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    _change_to(spec["cwd"])
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        _exec(spec["argv"], spec["env"])
    except FileNotFoundError:
        raise NotStarted(NOT_FOUND, _not_found(spec["argv"][0], spec["env"])) from None
    except OSError as error:
        raise NotStarted(CANNOT_RUN, _cannot_run(spec["argv"][0], error)) from None


def _change_to(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise NotStarted(
            CANNOT_RUN,
            f"The working directory {cwd} cannot be entered on this node: {error.strerror}. Create it or give another.",
        ) from None


def _exec(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    """As execvp does it, with the job's own PATH: a file that may not be run is reported only if no other is found."""
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606
    failure = FileNotFoundError()
    for folder in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{folder or '.'}/{argv[0]}", argv, env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure


def _not_found(name: str, env: Mapping[str, str]) -> str:
    if os.path.exists(name):
        return f"The interpreter that the first line of {name} names was not found on this node. Correct the line."
    if "/" in name:
        return f"The command {name} was not found on this node. Give the path of one that is there."
    path = env.get("PATH", os.defpath)
    return f"The command {name} was not found on this node in PATH={path}. Give its path, or a PATH in the job's env."


def _cannot_run(name: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return f"The command {name} is no program and has no #! line. Run it by its interpreter: python {name}."
    return f"The command {name} cannot be executed: {error.strerror}. Give a command that this user may run."
