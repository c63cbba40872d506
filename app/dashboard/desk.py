"""What all pages share: the order of the queue, made for all of them at once, and no more often than it is worth."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from time import monotonic, thread_time
from typing import Any, TypeVar

from app.call import Call, Parts
from levare.decide.forecast import MOST_WORK, Foreseen, course, ends
from levare.decide.lineup import Stand, lineup
from levare.model import Node, Sharing, Waiting
from levare.model.access import MEMBER, VIEWER
from levare.store.explain import load_queue

T = TypeVar("T")

_REST_SECONDS = 2.0
_REST_PER_COST = 50
"""So many times longer than it took it is left as it is: it costs 2% of a core at most."""
_STEADY_SECONDS = 10.0
"""So long what was made of the queue holds while nothing comes, starts, ends or is changed: shares and runs go on."""


@dataclass
class _Shelf:
    """Something that is kept until then."""

    lock: Lock = field(default_factory=Lock)
    until: float = 0.0
    value: Any = None
    of: object = None

    @property
    def is_needed(self) -> bool:
        """Whether it is being made, or may be as good as new."""
        return self.of is not None or self.lock.locked()


@dataclass(frozen=True, eq=False)
class Queue:
    """What decides about all that waits, as it was read."""

    waiting: Sequence[Waiting]
    nodes: Sequence[Node]
    sharing: Sharing
    read_at: datetime

    def lineup(self) -> Mapping[str, Stand]:
        found = lineup(self.waiting, self.nodes, now=self.read_at, sharing=self.sharing)
        return {stand.job.job_id: stand for stand in found}

    def outlook(self) -> "Outlook":
        now = self.read_at
        found = course(self.waiting, self.nodes, now=now, sharing=self.sharing, work=MOST_WORK)
        usual = ends(self.nodes, now)
        usual |= {name: min(at, usual.get(name, at)) for name, at in found.made_room.items()}
        return Outlook({job.job_id: job for job in self.waiting}, found.starts, usual)

    def holds_at(self, later: "Queue") -> bool:
        """Whether nothing but time has passed since."""
        is_young = (later.read_at - self.read_at).total_seconds() < _STEADY_SECONDS
        return is_young and self.waiting == later.waiting and _settled(self.nodes) == _settled(later.nodes)


class Desk:
    """What is dear to make, kept for all who look."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = Lock()
        self._kept: dict[str, _Shelf] = {}
        self._last: Queue | None = None

    def stands(self, now: datetime) -> Mapping[str, Stand]:
        """Job -> where it stands among all that wait, first to last."""
        queue = self._queue(now)
        return self.kept("stands", queue.lineup, of=queue)

    def outlook(self, now: datetime) -> "Outlook":
        """What runs and what waits, as it is expected to go on."""
        queue = self._queue(now)
        return self.kept("outlook", queue.outlook, of=queue)

    def kept(self, name: str, make: Callable[[], T], *, of: object = None) -> T:
        """
        What was made under this name lately, or made now; meanwhile others wait for it, and for nothing else.

        What was made `of` the same as now is not made again, however long ago it was.
        """
        shelf = self._shelf(name)
        with shelf.lock:
            if monotonic() < shelf.until or (of is not None and shelf.of is of):
                return shelf.value
            begun = thread_time()
            shelf.value, shelf.of = make(), of
            least = 0.0 if of else _REST_SECONDS
            shelf.until = monotonic() + max(least, _REST_PER_COST * (thread_time() - begun))
            return shelf.value

    def _shelf(self, name: str) -> _Shelf:
        with self._lock:
            now = monotonic()
            self._kept = {key: each for key, each in self._kept.items() if now < each.until or each.is_needed}
            return self._kept.setdefault(name, _Shelf())

    def _queue(self, now: datetime) -> Queue:
        """The queue of now; the same object as before as long as that holds."""
        return self.kept("queue", lambda: self._read(now))

    def _read(self, now: datetime) -> Queue:
        with self._parts.database.reading() as connection:
            lanes, nodes, sharing = load_queue(connection, now=now, rules=self._parts.rules)
        read = Queue([job for lane in lanes for job in lane], nodes, sharing, now)
        if self._last is None or not self._last.holds_at(read):
            self._last = read
        return self._last


def _settled(nodes: Sequence[Node]) -> list[Node]:
    """Without what changes all the time of what runs: how far it is."""
    return [replace(node, held=[replace(held, progress=None, safe_at=None) for held in node.held]) for node in nodes]


@dataclass(frozen=True)
class Outlook:
    """Jobs that wait, when and where they start as far as is foreseen, and attempt -> when it ends if it is usual."""

    waiting: Mapping[str, Waiting]
    course: Sequence[Foreseen]
    ends: Mapping[str, datetime]


@dataclass(frozen=True)
class View:
    """Somebody looks at a page: who and when, with which parameters, of what, and what the nodes said last."""

    call: Call
    desk: Desk
    params: Mapping[str, str]
    names: Mapping[str, str]
    beats: Mapping[str, Mapping[str, float]]

    @property
    def stands(self) -> Mapping[str, Stand]:
        return self.desk.stands(self.call.now)

    @property
    def outlook(self) -> Outlook:
        return self.desk.outlook(self.call.now)

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """As the desk keeps it, for all who see what this reader sees."""
        seen = self.call.seen
        return self.desk.kept(f"{name} {'all' if seen is None else sorted(seen)}", make)

    def sees(self, team: str) -> bool:
        return self.call.actor.access.has(VIEWER, team)

    def may_act(self, team: str) -> bool:
        return self.call.actor.access.has(MEMBER, team)

    def may_for(self, teams: Collection[str], role: str = MEMBER) -> bool:
        """Whether this reader has the role in all of these teams; what is of no team is for admins of the fleet."""
        access = self.call.actor.access
        return access.is_fleet or (bool(teams) and access.has_in_all(role, teams))
