"""From fork to exec: the child of the supervisor makes itself the job, or says in a sentence why it cannot."""
# ruff: noqa: PTH108, PTH110

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping

from worker import files, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CANNOT_RUN, NOT_FOUND = 126, 127
_MOST_BYTES = 4096  # what a pipe takes at once


class NotStarted(Exception):
    """The command did not run: the exit code a shell would give, and why."""

    def __init__(self, exit_code: int, sentence: str) -> None:
        super().__init__(f"{exit_code} {sentence}")


def become_job(spec: Mapping[str, Any], *, supervisor: int, stdout: int, go: int, failed: int) -> NoReturn:
    """
    Run the command once a byte comes from `go`; a file that ends there means that it must not run.

    Whatever hinders it is written to `failed`. No supervisor, no job: its death kills this process.
    """
    try:
        libc.die_with_parent(signal.SIGKILL)
        if os.getppid() == supervisor and os.read(go, 1):
            secrets = _secrets(spec.get("secrets", {}))
            _prepare(spec["cwd"], stdout)
            _execute(spec["argv"], {**secrets, **spec["env"]})
    except NotStarted as error:
        tell(failed, str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, the supervisor must hear of it
        tell(failed, f"{CANNOT_RUN} The job could not be started: {error}.")
    finally:
        os._exit(CANNOT_RUN)


def _prepare(cwd: str, stdout: int) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    _change_to(cwd)
    libc.unblock_all()


def _secrets(paths: Mapping[str, str]) -> dict[str, str]:
    """Read here, in the process that becomes the job, so that no other one ever holds them."""
    return {variable: _secret(variable, path) for variable, path in paths.items()}


def _secret(variable: str, path: str) -> str:
    try:
        value = files.read(path).strip()
        if not path.startswith("/"):
            os.unlink(path)
    except OSError as error:
        raise NotStarted(CANNOT_RUN, f"The secret for {variable} cannot be read: {error.strerror}.") from None
    if not value or "\0" in value or "\ufffd" in value:
        raise NotStarted(CANNOT_RUN, f"The secret for {variable} is empty or no text in UTF-8. Write it again.")
    return value


def tell(failed: int, sentence: str) -> None:
    os.write(failed, sentence.encode(errors="replace")[:_MOST_BYTES])


def _execute(argv: list[str], env: Mapping[str, str]) -> NoReturn:
    try:
        _exec(argv, env)
    except FileNotFoundError:
        raise NotStarted(NOT_FOUND, _not_found(argv[0], env)) from None
    except OSError as error:
        raise NotStarted(CANNOT_RUN, _cannot_run(argv[0], error)) from None


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
        path = f"{folder or '.'}/{argv[0]}"
        if not os.access(path, os.F_OK):  # to raise and to catch an exception touches many pages
            continue
        try:
            os.execve(path, argv, env)  # noqa: S606
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
