"""What levare keeps between two decisions: how long the runs of each family took, and what each account has used."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from benchmarks.simulator.engine import Span
from levare.decide.durations import expected
from levare.decide.families import REMEMBERED
from levare.decide.use import GPUS_PER_CPU, accrued, fading
from levare.model import Account, Duration, Sharing

_SECOND = timedelta(seconds=1)


class Durations:
    """
    What to expect of a family's next run, by its successful runs and the user's limit.

    A limit that a run of the family has outlived is believed no more: levare would have ended that run, and its user
    would have raised the limit; here, where no limit ends a run, he has not.
    """

    def __init__(self) -> None:
        self.versions: dict[str, int] = defaultdict(int)
        """How often something was learned of each family."""
        self._seconds: dict[str, tuple[float, ...]] = {}
        self._longest: dict[str, timedelta] = {}
        self._known: dict[tuple[str, timedelta | None], Duration | None] = {}

    def learn(self, span: Span) -> None:
        """As `levare.decide.families` does: only what succeeded tells how long the next one takes."""
        family, ran = span.job.family, span.ended - span.started
        self._longest[family] = max(ran, self._longest.get(family, ran))
        if not (span.preempted or span.job.fails):
            self._seconds[family] = (*self._seconds.get(family, ()), ran / _SECOND)[-REMEMBERED:]
        self.versions[family] += 1
        for key in [key for key in self._known if key[0] == family]:
            del self._known[key]

    def limit(self, family: str, claimed: timedelta | None) -> timedelta | None:
        return None if claimed is None or self._longest.get(family, timedelta()) > claimed else claimed

    def expected(self, family: str, claimed: timedelta | None) -> Duration | None:
        key = (family, claimed)
        if key not in self._known:
            self._known[key] = expected(self._seconds.get(family, ()), self.limit(family, claimed))
        return self._known[key]


class Uses:
    """The use of teams and of their users, charged when a run has ended, as `levare.store.use` does."""

    def __init__(self, weights: Mapping[str, float], half_life: timedelta) -> None:
        self._weights, self._half_life = weights, half_life
        self._use: dict[str, tuple[float, timedelta]] = {name: (0.0, timedelta()) for name in weights}

    def charge(self, span: Span) -> None:
        added = accrued(span.gpus + GPUS_PER_CPU * span.job.cpus, span.ended - span.started, self._half_life)
        for name in (span.job.team, f"{span.job.team}:{span.job.user}"):
            self._use[name] = (self._left_of(name, span.ended) + added, span.ended)

    def sharing(self, now: timedelta) -> Sharing:
        accounts = (Account(name, self._weights.get(name, 1.0), use=self._left_of(name, now)) for name in self._use)
        return Sharing({account.name: account for account in accounts}, self._half_life)

    def _left_of(self, name: str, now: timedelta) -> float:
        use, as_of = self._use.get(name, (0.0, now))
        return use * fading(now - as_of, self._half_life)


class Memory:
    """Reads on in what has ended from where it stopped."""

    def __init__(self, weights: Mapping[str, float], half_life: timedelta) -> None:
        self.durations, self.uses = Durations(), Uses(weights, half_life)
        self._read = 0

    def read(self, past: Sequence[Span]) -> None:
        for span in past[self._read :]:
            self.durations.learn(span)
            self.uses.charge(span)
        self._read = len(past)
