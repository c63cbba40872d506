"""
Keeps what the heart measures: down-samples it, and once a minute writes what is full into SQL.

A thread of its own: the heart only hands over. While SQL is away what is to be written waits, bounded, and is written
when it is back; a write that was committed without our knowing is repeated, which changes nothing. A worker that starts
goes on where the one before it stopped, and asks Redis for the last seconds.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from threading import Event, Thread
from time import monotonic, time

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.model.sampled import TIERS, Bucket, Kind
from levare.pulse import Pulse
from levare.store import samples
from levare.store.engine import Database
from levare.store.samples import Packed
from worker.downsample import Downsampler

log = get_logger()

WRITE_EVERY_SECONDS = 60.0
_LOOK_SECONDS = 5.0
_MOST_BEATS = 1000
"""So many wait for this thread while a write hangs."""
_MOST_ROWS = 20_000
"""Of each tier, while SQL is away: of a node alone more than two days of 10 s, of 200 attempts a quarter of an hour."""
_MOST_AT_ONCE = 500
"""In one transaction, so that others may write meanwhile."""
_GONE_SECONDS = 15.0

Owner = tuple[Kind, str]
Sample = Mapping[str, float]


class Keeper(Thread):
    def __init__(
        self, database: Database, pulse: Pulse, node: str, *, write_every_seconds: float = WRITE_EVERY_SECONDS
    ) -> None:
        super().__init__(name="keeper", daemon=True)
        self._database, self._pulse, self._node = database, pulse, node
        self._write_every_seconds = write_every_seconds
        self._beats: deque[tuple[float, Sample, Mapping[str, Sample]]] = deque(maxlen=_MOST_BEATS)
        self._owners: dict[Owner, Downsampler] = {}
        self._waiting: dict[int, deque[Packed]] = {tier: deque(maxlen=_MOST_ROWS) for tier in TIERS}
        self._stopping = Event()
        self._has_begun, self._has_trouble = False, False

    def note(self, node: Sample, attempts: Mapping[str, Sample], *, at: float) -> None:
        """Hand over what was measured at an instant, in seconds since 1970; for the heart, which does not wait."""
        self._beats.append((at, node, attempts))

    def waiting(self) -> int:
        """How many rows wait for SQL; for any thread."""
        return sum(map(len, self._waiting.values()))

    def stop(self) -> None:
        """Write what is full; what is not is taken up by the next worker."""
        self._stopping.set()
        if self.is_alive():
            self.join(3)

    def run(self) -> None:
        write_at = monotonic() + self._write_every_seconds
        while not self._stopping.wait(min(_LOOK_SECONDS, self._write_every_seconds)):
            self._try(self.fold)
            if monotonic() >= write_at:
                write_at = monotonic() + self._write_every_seconds
                self._try(self.write)
        self._try(self.fold)
        self._try(self.write)

    def fold(self) -> None:
        """Down-sample what was handed over, and end those of whom nothing comes any more."""
        while self._beats:
            at, node, attempts = self._beats.popleft()
            found: dict[Owner, Sample] = {("attempt", attempt): sample for attempt, sample in attempts.items()}
            if node:
                found["node", self._node] = node
            self._begin(found)
            for owner, sample in found.items():
                self._keep(owner, self._of(owner).add(sample, at))
            self._end_the_silent(at)

    def write(self) -> None:
        """Write what waits, the coarsest first, in as few transactions as may be; stop at the first trouble."""
        while batch := list(islice(chain(*reversed(self._waiting.values())), _MOST_AT_ONCE)):
            with self._database.writing() as connection:
                samples.write(connection, batch)
            for row in batch:
                self._waiting[row.tier].popleft()
        self._has_trouble = False

    def _of(self, owner: Owner) -> Downsampler:
        return self._owners.setdefault(owner, Downsampler())

    def _keep(self, owner: Owner, buckets: Iterable[Bucket]) -> None:
        for bucket in buckets:
            self._waiting[bucket.seconds].append(samples.pack(*owner, bucket))

    def _end_the_silent(self, at: float) -> None:
        """A clock that was set back must not keep them for ever."""
        silent = [owner for owner, each in self._owners.items() if abs(at - each.heard_at) > _GONE_SECONDS]
        for owner in silent:
            self._keep(owner, self._owners.pop(owner).finish())

    def _begin(self, owners: Iterable[Owner]) -> None:
        """At the first beat of this process: what lives already may have been measured by the one before."""
        if not self._has_begun:
            self._has_begun = True
            for owner in owners:
                self._try(partial(self._resume, *owner))

    def _resume(self, kind: Kind, owner: str) -> None:
        now = time()
        with self._database.reading() as connection:
            finest, middle = samples.unfinished(connection, kind, owner, now=datetime.fromtimestamp(now, UTC))
        each = self._of((kind, owner))
        self._keep((kind, owner), each.resume(finest, middle))
        told_until = finest[-1].end if finest else middle[-1].end if middle else now - WRITE_EVERY_SECONDS
        since = datetime.fromtimestamp(max(told_until - 0.001, now - 15 * WRITE_EVERY_SECONDS), UTC)
        for sample in self._pulse.samples(kind, owner, since=since):
            if sample["at"] < now - 1:  # the last one is the beat that brought us here
                counters = {name: value for name, value in sample.items() if name != "at"}
                self._keep((kind, owner), each.add(counters, sample["at"]))

    def _try(self, act: Callable[[], None]) -> None:
        """Whatever fails, the next turn comes."""
        try:
            act()
        except SQLAlchemyError as error:
            if not self._has_trouble:
                log.warning("samples.not_written", error=str(error.__cause__ or error))
            self._has_trouble = True
        except Exception:
            log.exception("keeper.failed")
