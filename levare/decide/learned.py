"""What beat would have kept of a simulated past: how long the runs of families took, and what each account has used."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from levare.decide.durations import expected
from levare.decide.families import REMEMBERED
from levare.decide.use import accrued, fading
from levare.model import Account, Duration, Sharing

_SECOND, _HOUR = timedelta(seconds=1), timedelta(hours=1)


class Durations:
    """
    What to expect of a family's next run, by its successful runs and the user's limit.

    A limit that a run of the family has outlived is believed no more: levare would have ended that run, and its user
    would have raised the limit; in a simulation no limit ends a run.
    """

    def __init__(self) -> None:
        self.versions: dict[str, int] = defaultdict(int)
        """How often something was learned of each family."""
        self._seconds: dict[str, tuple[float, ...]] = {}
        self._longest: dict[str, timedelta] = {}
        self._known: dict[str, dict[timedelta | None, Duration | None]] = defaultdict(dict)

    def learn(self, family: str, ran: timedelta, *, succeeded: bool) -> None:
        """As `levare.decide.families` does: only what succeeded tells how long the next one takes."""
        self._longest[family] = max(ran, self._longest.get(family, ran))
        if succeeded:
            self._seconds[family] = (*self._seconds.get(family, ()), ran / _SECOND)[-REMEMBERED:]
        self.versions[family] += 1
        self._known.pop(family, None)

    def limit(self, family: str, claimed: timedelta | None) -> timedelta | None:
        return None if claimed is None or self._longest.get(family, timedelta()) > claimed else claimed

    def expected(self, family: str, claimed: timedelta | None) -> Duration | None:
        known = self._known[family]
        if claimed not in known:
            known[claimed] = expected(self._seconds.get(family, ()), self.limit(family, claimed))
        return known[claimed]


class Uses:
    """What teams, projects and users have used, charged when a run has ended, as `levare.store.use` does."""

    def __init__(self, declared: Sharing) -> None:
        self._declared = declared
        self._use: dict[str, tuple[float, datetime]] = {}
        self._ended: dict[str, deque[tuple[datetime, float]]] = defaultdict(deque)
        """Of accounts whose quota is in GPU-hours, the hours of each run with its end."""

    def charge(
        self, team: str, project: str, user: str, *, rate: float, gpus: float, began: datetime, ended: datetime
    ) -> None:
        """`rate` is in weighted GPUs, as `levare.decide.use` has it."""
        added = accrued(rate, ended - began, self._declared.half_life)
        for name in (team, f"{team}:{user}"):
            self._use[name] = (self._left_of(name, ended) + added, ended)
        for name in (team, f"{team}/{project}", f"{team}:{user}"):
            known = self._declared.accounts.get(name)
            if known is not None and known.quota.gpu_hours is not None:
                self._ended[name].append((ended, gpus * ((ended - began) / _HOUR)))

    def sharing(self, now: datetime) -> Sharing:
        """Who shares the fleet, with what each has used by now."""
        names = {**self._declared.accounts, **self._use}
        return replace(self._declared, accounts={name: self._account(name, now) for name in names})

    def _account(self, name: str, now: datetime) -> Account:
        known = self._declared.accounts.get(name) or Account(name)
        return replace(known, use=self._left_of(name, now), gpu_hours=self._hours_of(name, known, now), queued=0)

    def _left_of(self, name: str, now: datetime) -> float:
        use, as_of = self._use.get(name, (0.0, now))
        return use * fading(now - as_of, self._declared.half_life)

    def _hours_of(self, name: str, account: Account, now: datetime) -> float:
        ended = self._ended.get(name, deque())
        while ended and ended[0][0] < now - account.quota.period:
            ended.popleft()
        return sum(hours for _, hours in ended)


def weighing(weights: Mapping[str, float], half_life: timedelta) -> Sharing:
    """Teams of these weights, without quotas."""
    return Sharing({name: Account(name, weight) for name, weight in weights.items()}, half_life)
