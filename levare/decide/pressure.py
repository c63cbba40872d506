"""What is wrong with schedules, or will be: times that nobody meant, work that no node can run, crowds, windows."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.decide.outlook import Plan, Stage, Start
from levare.decide.placement import can_never_run
from levare.decide.times import Lint, lint, next_after, previous
from levare.decide.timing import Timing
from levare.model import Node, Window

ERROR, WARNING = "error", "warning"
LEVELS = (ERROR, WARNING)
AHEAD = timedelta(days=7)
"""How far is looked for crowds and windows."""
MANY = 5
"""So many schedules that start in one minute are a crowd."""
_GRAVE = (Lint.ENDS_BEFORE_START, Lint.NEVER)
_NAMED = 4
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Finding:
    """One thing to look at, with the schedules that it is about and the first times at which it shows."""

    code: str
    level: str
    schedules: tuple[str, ...]
    message: str
    at: tuple[datetime, ...] = ()


def of_times(name: str, timing: Timing, *, now: datetime, declared_at: datetime) -> list[Finding]:
    """What a person may not have meant by its times. One that was due since it was declared, and is done, is well."""
    if next_after(timing.rule, now) is None and (previous(timing.rule, now) or declared_at) > declared_at:
        return []
    return [
        Finding(found.lint, ERROR if found.lint in _GRAVE else WARNING, (name,), found.message, found.at)
        for found in lint(timing.rule, now=now)
    ]


def of_work(plan: Plan, nodes: Sequence[Node], licences: Mapping[str, int]) -> Iterator[Finding]:
    """What no node could run, as the fleet is now."""
    for stage in plan.stages:
        reason = can_never_run(stage.request, nodes, licences)
        if reason:
            yield Finding("can-never-run", ERROR, (plan.name,), f"No node could run it now: {reason.message}")
            return


def of_pressure(
    starts: Sequence[Start], nodes: Sequence[Node], licences: Mapping[str, int], *, fleet: int
) -> list[Finding]:
    """What the coming starts do to each other, and where windows leave no room for them; without steady ones."""
    single = [start for start in starts if start.until is None]
    return [*_crowds(single), *_short_of_gpus(single, fleet), *_kept(single, nodes, licences)]


def _by_minute(starts: Iterable[Start]) -> dict[datetime, list[Start]]:
    found: dict[datetime, list[Start]] = defaultdict(list)
    for start in starts:
        found[start.at.replace(second=0, microsecond=0)].append(start)
    return found


def _names(starts: Iterable[Start]) -> tuple[str, ...]:
    return tuple(sorted({start.plan.name for start in starts}))


def _crowds(starts: Sequence[Start]) -> Iterator[Finding]:
    found: dict[tuple[str, ...], list[datetime]] = defaultdict(list)
    for minute, together in _by_minute(starts).items():
        if len(names := _names(together)) >= MANY:
            found[names].append(minute)
    for names, minutes in found.items():
        message = f"{len(names)} schedules start in the same minute, {_when(minutes)}. Give them jitter_seconds."
        yield Finding("crowd", WARNING, names, message, tuple(minutes[:_NAMED]))


def _short_of_gpus(starts: Sequence[Start], fleet: int) -> Iterator[Finding]:
    found: dict[tuple[tuple[str, ...], float], list[datetime]] = defaultdict(list)
    for minute, together in _by_minute(start for start in starts if _at_once(start.plan)).items():
        names, asked = _names(together), sum(_at_once(start.plan) for start in together)
        if asked > fleet > 0 and len(names) > 1:
            found[names, asked].append(minute)
    for (names, asked), minutes in found.items():
        message = f"Together they ask for {asked:g} GPUs in one minute, {_when(minutes)}, and there are {fleet}"
        yield Finding("short-of-gpus", WARNING, names, f"{message}: some will wait.", tuple(minutes[:_NAMED]))


def _at_once(plan: Plan) -> float:
    """What it asks for when it starts."""
    return sum(stage.gpus for stage in plan.stages if not stage.after)


def _kept(starts: Sequence[Start], nodes: Sequence[Node], licences: Mapping[str, int]) -> Iterator[Finding]:
    if not any(node.windows for node in nodes):
        return
    found: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for start in starts:
        for window in _in_the_way(start, nodes, licences):
            found[start.plan.name, window].append(start.at)
    for (name, window), times in found.items():
        message = f"Window {window} leaves no node that could run it {_when(times)}: it will wait until that is over."
        yield Finding("window", WARNING, (name,), message, tuple(times[:_NAMED]))


def _in_the_way(start: Start, nodes: Sequence[Node], licences: Mapping[str, int]) -> list[str]:
    """The windows that keep each node which could run one of its jobs."""
    for stage in start.plan.stages:
        keeping = {node.name: _keeping(start, stage, node) for node in nodes}
        left = [node for node in nodes if not keeping[node.name]]
        if len(left) < len(nodes) and _cannot(stage, left, licences) and not _cannot(stage, nodes, licences):
            return sorted({window.name for windows in keeping.values() for window in windows})
    return []


def _cannot(stage: Stage, nodes: Sequence[Node], licences: Mapping[str, int]) -> bool:
    return not nodes or can_never_run(stage.request, nodes, licences) is not None


def _keeping(start: Start, stage: Stage, node: Node) -> list[Window]:
    begins = start.at + stage.after
    ends = begins + stage.taken.promised
    return [
        window
        for window in node.windows
        if window.starts < ends and begins < window.ends and not window.admits(stage.team, start.plan.owner)
    ]


def _when(times: Sequence[datetime]) -> str:
    more = f" and {len(times) - 1} times more within {AHEAD.days} days" if len(times) > 1 else ""
    return f"at {times[0]:%Y-%m-%d %H:%M} UTC{more}"
