"""
What ran in each attempt: found and written by a thread of its own, so that no start waits for it.

The same folder is not looked at twice within a few seconds, and what has started meanwhile is written in one
transaction. It is for people who look for what has changed: when it cannot be found or written, the attempt goes on.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.checkout import code_of
from levare.store import provenance
from levare.store.engine import Database
from levare.store.provenance import Found
from worker import installed
from worker.installed import Environment

log = get_logger()
T = TypeVar("T")

_GATHER_SECONDS = 1.0
_FRESH_SECONDS, _MOST_SHARE = 0.5, 20
"""So long what was found is taken for what is there: for 20 times as long as it took to find, if that is more."""
_MOST_WAITING = 10_000
_MOST_KEPT = 256
_MOST_AT_ONCE = 500


@dataclass(frozen=True)
class Start:
    attempt_id: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str


class Recorder(Thread):
    def __init__(self, database: Database) -> None:
        super().__init__(name="provenance", daemon=True)
        self._database = database
        self._waiting: deque[Start] = deque(maxlen=_MOST_WAITING)
        self._news, self._stopping = Event(), Event()
        self._kept: dict[Any, tuple[float, Any]] = {}
        """Key -> until when it may be taken for true, and the value."""

    def note(self, start: Start) -> None:
        """It has started; returns at once."""
        self._waiting.append(start)
        self._news.set()

    def run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            try:
                self._record()
            except Exception:
                log.exception("provenance.failed")
            self._stopping.wait(_GATHER_SECONDS)

    def _record(self) -> None:
        while self._waiting:
            starts = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
            found = [self.find(start) for start in starts]
            try:
                with self._database.writing() as connection:
                    provenance.keep(connection, found)
            except SQLAlchemyError as error:
                log.warning("provenance.not_written", attempts=len(found), error=str(error.__cause__ or error))

    def find(self, start: Start) -> Found:
        """What can be told of this start now."""
        environment = self._environment(start)
        told = {
            **self._of_folder(start),
            "python": environment and environment.python,
            "python_version": environment and environment.version,
            "driver": self._fresh("driver", driver),
            "kernel": os.uname().release,
        }
        found = {name: value for name, value in told.items() if value}
        if environment is None:
            return Found(start.attempt_id, found)
        return Found(start.attempt_id, found, environment.digest, environment.packages)

    def _of_folder(self, start: Start) -> dict[str, Any]:
        folder, command = Path(start.cwd), start.command
        return {
            "code": self._fresh(("code", folder), lambda: code_of(folder)),
            "locks": self._fresh(("locks", folder), lambda: installed.locks(folder)),
            "script": self._fresh(("script", folder, *command[1:4]), lambda: installed.script(command, folder)),
        }

    def _environment(self, start: Start) -> Environment | None:
        means = (start.env.get(name) for name in ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX"))
        key = ("python", start.command[0], *means)
        python = self._fresh(key, lambda: installed.interpreter(start.command, start.env))
        return self._fresh(("environment", python), lambda: installed.environment(python)) if python else None

    def _fresh(self, key: Any, find: Callable[[], T]) -> T:
        """What was found a moment ago, or what is found now."""
        until, value = self._kept.get(key, (0.0, None))
        if monotonic() < until:
            return value
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        begun = monotonic()
        value = find()
        took = monotonic() - begun
        self._kept[key] = (begun + max(_FRESH_SECONDS, _MOST_SHARE * took), value)
        return value


def driver() -> str | None:
    """The version of NVIDIA's driver."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)
