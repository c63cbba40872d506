"""
What no node could ever run.

Where many submit not each reads all nodes and GPUs: what could run on the fleet as it was a moment ago is taken, for it
would only wait. What is refused could not run on the fleet as it is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from levare.decide.placement import can_never_run
from levare.model import Node, Reason, Request
from levare.store import pool_workers
from levare.store.fleet import load_emptied

FRESH_SECONDS = 1.0


class Seen(NamedTuple):
    """The fleet as it was read last, and when, by a monotonic clock."""

    fleet: Sequence[Node]
    at: float


_SEEN: WeakKeyDictionary[Engine, Seen] = WeakKeyDictionary()


class Fitting:
    """In one transaction, in which the fleet is read once at most."""

    def __init__(self, connection: Connection, licences: Mapping[str, int], *, now: datetime) -> None:
        self._connection, self._licences, self._now = connection, licences, now
        self._known: dict[Request, Reason | None] = {}

    def why_never(self, request: Request) -> Reason | None:
        if request not in self._known:
            self._known[request] = None if self._could_just_now(request) else self._asked(self._fleet, request)
        return self._known[request]

    def _could_just_now(self, request: Request) -> bool:
        seen = _SEEN.get(self._connection.engine)
        return seen is not None and monotonic() - seen.at < FRESH_SECONDS and self._asked(seen.fleet, request) is None

    def _asked(self, fleet: Sequence[Node], request: Request) -> Reason | None:
        return can_never_run(request, fleet, self._licences)

    @cached_property
    def _fleet(self) -> Sequence[Node]:
        """The nodes that there are, and those that pools would start for what waits."""
        fleet = pool_workers.with_prospects(self._connection, load_emptied(self._connection), now=self._now)
        if fleet:  # before any node has joined nothing is refused
            _SEEN[self._connection.engine] = Seen(fleet, monotonic())
        return fleet
