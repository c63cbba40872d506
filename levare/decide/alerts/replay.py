"""What rules would have done with a run of the past, look by look: the very decisions that beat takes."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from levare.decide.alerts.course import Course
from levare.decide.alerts.deciding import Open, Outcome, Place, decide
from levare.decide.alerts.facts import Activity, Facts, Job, Live, Over, Point, Profile
from levare.decide.alerts.look import MOMENTARY
from levare.decide.alerts.rules import Rule
from levare.decide.conditions import Standing
from levare.model import FAILED, SUCCEEDED

_KEPT_SECONDS, _KEPT_RUNS = 50, 20
_STILL = Activity(True, True, "nobody recorded what its processes did")


@dataclass(frozen=True, kw_only=True)
class Past:
    """A run as it is recorded."""

    job: Job
    started_at: datetime
    ended_at: datetime
    state: str = SUCCEEDED
    reason: str = ""
    node: str = "node"
    points: Sequence[Point] = ()
    unread_before: datetime | None = None
    """When the first of these points was told, where there were more."""
    wrote_at: Sequence[datetime] = ()
    """When its log grew."""
    works: Sequence[tuple[datetime, datetime]] | None = None
    """When its processes did something; None where nobody recorded that, and then any silence counts."""
    gpus: int = 0
    lines: Mapping[str, str] = field(default_factory=dict)
    """Rule -> the line of its log that it matches."""

    def activity(self, at: datetime) -> Activity:
        is_at_work = self.works is not None and any(begin <= at <= end for begin, end in self.works)
        return Activity(False, False, "at work") if is_at_work else _STILL


@dataclass(frozen=True)
class Firing:
    """An alert that would have begun."""

    rule: str
    past: Past
    subject: str
    at: datetime
    message: str
    ended_at: datetime | None = None

    @property
    def preceded_failure(self) -> bool:
        return self.past.state == FAILED


class Replay:
    """Goes through runs in the order in which they ended, learning from each as beat does."""

    def __init__(self, rules: Sequence[Rule], *, every: timedelta, most_looks: int = 2000) -> None:
        self._rules, self._every, self._most = rules, every, most_looks
        self._profiles: dict[str, Profile] = {}
        self._open: dict[Place, tuple[Open, Firing]] = {}
        self._standings: Mapping[Place, Standing] = {}
        self._number = 0

    def run(self, past: Past) -> list[Firing]:
        """What would have begun because of this run; those of it that ended say so."""
        course, found = Course(), list[Firing]()
        profile = self._profiles.get(past.job.family, Profile())
        rules = [rule for rule in self._rules if rule.kind not in MOMENTARY]
        waiting, wrote = deque(past.points), deque(past.wrote_at)
        log_at: datetime | None = None
        for at in self._looks(past):
            course.add(_until(waiting, at), now=None)
            while wrote and wrote[0] <= at:
                log_at = wrote.popleft()
            live = _live(past, course, log_at, at)
            facts = Facts(now=at, live=[live], profiles={past.job.family: profile})
            found += self._look(rules, facts, past)
        return [*self._ended(found, past.ended_at), *self._end(past, course, profile)]

    def _looks(self, past: Past) -> Iterator[datetime]:
        lasted = past.ended_at - past.started_at
        every = max(self._every, lasted / self._most)
        at = past.started_at
        while at < past.ended_at:
            yield at
            at += every
        yield past.ended_at

    def _look(self, rules: Sequence[Rule], facts: Facts, past: Past) -> list[Firing]:
        outcome = decide(rules, facts, [alert for alert, _ in self._open.values()], self._standings)
        self._standings = outcome.standings
        return self._note(outcome, past, facts.now)

    def _note(self, outcome: Outcome, past: Past, at: datetime) -> list[Firing]:
        for end in outcome.ends:
            self._open.pop((end.alert.rule, end.alert.subject), None)
        found: list[Firing] = []
        for start in outcome.starts:
            self._number += 1
            name, subject = start.rule.name, start.sight.subject
            alert = Open(self._number, name, subject, start.begun_at, start.sight.scope)
            found.append(Firing(name, past, subject, at, start.sight.message))
            self._open[name, subject] = (alert, found[-1])
        return found

    def _ended(self, found: Sequence[Firing], at: datetime) -> list[Firing]:
        """What is only of this run is over with it."""
        gone = {place for place in self._open if place[1].startswith("job:")}
        for place in gone:
            del self._open[place]
        return [replace(firing, ended_at=at) for firing in found]

    def _end(self, past: Past, course: Course, profile: Profile) -> list[Firing]:
        """What its end says, and what is learned from it."""
        seconds = (past.ended_at - past.started_at).total_seconds()
        summary = course.summary(past.started_at) if past.state == SUCCEEDED and past.points else None
        over = Over(
            job=past.job, state=past.state, reason=past.reason, at=past.ended_at, seconds=seconds, summary=summary
        )
        facts = Facts(now=past.ended_at, over=[over], profiles={past.job.family: profile})
        rules = [rule for rule in self._rules if rule.kind in MOMENTARY]
        alerts = [alert for alert, _ in self._open.values()]
        found = self._note(decide(rules, facts, alerts, {}), past, past.ended_at)
        if past.state == SUCCEEDED:
            runs = (*profile.runs, summary)[-_KEPT_RUNS:] if summary else profile.runs
            self._profiles[past.job.family] = Profile((*profile.seconds, seconds)[-_KEPT_SECONDS:], tuple(runs))
        return found


def _until(waiting: deque[Point], at: datetime) -> Iterator[Point]:
    while waiting and waiting[0].at <= at:
        yield waiting.popleft()


def _live(past: Past, course: Course, log_at: datetime | None, at: datetime) -> Live:
    return Live(
        job=past.job,
        attempt=past.job.id,
        node=past.node,
        started_at=past.started_at,
        pace=course.pace,
        gpus=past.gpus,
        log_at=log_at,
        activity=past.activity(at),
        points=course.recent,
        unread_before=past.unread_before,
        lines=past.lines if at >= past.ended_at else {},
    )


@dataclass(frozen=True)
class Score:
    """What firings were worth, against the failures that there were."""

    jobs: int
    failures: int
    firings: int
    true_firings: int
    foreseen: int
    """Failures that a firing preceded."""

    @property
    def precision(self) -> float | None:
        return self.true_firings / self.firings if self.firings else None

    @property
    def recall(self) -> float | None:
        return self.foreseen / self.failures if self.failures else None


def score(firings: Sequence[Firing], runs: Sequence[Past]) -> Score:
    failed = {past.job.id for past in runs if past.state == FAILED}
    true = [firing for firing in firings if firing.past.job.id in failed]
    return Score(len(runs), len(failed), len(firings), len(true), len({firing.past.job.id for firing in true}))
