"""What all pages share: the order of the queue, made for all of them at once, and no more often than it is worth."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from time import monotonic, thread_time
from typing import Any, TypeVar

from app.call import Call, Parts
from levare.decide.forecast import MOST_WORK, Foreseen, course, ends
from levare.decide.lineup import Stand, lineup
from levare.model import Waiting
from levare.model.access import MEMBER, VIEWER
from levare.store.explain import load_queue

T = TypeVar("T")

_REST_SECONDS = 2.0
_REST_PER_COST = 50
"""So many times longer than it took it is left as it is: it costs 2% of a core at most."""


@dataclass
class _Shelf:
    """Something that is kept until then."""

    lock: Lock = field(default_factory=Lock)
    until: float = 0.0
    value: Any = None


class Desk:
    """What is dear to make, kept for all who look."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = Lock()
        self._kept: dict[str, _Shelf] = {}

    def stands(self, now: datetime) -> Mapping[str, Stand]:
        """Job -> where it stands among all that wait, first to last."""
        return self.kept("stands", lambda: {stand.job.job_id: stand for stand in self._lineup(now)})

    def outlook(self, now: datetime) -> "Outlook":
        """What runs and what waits, as it is expected to go on."""
        return self.kept("outlook", lambda: self._outlook(now))

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What was made under this name lately, or made now; meanwhile others wait for it, and for nothing else."""
        shelf = self._shelf(name)
        with shelf.lock:
            if monotonic() < shelf.until:
                return shelf.value
            begun = thread_time()
            shelf.value = make()
            shelf.until = monotonic() + max(_REST_SECONDS, _REST_PER_COST * (thread_time() - begun))
            return shelf.value

    def _shelf(self, name: str) -> _Shelf:
        with self._lock:
            now = monotonic()
            self._kept = {key: each for key, each in self._kept.items() if now < each.until or each.lock.locked()}
            return self._kept.setdefault(name, _Shelf())

    def _outlook(self, now: datetime) -> "Outlook":
        with self._parts.database.reading() as connection:
            lanes, nodes, sharing = load_queue(connection, now=now, rules=self._parts.rules)
        waiting = [job for lane in lanes for job in lane]
        found = course(waiting, nodes, now=now, sharing=sharing, work=MOST_WORK)
        usual = ends(nodes, now)
        usual |= {name: min(at, usual.get(name, at)) for name, at in found.made_room.items()}
        return Outlook({job.job_id: job for job in waiting}, found.starts, usual)

    def _lineup(self, now: datetime) -> list[Stand]:
        with self._parts.database.reading() as connection:
            lanes, nodes, sharing = load_queue(connection, now=now, rules=self._parts.rules)
        return lineup([job for lane in lanes for job in lane], nodes, now=now, sharing=sharing)


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
