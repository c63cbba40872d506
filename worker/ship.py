"""
What an attempt writes, brought into SQL: its log and its metrics, in order, without loss, resumed by offset.

Of a log, a head and a rolling tail are kept, as on disk. While a job floods, the newest part is shipped
and the tail is made whole at the end, so that neither memory nor SQL grows with what the job prints.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from levare.store import curves, shipping
from worker.points import read_points
from worker.rundir import RunDir

_PIECE = 256 * 1024
_MOST_PIECES = 4  # of a log in one transaction
_METRICS_AT_ONCE = 256 * 1024
_THINNED_AT_ONCE = 5000  # rows in one transaction

Reading = Callable[[], AbstractContextManager[Connection]]
Persist = Callable[[Callable[[Connection], object]], None]
"""Runs a function in a writing transaction, however often it takes until the database answers."""


class LogShipper:
    def __init__(self, run: RunDir, attempt_id: str, *, position: int, head_bytes: int, tail_bytes: int) -> None:
        self._run, self._attempt_id = run, attempt_id
        self._position, self._said = position, position
        self._head, self._tail = head_bytes, tail_bytes

    def ship(self, persist: Persist, *, final: bool = False) -> None:
        """Ship what is new; at the end (`final`) until the whole tail is there."""
        self._ship_some(persist)
        while final and self._position < self._run.log_size():
            self._ship_some(persist, final=True)

    def _ship_some(self, persist: Persist, *, final: bool = False) -> None:
        size = self._run.log_size()
        if size == self._said:
            return
        self._skip(size, final=final)
        pieces = self._read()

        def write(connection: Connection) -> None:
            if size > self._head + self._tail:
                shipping.drop_log(connection, self._attempt_id, begin=self._head, end=self._first_kept(size))
            shipping.append_log(connection, self._attempt_id, pieces, size=size)

        persist(write)
        if pieces:
            self._position = pieces[-1][0] + len(pieces[-1][1])
        self._said = size if self._position >= size else -1

    def _first_kept(self, size: int) -> int:
        """Where the first piece may begin that belongs to the tail."""
        return max(self._head, size - self._tail - _PIECE)

    def _skip(self, size: int, *, final: bool) -> None:
        """Leave out what the tail will not hold; in a flood, all but the newest, until the end."""
        most = _PIECE * _MOST_PIECES
        is_flood = size - self._position > 2 * most
        if self._position >= self._head and is_flood:
            self._position = max(self._position, size - (self._tail if final else most))

    def _read(self) -> list[tuple[int, bytes]]:
        pieces: list[tuple[int, bytes]] = []
        position = self._position
        for _ in range(_MOST_PIECES):
            end_of_head = self._head - position if position < self._head else _PIECE
            piece = self._run.read_log(position, min(_PIECE, end_of_head))
            if not piece.data:
                break
            pieces.append((piece.offset, piece.data))
            position = piece.offset + len(piece.data)
        return pieces


class MetricsShipper:
    """Ships points, and thins them where they become too many; `reading` looks without keeping others from writing."""

    def __init__(self, path: Path, attempt_id: str, *, position: int, kept: int, reading: Reading) -> None:
        self._path, self._attempt_id = path, attempt_id
        self._position, self._kept, self._reading = position, kept, reading

    def ship(self, persist: Persist, *, final: bool = False) -> None:
        while self._ship_some(persist, final=final):
            pass

    def _ship_some(self, persist: Persist, *, final: bool) -> bool:
        """Ship one stretch; return whether there may be more."""
        data = self._read()
        is_last = final and len(data) < _METRICS_AT_ONCE
        read = read_points(data, self._position, now=datetime.now(UTC), final=is_last)
        if read.end == read.begin:
            return False
        persist(lambda connection: shipping.append_points(connection, self._attempt_id, read))
        self._position, self._kept = read.end, self._kept + len(read.points)
        if self._kept > curves.MOST_KEPT:
            self._thin(persist)
        return len(data) == _METRICS_AT_ONCE

    def _thin(self, persist: Persist) -> None:
        try:
            with self._reading() as connection:
                found = curves.find_thinner(connection, self._attempt_id)
                self._kept = curves.kept_of(connection, self._attempt_id)[0]
        except SQLAlchemyError:  # it can wait until the database answers
            return
        if found is None:
            return
        offsets, window = found
        for begin in range(0, len(offsets), _THINNED_AT_ONCE):
            some = offsets[begin : begin + _THINNED_AT_ONCE]
            persist(lambda connection, some=some: curves.thin(connection, self._attempt_id, some, window))
        self._kept -= len(offsets)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                return file.read(_METRICS_AT_ONCE)
        except FileNotFoundError:
            return b""
