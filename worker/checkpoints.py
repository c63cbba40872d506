"""When an attempt last saved a checkpoint: what it would lose if it were ended now."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from os import DirEntry, scandir
from pathlib import Path
from time import monotonic

from sqlalchemy import Connection

from levare.store import shipping
from worker.ship import Persist

LOOK_EVERY_SECONDS, TELL_EVERY_SECONDS = 5.0, 10.0
_MOST_ENTRIES = 1000  # a folder may hold anything, and is looked at often


class Checkpoints:
    """
    Looks at the folder of a job and at what lies directly in it, and tells SQL of the newest change.

    What was there before the attempt began is not of it: then its folder says nothing.
    """

    def __init__(self, folder: Path, attempt_id: str, *, since: float, clock: Callable[[], float] = monotonic) -> None:
        self._folder, self._attempt_id, self._clock = folder, attempt_id, clock
        self._told, self._look_at = since, clock() + LOOK_EVERY_SECONDS

    def ship(self, persist: Persist) -> None:
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_EVERY_SECONDS
        newest = max(_changes(self._folder), default=0.0)
        if newest > self._told:
            self._told, self._look_at = newest, self._clock() + TELL_EVERY_SECONDS
            persist(self._tell)

    def _tell(self, connection: Connection) -> None:
        shipping.saved(connection, self._attempt_id, at=datetime.fromtimestamp(self._told, UTC))


def _changes(folder: Path) -> Iterator[float]:
    """When the folder's entries were changed, in Unix seconds. An empty one holds no checkpoint."""
    with suppress(OSError), scandir(folder) as entries:
        for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False):
            yield from _changed(entry)


def _changed(entry: "DirEntry[str]") -> Iterator[float]:
    with suppress(OSError):
        yield entry.stat().st_mtime
