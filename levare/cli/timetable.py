"""Schedules in words: when they are due, what they run, what became of it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from levare.cli import terminal, words

if TYPE_CHECKING:
    from levare.client import Fire, Schedule

_USUAL_ZONE = "UTC"


def when_of(found: "Schedule") -> str:
    """`0 3 * * * (Europe/Berlin)`, `every 6h00m`, `once at 2030-12-24 20:00:00`."""
    definition = found["definition"]
    if "every_seconds" in definition:
        return f"every {words.span(definition['every_seconds'])}"
    if "at" in definition:
        return f"once at {words.clock(definition['at'])}"
    zone = f" ({found['zone']})" if found["zone"] != _USUAL_ZONE else ""
    return f"{definition['cron']}{zone}"


def timing_of(found: "Schedule") -> Iterator[tuple[str, str | None]]:
    """All that bears on when it runs."""
    definition = found["definition"]
    yield "when", when_of(found)
    yield "only", _open(definition.get("calendar") or {})
    yield "from", definition.get("starts") and words.clock(definition["starts"])
    yield "until", definition.get("ends") and words.clock(definition["ends"])
    yield "jitter", definition.get("jitter_seconds") and f"up to {words.span(definition['jitter_seconds'])}"
    lateness = definition.get("max_lateness_seconds")
    limit = f", at most {words.span(lateness)} late" if lateness is not None else ""
    yield "when missed", f"{_MISFIRES[definition.get('misfire', 'latest')]}{limit}"
    yield "while one runs", _OVERLAPS[definition.get("overlap", "allow")]


_MISFIRES = {"skip": "skip it", "latest": "make up for the latest", "all": "make up for all"}
_OVERLAPS = {
    "allow": "start another",
    "forbid": "skip",
    "replace": "cancel it and start",
    "queue": "wait for its end",
}


def _open(calendar: Mapping[str, Any]) -> str:
    parts = [calendar.get("days") or "", " ".join(calendar.get("windows") or ())]
    closed = [*(calendar.get("except") or ()), *(calendar.get("holidays") or ())]
    if closed:
        parts.append(f"not on {closed[0]}" + (f" and {len(closed) - 1} more days" if len(closed) > 1 else ""))
    return ", ".join(filter(None, parts))


def work_of(definition: Mapping[str, Any]) -> str:
    """The command, or the steps; and the parameters."""
    if "pipeline" in definition:
        steps = [job["step"] for job in definition["pipeline"]["jobs"]]
        text = f"pipeline of {words.listed(steps)}"
    else:
        text = shlex.join(definition["job"]["command"])
    given = " ".join(f"{name}={value}" for name, value in definition.get("parameters", {}).items())
    return f"{text} with {given}" if given else text


def last_of(found: "Schedule") -> tuple[str, Any]:
    """When it was due last, and what became of that."""
    last = found["last"]
    if last is None:
        return words.NOTHING, words.NOTHING
    return words.clock(last["until"] or last["due_at"]), terminal.state(last["state"] or last["outcome"])


def success(found: "Schedule") -> str:
    """`95% of 20`."""
    if found["success_percent"] is None:
        return words.NOTHING
    return f"{words.of_100(found['success_percent'])} of {found['runs_counted']}"


def fire_table(found: Sequence["Fire"]) -> Any:
    rows = [
        (
            words.clock(fire["due_at"]),
            terminal.state(fire["outcome"]),
            fire["pipeline"] or fire["job"] or words.NOTHING,
            terminal.state(fire["state"]) if fire["state"] else words.NOTHING,
            _reason(fire),
        )
        for fire in found
    ]
    return terminal.table(("due", "outcome", "job", "state", "reason"), rows, flexible=("reason",))


def _reason(fire: "Fire") -> str:
    until = f"until {words.clock(fire['until'])}: " if fire["until"] else ""
    return f"{until}{fire['reason'] or ''}"
