"""
The kept log of an attempt: pieces at their true offsets; what lies between two that do not touch is cut.

The worker adds pieces at the end and drops pieces from the middle, so a cut only grows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from levare.model import LIVE
from levare.store.engine import Database
from levare.store.tables import attempts, logs

STRETCH = 256 * 1024
"""So many bytes are read at a time when a whole log is given."""
_AT_ONCE = 64


@dataclass(frozen=True)
class Stretch:
    """
    A run of bytes of a log without a cut in it, from `offset` on.

    `cut_from` is where the cut begins that ends at `offset`, or None if the byte before is kept.
    `size` counts all that was ever written. With `is_last` nothing will come after these bytes.
    """

    offset: int
    data: bytes
    cut_from: int | None
    size: int
    is_last: bool

    @property
    def next_offset(self) -> int:
        return self.offset + len(self.data)


def read(connection: Connection, attempt_id: str, *, offset: int, limit: int) -> Stretch:
    """
    At most `limit` bytes from `offset` on, from the end when it is negative, and never across a cut.

    An offset inside a cut gives what comes after the cut. An attempt that is over has a cut up to its
    size if its end never arrived.
    """
    size, is_over = _extent(connection, attempt_id)
    wanted = max(size + offset, 0) if offset < 0 else offset
    start, data = _run(connection, attempt_id, wanted, limit)
    if start is None:
        return _after_all(connection, attempt_id, wanted, size, is_over)
    kept_until = _end_before(connection, attempt_id, start)
    cut_from = kept_until if kept_until < start else None
    return Stretch(start, data, cut_from, size, is_over and start + len(data) >= size)


def whole(database: Database, attempt_id: str) -> Iterator[bytes]:
    """The kept log as it stands now, with a line for each cut that says how much is gone."""
    place, size = 0, None
    while size is None or place < size:
        with database.reading() as connection:
            stretch = read(connection, attempt_id, offset=place, limit=STRETCH)
        size = stretch.size if size is None else size
        if stretch.offset > place:
            yield f"\n[levare: {stretch.offset - place} bytes cut]\n".encode()
        yield stretch.data
        if stretch.next_offset == place:
            return
        place = stretch.next_offset


def has_news(connection: Connection, attempt_id: str, place: int) -> bool:
    """Whether there is anything to read at `place`, or nothing to come any more. Cheap: one row by its key."""
    row = connection.execute(_WRITTEN, {"attempt": attempt_id}).one()
    return row.log_bytes > place or row.state not in LIVE


def _extent(connection: Connection, attempt_id: str) -> tuple[int, bool]:
    """How much was written, and whether that is all."""
    row = connection.execute(_WRITTEN, {"attempt": attempt_id}).one()
    return max(row.log_bytes, _end_before(connection, attempt_id, None)), row.state not in LIVE


def _run(connection: Connection, attempt_id: str, offset: int, limit: int) -> tuple[int | None, bytes]:
    """The first kept byte at or after `offset`, and up to `limit` bytes from there without a cut."""
    start, run = None, bytearray()
    for at, data in _kept(connection, attempt_id, offset, limit):
        if start is not None and at > start + len(run):
            break
        start = at if start is None else start
        run += data
        if len(run) >= limit:
            break
    return start, bytes(run[:limit])


def _kept(connection: Connection, attempt_id: str, place: int, limit: int) -> Iterator[tuple[int, bytes]]:
    """What is kept from `place` on, piece by piece, and no byte twice; at least `limit` bytes if there are so many."""
    while True:
        found = connection.execute(_EXTENTS, {"attempt": attempt_id, "place": place}).all()
        begins = [at for at, length in found if at + length > place]
        wanted = [at for at in begins if at < max(begins[0], place) + limit]
        if not wanted:
            return
        within = {"attempt": attempt_id, "first": wanted[0], "last": wanted[-1]}
        for at, data in connection.execute(_PIECES, within):
            if at + len(data) > place:
                yield max(at, place), data[max(place - at, 0) :]
                place = at + len(data)
        if len(wanted) < len(begins) or len(found) < _AT_ONCE:
            return


def _end_before(connection: Connection, attempt_id: str, offset: int | None) -> int:
    """Where the last piece ends that begins before `offset`; of all pieces when that is None."""
    query = _LAST if offset is None else _LAST_BEFORE
    row = connection.execute(query, {"attempt": attempt_id, "place": offset}).first()
    return row[0] + row[1] if row else 0


def _after_all(connection: Connection, attempt_id: str, wanted: int, size: int, is_over: bool) -> Stretch:
    """Nothing is kept at `wanted` or after it: not yet, or never."""
    if not is_over:
        return Stretch(wanted, b"", None, size, False)
    kept_until = _end_before(connection, attempt_id, None)
    cut_from = kept_until if kept_until < size and wanted <= size else None
    return Stretch(size, b"", cut_from, size, True)


_of_attempt = logs.c.attempt_id == bindparam("attempt")
_before = select(func.max(logs.c.offset)).where(_of_attempt, logs.c.offset <= bindparam("place"))
_EXTENTS = (
    select(logs.c.offset, func.length(logs.c.data))
    .where(_of_attempt, logs.c.offset >= func.coalesce(_before.scalar_subquery(), 0))
    .order_by(logs.c.offset)
    .limit(_AT_ONCE)
)
"""The piece that begins last before a place, and those after it, without their bytes: few are wanted, and large."""
_PIECES = (
    select(logs.c.offset, logs.c.data)
    .where(_of_attempt, logs.c.offset >= bindparam("first"), logs.c.offset <= bindparam("last"))
    .order_by(logs.c.offset)
)
_LAST = select(logs.c.offset, func.length(logs.c.data)).where(_of_attempt).order_by(logs.c.offset.desc()).limit(1)
_LAST_BEFORE = _LAST.where(logs.c.offset < bindparam("place"))
_WRITTEN = select(attempts.c.state, attempts.c.log_bytes).where(attempts.c.id == bindparam("attempt"))
