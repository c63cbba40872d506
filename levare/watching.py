"""
Watches the files of triggers by looking again and again: file systems over a network tell nobody of a change.

One thread of a worker watches what is said to be on its node, one of beat what is said of no node. What is known of the
files is in SQL, so it survives a restart; a copy is kept here, so that a look that finds nothing new asks for nothing.
"""

import glob
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.decide.files import Print, Seen, look
from levare.store import watches
from levare.store.engine import Database
from levare.store.watches import Known, Looked, Watch

log = get_logger()

MOST_FILES = 10_000
LONGEST_PATH = 1000
"""Bytes: more would not fit into an index of PostgreSQL."""
_LOOK_SECONDS = 1.0
_KEPT_SECONDS = 60.0
"""So often it is written down that somebody has looked, though nothing was new."""


class Watcher(Thread):
    """
    Looks at each trigger's files in its interval. `node` is who watches, `tell` wakes beat when there is news.

    `active` says whether to watch at all: of two beats, the one that leads.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        *,
        tell: Callable[[], object],
        active: Callable[[], bool] = lambda: True,
        every_seconds: float = _LOOK_SECONDS,
    ) -> None:
        super().__init__(name="watcher", daemon=True)
        self._database, self._node, self._tell, self._active = database, node, tell, active
        self._every_seconds, self._stopping = every_seconds, Event()
        self._known: dict[str, _Memory] = {}

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            if not self._active():
                self._known.clear()  # another may change what is known
                continue
            try:
                self.look(now=datetime.now(UTC))
            except SQLAlchemyError as error:
                log.warning("database.unreachable", error=str(error.__cause__ or error))

    def look(self, *, now: datetime) -> None:
        """Look at what is due once; each trigger by itself."""
        with self._database.reading() as connection:
            wanted = watches.of(connection, self._node)
        self._known = {each.digest: self._known.get(each.digest) or _Memory() for each in wanted}
        for watch in wanted:
            memory = self._known[watch.digest]
            if monotonic() >= memory.due_at:
                self._look_at(watch, memory, now)

    def _look_at(self, watch: Watch, memory: "_Memory", now: datetime) -> None:
        before = memory.known or self._read(watch)
        scanned = scan(watch.files.path, before.seen)
        is_baseline = before.is_first and not watch.files.existing
        after, still = look(before.seen, scanned.found, quiet=watch.files.quiet, is_first=is_baseline, now=now)
        memory.due_at = monotonic() + _pause(watch, after)
        is_news = before.is_first or after != before.seen or scanned.problem != memory.problem
        if is_news or monotonic() >= memory.kept_until:
            memory.known = None  # whatever comes of the writing, SQL knows
            told = {path: news for path, news in still.items() if news in watch.files.on}
            self._write(watch, before, Looked(after, told, scanned.problem), now)
            memory.kept_until, memory.problem = monotonic() + _KEPT_SECONDS, scanned.problem
        memory.known = Known(after, is_first=False)

    def _read(self, watch: Watch) -> Known:
        with self._database.reading() as connection:
            return watches.known(connection, watch)

    def _write(self, watch: Watch, before: Known, looked: Looked, now: datetime) -> None:
        with self._database.writing() as connection:
            is_news = watches.keep(connection, watch, before, looked, node=self._node, now=now)
        if is_news:
            self._tell()


class _Memory:
    """What this thread remembers of a watch; without `known` it asks SQL."""

    def __init__(self) -> None:
        self.known: Known | None = None
        self.problem: str | None = None
        self.due_at = 0.0
        self.kept_until = 0.0


def _pause(watch: Watch, seen: Mapping[str, Seen]) -> float:
    """Seconds to the next look: until what has changed may be still, where anything has."""
    interval = watch.files.interval.total_seconds()
    has_news = any(each.news for each in seen.values())
    return min(interval, max(watch.files.quiet.total_seconds(), _LOOK_SECONDS)) if has_news else interval


@dataclass(frozen=True)
class Scan:
    """Files as they are now, and what was in the way of seeing all."""

    found: Mapping[str, Print]
    problem: str | None = None


def scan(pattern: str, known: Mapping[str, Seen] | None = None) -> Scan:
    """
    The files of a path or glob, at most so many.

    A known file is gone only where the file system says so; what it cannot say now is as it was.
    """
    found: dict[str, Print] = {}
    left_out, problem = 0, None
    try:
        for path in _paths(pattern):
            if len(found) >= MOST_FILES:
                problem = f"{pattern} names more than {MOST_FILES} files; the others are not watched. Narrow the path."
                break
            if not _is_fit(path):
                left_out += 1
            elif mark := _print(path):
                found[path] = mark
    except OSError as error:
        problem = f"{pattern} cannot be read: {error.strerror or error}."
    if left_out and not problem:
        problem = f"{left_out} names are not UTF-8, or too long, and are not watched."
    if not found and not problem and not _base(pattern).exists():
        problem = f"There is no {_base(pattern)}; it is watched for."
    return Scan(found | _unsaid(known or {}, found), problem)


def _unsaid(known: Mapping[str, Seen], found: Mapping[str, Print]) -> dict[str, Print]:
    """Known files that were not met and are not gone."""
    missing = {path: seen for path, seen in known.items() if path not in found}
    kept: dict[str, Print] = {}
    for path, seen in missing.items():
        try:
            mark = _print(path)
        except OSError:
            mark = seen.mark
        if mark:
            kept[path] = mark
    return kept


def _paths(pattern: str) -> Iterator[str]:
    """Of a folder the files in it; of a glob what it names, hidden files only where they are named."""
    if glob.has_magic(pattern):
        yield from glob.iglob(pattern, recursive=True)  # noqa: PTH207
    elif os.path.isdir(pattern):  # noqa: PTH112  # a path as text, as all the others
        with os.scandir(pattern) as entries:
            yield from (entry.path for entry in entries if not entry.name.startswith("."))
    else:
        yield pattern


def _print(path: str) -> Print | None:
    """None for what is no file, or has gone."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return Print(found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _is_fit(path: str) -> bool:
    try:
        return len(path.encode()) <= LONGEST_PATH
    except UnicodeEncodeError:
        return False


def _base(pattern: str) -> Path:
    """The folder that has to be there: the longest without a glob."""
    path = Path(pattern)
    while glob.has_magic(str(path)):
        path = path.parent
    return path if path.is_dir() or glob.has_magic(pattern) else path.parent
