"""
The brakes of a trigger: which of its occurrences start a run now, which are held, which wait; each with its reason.

Occurrences are grouped by their own times alone, so the groups do not depend on when somebody looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

RUN, HELD, PENDING = "run", "held", "pending"
OUTCOMES = (RUN, HELD, PENDING)
MOST_TOGETHER = 1000
"""So many occurrences share a run at most."""
MOST_BYTES = 96 * 1024
"""The events of a run are one variable of its environment, for which the kernel allows 128 KiB."""
LOOK_AGAIN = timedelta(seconds=1)
"""What waits for a run to end looks again after this."""
_NONE = timedelta()
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Brakes:
    """What a trigger may not do. What is empty or None does not brake."""

    cooldown: timedelta = _NONE
    """From the start of a run to the next."""
    in_flight: int | None = None
    per_day: int | None = None
    """Runs that start on one day in UTC."""
    same_within: timedelta = _NONE
    """An occurrence is a repetition of one that is the same and came less than this before."""
    quiet: timedelta = _NONE
    """A run waits until nothing has come for this long, and is for all that came."""
    batch: int = 1
    batch_within: timedelta = _NONE
    waits: bool = False
    """Whether what a brake stops waits for it, instead of being held."""


@dataclass(frozen=True)
class Occurrence:
    """Something that a trigger is about; `key` names it for ever, `same` is equal for repetitions."""

    key: str
    at: datetime
    same: str | None = None
    size: int = 0
    """Bytes of its event."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a trigger when it is decided."""

    paused: str | None = None
    """Who paused it, and why."""
    in_flight: int = 0
    frees_at: datetime | None = None
    """When the next run in flight ends, where that is known."""
    last_run_at: datetime | None = None
    runs_today: int = 0
    """That started on the present day in UTC."""
    seen: Mapping[str, datetime] = field(default_factory=dict)
    """Sameness -> when the last occurrence came that is so and ran."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of some occurrences, together; with `until` they are looked at again then."""

    keys: tuple[str, ...]
    outcome: str
    reason: str
    until: datetime | None = None


@dataclass
class Group:
    """Occurrences that share one run, oldest first."""

    brakes: Brakes
    members: list[Occurrence]
    size: int
    """Bytes of their events."""
    complete_at: datetime | None = None
    """When one came that it could not take."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(each.key for each in self.members)

    @property
    def is_full(self) -> bool:
        gathers_all = self.brakes.batch == 1 and self.brakes.quiet
        return len(self.members) >= (MOST_TOGETHER if gathers_all else min(self.brakes.batch, MOST_TOGETHER))

    @property
    def closes_at(self) -> datetime:
        """From when on its run may start."""
        first, last = self.members[0].at, self.members[-1].at
        ends = [last + self.brakes.quiet] if self.brakes.quiet else []
        ends += [first + self.brakes.batch_within] if self.brakes.batch > 1 and self.brakes.batch_within else []
        ends += [self.complete_at] if self.complete_at else []
        return last if self.is_full else max(last, min(ends, default=last))

    def takes(self, one: Occurrence) -> bool:
        return not self.is_full and one.at < self.closes_at and self.size + one.size + 1 <= MOST_BYTES


def decide(occurrences: Sequence[Occurrence], facts: Facts, brakes: Brakes, *, now: datetime) -> list[Verdict]:
    """
    What becomes of the occurrences that have no lasting verdict yet; each is in exactly one verdict.

    Never starts more than `per_day` on a day, nor more than `in_flight` at a time, nor one within the cool-down.
    """
    waiting = sorted(occurrences, key=lambda each: (each.at, each.key))
    if facts.paused is not None:
        return [Verdict((each.key,), HELD, facts.paused) for each in waiting]
    verdicts, fresh = _without_repetitions(waiting, facts, brakes)
    stopped: tuple[str, datetime | None] | None = None  # what stops one stops all that follow
    for group in groups(fresh, brakes):
        if group.closes_at > now:
            verdicts.append(Verdict(group.keys, PENDING, _gathering(group), group.closes_at))
            continue
        stopped = stopped or _brake(facts, brakes, now)
        if stopped is None:
            facts = _after_run(facts, now)
            verdicts.append(Verdict(group.keys, RUN, _started(group)))
        elif brakes.waits:
            verdicts.append(Verdict(group.keys, PENDING, f"Waits. {stopped[0]}", stopped[1]))
        else:
            verdicts.append(Verdict(group.keys, HELD, stopped[0]))
    return verdicts


def next_look(verdicts: Sequence[Verdict]) -> datetime | None:
    return min((each.until for each in verdicts if each.until is not None), default=None)


def groups(occurrences: Sequence[Occurrence], brakes: Brakes) -> Iterator[Group]:
    """Who shares a run with whom, oldest first; the occurrences are in the order of their times."""
    group: Group | None = None
    for each in occurrences:
        if group and group.takes(each):
            group.members.append(each)
            group.size += each.size + 1
            continue
        if group:
            group.complete_at = each.at
            yield group
        group = Group(brakes, [each], each.size)
    if group:
        yield group


def _without_repetitions(
    occurrences: Sequence[Occurrence], facts: Facts, brakes: Brakes
) -> tuple[list[Verdict], list[Occurrence]]:
    seen, verdicts, fresh = dict(facts.seen), list[Verdict](), list[Occurrence]()
    for each in occurrences:
        before = seen.get(each.same) if each.same is not None else None
        if before is not None and each.at - before < brakes.same_within:
            verdicts.append(Verdict((each.key,), HELD, _repetition(each, before, brakes)))
        else:
            fresh.append(each)
            if each.same is not None:
                seen[each.same] = each.at
    return verdicts, fresh


def _repetition(each: Occurrence, before: datetime, brakes: Brakes) -> str:
    ago = _seconds(each.at - before)
    return (
        f"The same ({each.same}) came {ago} before, at {_clock(before)}; it counts once in {_span(brakes.same_within)}."
    )


def _brake(facts: Facts, brakes: Brakes, now: datetime) -> tuple[str, datetime | None] | None:
    """Why nothing may start now, and when to look again; None if it may."""
    if facts.last_run_at is not None and (free_at := facts.last_run_at + brakes.cooldown) > now:
        started, cooldown = _clock(facts.last_run_at), _span(brakes.cooldown)
        return f"The last run started {started}; the cool-down of {cooldown} ends {_clock(free_at)}.", free_at
    if brakes.in_flight is not None and facts.in_flight >= brakes.in_flight:
        look_at = max(facts.frees_at, now) if facts.frees_at else now + LOOK_AGAIN
        return f"{facts.in_flight} of at most {brakes.in_flight} runs are in flight.", look_at
    if brakes.per_day is not None and facts.runs_today >= brakes.per_day:
        anew, had = next_day(now), f"{facts.runs_today} of at most {brakes.per_day} runs a day have started"
        return f"{had}; the next day begins {_clock(anew)}.", anew
    return None


def _gathering(group: Group) -> str:
    count, brakes = len(group.members), group.brakes
    most = f" of {brakes.batch}" if brakes.batch > 1 else ""
    return f"Gathers: {count}{most} came; the run starts at {_clock(group.closes_at)} if nothing else comes."


def _started(group: Group) -> str:
    count = len(group.members)
    return "Started." if count == 1 else f"One run for {count} occurrences."


def _after_run(facts: Facts, now: datetime) -> Facts:
    return replace(facts, in_flight=facts.in_flight + 1, last_run_at=now, runs_today=facts.runs_today + 1)


def day_of(now: datetime) -> datetime:
    """When the present day in UTC began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def next_day(now: datetime) -> datetime:
    return day_of(now) + _DAY


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _seconds(time: timedelta) -> str:
    return f"{max(time, _NONE).total_seconds():.0f} s"


def _span(time: timedelta) -> str:
    return f"{time.total_seconds():g} s"
