"""A plan in text: `+ ~ -` for each object, its fields, and what the plan does to the queue and the calendar."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words

if TYPE_CHECKING:
    from levare.client import Plan, PlannedChange

_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "remove": ("-", "red")}
_DONE = (("created", "to create"), ("updated", "to change"), ("removed", "to remove"))
_MOST_FIELDS, _MOST_ROWS, _MOST_OBJECTS, _LONGEST = 40, 20, 200, 100
_LONG_DIGEST = 12


def tell(plan: "Plan") -> None:
    """All of it."""
    for line in [*_changes(plan["changes"]), *_notes(plan), *_effect(plan)]:
        click.echo(line)
    click.echo(summary(plan))


def summary(plan: "Plan") -> str:
    if not plan["changes"]:
        return f"No changes: all is declared so already, as of revision {plan['base']}."
    counts = ", ".join(f"{plan['counts'][name]} {what}" for name, what in _DONE)
    return f"Plan: {counts}; on revision {plan['base']}, digest {plan['digest'][:_LONG_DIGEST]}."


def _changes(changes: Sequence["PlannedChange"]) -> Iterator[str]:
    for change in changes[:_MOST_OBJECTS]:
        yield head(change["action"], change["kind"], change["name"])
        yield from inner(change)
    if len(changes) > _MOST_OBJECTS:
        yield f"  and {len(changes) - _MOST_OBJECTS} objects more: --json has all"


def head(action: str, kind: str, name: str) -> str:
    sign, colour = _SIGNS[action]
    return terminal.paint(words.plain(f"{sign} {kind.replace('_', ' ')} {name}"), fg=colour)


def inner(change: Mapping[str, Any]) -> Iterator[str]:
    """What is new, or what differs, a line for each value; nothing of what goes."""
    if change["action"] == "create":
        lines = [f"{path}: {_value(value)}" for path, value in _leaves("", change["after"])]
    else:
        lines = [f"{each['path']}: {_value(each['before'])} -> {_value(each['after'])}" for each in change["fields"]]
    yield from (f"    {words.plain(line)}" for line in lines[:_MOST_FIELDS])
    if len(lines) > _MOST_FIELDS:
        yield f"    and {len(lines) - _MOST_FIELDS} values more"


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, each)
    else:
        yield path, value


def _value(value: Any) -> str:
    return "(none)" if value is None else words.short(json.dumps(value, ensure_ascii=False), _LONGEST)


def _notes(plan: "Plan") -> Iterator[str]:
    for each in plan["left_paused"]:
        kind, name = each["kind"].replace("_", " "), each["name"]
        yield words.plain(f"  {kind} {name} stays paused: the manifest does not say `paused: false`")
    for warning in plan["warnings"]:
        yield f"{terminal.paint('warning:', fg='yellow', bold=True)} {words.plain(warning)}"


def _effect(plan: "Plan") -> Iterator[str]:
    """What it does; without a word of what it does nothing to."""
    effect = plan["effect"]
    parts: list[tuple[str, list[str]]] = (
        [
            ("Fire times", [_fires(each) for each in effect["fires"]]),
            ("Waiting jobs that would start at another time", [_shift(each) for each in effect["shifts"]]),
            ("Jobs in flight that it touches", [_touched(each) for each in effect["touched"]]),
            ("Quotas exceeded from then on; nothing ends for it", [_over(each) for each in effect["over_quota"]]),
        ]
        if effect
        else []
    )
    for title, lines in parts:
        if lines:
            yield terminal.paint(f"\n{title}", bold=True)
            yield from _few(lines)
    if plan["changes"]:
        yield ""


def _few(lines: Sequence[str]) -> Iterable[str]:
    yield from (f"  {words.plain(line)}" for line in lines[:_MOST_ROWS])
    if len(lines) > _MOST_ROWS:
        yield f"  and {len(lines) - _MOST_ROWS} more: --json has all"


def _fires(each: Mapping[str, Any]) -> str:
    return f"{each['schedule']}: {_times(each['before'])} -> {_times(each['after'])}"


def _times(times: Sequence[str]) -> str:
    return ", ".join(map(words.clock, times)) or "never"


def _shift(each: Mapping[str, Any]) -> str:
    before, after = words.moment(each["before"]), words.moment(each["after"])
    how = ""
    if before and after:
        how = f"{words.span(abs(after - before))} {'later' if after > before else 'earlier'}, "
    times = [words.clock(each[name]) if each[name] else "unknown" for name in ("before", "after")]
    return f"{each['job']} {each['name']} ({each['team']}): {how}{' -> '.join(times)}"


_FATES = {
    "keep": "goes on as it was submitted",
    "finish": "runs to its end",
    "requeue": "is stopped, and waits again",
    "cancel": "is cancelled, for it has not begun",
}


def _touched(each: Mapping[str, Any]) -> str:
    where = f" on {each['node']}" if each["node"] else ""
    return f"{each['job']} {each['name']}, {each['state']}{where}: {_FATES[each['fate']]} ({each['because']})"


def _over(each: Mapping[str, Any]) -> str:
    what = each["what"].replace("_", " ").replace("gpu", "GPU")
    return f"{each['account']}: {each['used']:g} of {each['limit']:g} {what}"
