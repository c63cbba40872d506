"""What each rule sees in the facts."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from levare.decide.alerts import endings, hanging, learning, machines, slowness
from levare.decide.alerts.facts import Facts, Live
from levare.decide.alerts.rules import (
    ABSENCE,
    DEGRADED,
    DISK,
    FAILURE,
    HANG,
    IDLE,
    LOG,
    METRIC,
    NODE_LOST,
    NOT_FINITE,
    QUEUE,
    SAMPLE,
    SLOW,
    UNHEALTHY,
    Rule,
    concerns,
)
from levare.decide.alerts.sight import Sight
from levare.decide.conditions import BETWEEN, BREACH

MOMENTARY = (FAILURE, DEGRADED)
"""Kinds that see something only when it happens; of the others, what is no longer seen is over."""
LONGEST_LINE = 300


def look(rule: Rule, facts: Facts) -> list[Sight]:
    """What the rule sees, each subject once."""
    found: dict[tuple[str, str], Sight] = {}
    for sight in _EYES[rule.kind](rule, facts):
        found[sight.subject, sight.level if rule.kind in MOMENTARY else ""] = sight
    return list(found.values())


def _of_live(see: Callable[[Any, Live, Facts], Sight | None], *, last: bool = False) -> Any:
    """Each run that the rule is about; with `last` also those that have just ended."""

    def eyes(rule: Rule, facts: Facts) -> Iterator[Sight]:
        when: Any = rule.when
        for live in facts.live:
            if (last or not live.is_over) and concerns(when.of, live.job):
                sight = see(when, live, facts)
                if sight:
                    yield sight

    return eyes


def _failure(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    for over in facts.over:
        sight = endings.failure(over) if concerns(when.of, over.job) else None
        if sight:
            yield sight


def _degraded(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    for over in facts.over:
        if concerns(when.of, over.job):
            sight = learning.degraded(when, over, facts.profile_before(over))
            if sight:
                yield sight


def _queue(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    for waiting in facts.waiting:
        if concerns(when.of, waiting.job):
            yield endings.queue(when, waiting, now=facts.now)


def _absence(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    if rule.name in facts.last_success:
        yield endings.absence(when, rule.name, facts.last_success[rule.name], now=facts.now)


def _node_lost(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    yield from (sight for node in facts.nodes if (sight := machines.node_lost(when, node)))


def _log(rule: Rule, facts: Facts) -> Iterator[Sight]:
    when: Any = rule.when
    for live in facts.live:
        if concerns(when.of, live.job):
            yield _line(rule, live)


def _line(rule: Rule, live: Live) -> Sight:
    line, when = live.lines.get(rule.name), rule.when
    pattern = getattr(when, "pattern", "")
    shown = (line or "")[:LONGEST_LINE]
    return Sight(
        subject=f"job:{live.job.id}",
        level=BETWEEN if line is None else BREACH,
        message=(
            f"{live.job.title} wrote on {live.node}: {shown!r}, which matches {pattern!r}. "
            f"`levare logs {live.job.id}` has what stands around it."
        ),
        job=live.job,
        node=live.node,
        detail={"line": shown},
    )


_EYES: Mapping[str, Callable[[Rule, Facts], Iterator[Sight]]] = {
    FAILURE: _failure,
    DEGRADED: _degraded,
    QUEUE: _queue,
    ABSENCE: _absence,
    NODE_LOST: _node_lost,
    LOG: _log,
    SLOW: _of_live(lambda when, live, facts: slowness.sight(when, live, facts.profile(live.job.family), now=facts.now)),
    HANG: _of_live(lambda when, live, facts: hanging.sight(when, live, facts.profile(live.job.family), now=facts.now)),
    IDLE: _of_live(lambda when, live, _: machines.idle(when, live)),
    METRIC: _of_live(lambda when, live, facts: learning.metric(when, live, now=facts.now), last=True),
    NOT_FINITE: _of_live(lambda when, live, _: learning.not_finite(when, live), last=True),
    SAMPLE: lambda rule, facts: machines.sample(rule.when, facts),  # pyright: ignore[reportArgumentType]
    DISK: lambda rule, facts: machines.disk(rule.when, facts),  # pyright: ignore[reportArgumentType]
    UNHEALTHY: lambda rule, facts: machines.unhealthy(rule.when, facts),  # pyright: ignore[reportArgumentType]
}
