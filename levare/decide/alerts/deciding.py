"""
Which alerts start and which end.

An alert is of one rule and one subject, and there is one open at a time: it starts once what is seen has lasted, and
ends when it is seen to be well again, past the bound where it may rearm, or when its subject is gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from levare.decide.alerts.facts import Facts
from levare.decide.alerts.look import MOMENTARY, look
from levare.decide.alerts.rules import QUEUE, Rule
from levare.decide.alerts.sight import Sight
from levare.decide.conditions import BREACH, CLEAR, Standing, lasting

LONGEST_OPEN = timedelta(days=7)
"""What nothing can end, as no such job has come again, is over after this."""
Place = tuple[str, str]
"""Rule and subject."""


@dataclass(frozen=True)
class Open:
    """An alert that has not ended."""

    number: int
    rule: str
    subject: str
    begun_at: datetime
    scope: str | None = None


@dataclass(frozen=True)
class Start:
    rule: Rule
    sight: Sight
    begun_at: datetime


@dataclass(frozen=True)
class End:
    alert: Open
    reason: str
    is_recovery: bool = True
    """Whether it is well again, and not only gone or too old."""


@dataclass(frozen=True)
class Outcome:
    starts: Sequence[Start] = ()
    ends: Sequence[End] = ()
    standings: Mapping[Place, Standing] = field(default_factory=dict)
    """What is to be known at the next look."""


def decide(rules: Sequence[Rule], facts: Facts, opened: Sequence[Open], standings: Mapping[Place, Standing]) -> Outcome:
    """What these facts start and end. Pure: the caller writes it, and brings the standings back at the next look."""
    outcomes = [_of_rule(rule, facts, opened, standings) for rule in rules]
    return Outcome(
        [start for outcome in outcomes for start in outcome.starts],
        [*(end for outcome in outcomes for end in outcome.ends), *orphaned(rules, opened)],
        {place: standing for outcome in outcomes for place, standing in outcome.standings.items()},
    )


def orphaned(rules: Sequence[Rule], opened: Sequence[Open]) -> list[End]:
    """The ends of alerts whose rule was removed or paused."""
    named = {rule.name for rule in rules}
    gone = [alert for alert in opened if alert.rule not in named]
    return [End(alert, f"Rule {alert.rule} is no longer in force.", is_recovery=False) for alert in gone]


def _of_rule(rule: Rule, facts: Facts, opened: Sequence[Open], standings: Mapping[Place, Standing]) -> Outcome:
    mine = {alert.subject: alert for alert in opened if alert.rule == rule.name}
    sights = look(rule, facts)
    if rule.kind in MOMENTARY:
        return _of_moments(rule, sights, mine, facts.now)
    starts, ends, kept = list[Start](), list[End](), dict[Place, Standing]()
    for sight in sights:
        place, alert = (rule.name, sight.subject), mine.pop(sight.subject, None)
        before = standings.get(place, Standing(armed=alert is None))
        if alert is None and not before.armed and sight.level != BREACH:
            before = Standing(armed=True, seen_at=before.seen_at)
        standing, fires = lasting(before, sight.level, sight.lasts, now=facts.now)
        kept[place] = standing
        if fires and alert is None:
            starts.append(Start(rule, sight, sight.since or standing.since or facts.now))
        elif alert is not None and sight.level == CLEAR:
            ends.append(End(alert, sight.message))
    gone = [alert for alert in mine.values() if _job_of(alert) not in facts.settling]
    ends += [End(alert, _gone(alert, rule, facts), is_recovery=_job_of(alert) is not None) for alert in gone]
    return Outcome(starts, ends, kept)


def _of_moments(rule: Rule, sights: Sequence[Sight], mine: Mapping[str, Open], now: datetime) -> Outcome:
    starts, over, ends = dict[str, Start](), dict[int, Open](), dict[int, End]()
    for sight in sights:
        if sight.level == BREACH and sight.subject not in mine:
            starts.setdefault(sight.subject, Start(rule, sight, sight.since or now))
        elif sight.level == CLEAR:
            found = [alert for alert in mine.values() if alert.scope == sight.scope]
            ends |= {alert.number: End(alert, sight.message) for alert in found}
    over |= {alert.number: alert for alert in mine.values() if now - alert.begun_at >= LONGEST_OPEN}
    old = {number: End(alert, _OLD, is_recovery=False) for number, alert in over.items() if number not in ends}
    return Outcome(list(starts.values()), [*ends.values(), *old.values()])


def _job_of(alert: Open) -> str | None:
    kind, _, name = alert.subject.partition(":")
    return name if kind == "job" else None


def _gone(alert: Open, rule: Rule, facts: Facts) -> str:
    kind, _, name = alert.subject.partition(":")
    over = next((over for over in facts.over if over.job.id == name), None)
    if over is not None:
        return f"{over.job.title} has {over.state}: {over.reason or 'no reason is known.'}"
    does = "waits" if rule.kind == QUEUE else "runs"
    return f"Job {name} no longer {does}." if kind == "job" else f"{name or alert.subject} is gone."


_OLD = f"Nothing has ended it for {LONGEST_OPEN.days} days."
