"""`levare show --failure`: why a job has failed, what speaks for that, what has changed, what to do."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from levare.cli import words
from levare.cli.paragraphs import WIDTH

if TYPE_CHECKING:
    from levare.client.monitoring import Change, Dossier

_MOST_CHANGES = 30
_ENDS_OF_SPREAD = ("_lowest", "_highest")
_NO_COUNTERS = ("at", "seconds")


def of_dossier(found: "Dossier") -> Iterator[str]:
    """A dossier as text; nothing in it can steer the reader's terminal."""
    for line in _lines(found):
        yield words.plain(line)


def _lines(found: "Dossier") -> Iterator[str]:
    named = f"{found['job']} ({found['name']})" if found["name"] else found["job"]
    part = f", part {found['rank']}" if found["rank"] else ""
    yield f"{named}, attempt {found['number']}{part} on {found['node']}, {found['title']}."
    yield from _facts(found)
    yield from _section("What says so", _evidence(found))
    yield from _section("What to do", [f"  {line}" for line in textwrap.wrap(found["next_step"], WIDTH - 2)])
    yield from _section(_since(found), list(_changes(found)))
    yield from _section("Its last lines", [f"  {line['text']}" for line in found["last_lines"]])
    yield from _section("Its last numbers", list(_points(found)))
    yield from _section("Its last ten minutes: at first, at last, at most", list(_samples(found["samples"])))


def _facts(found: "Dossier") -> Iterator[str]:
    exception = f", {found['exception']}" if found["exception"] else ""
    yield f"  class   {found['failure']}{exception}"
    after = f", after {words.between(found['started_at'], found['ended_at'])}" if found["started_at"] else ""
    yield f"  ended   {words.clock(found['ended_at'])}{after}: {found['reason'] or found['state']}"
    used = [
        f"{words.size(found['peak_memory_mib'])} of memory" if found["peak_memory_mib"] else "",
        f"{words.size(found['gpu_memory_mib'])} of GPU memory" if found["gpu_memory_mib"] else "",
    ]
    if any(used):
        yield f"  used    at most {' and '.join(each for each in used if each)}"
    same = found["same_failures"]
    if same["attempts"]:
        times = f"{same['failures']} of the last {words.counted(same['attempts'], 'attempt')}"
        yield f"  so far  {times} of {found['family']} in {same['days']} days failed so"


def _section(head: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield head
        yield from lines


def _evidence(found: "Dossier") -> list[str]:
    return [f"  {each['text']}  [{_place(each)}]" for each in found["evidence"]]


def _place(evidence: Any) -> str:
    places = {"kernel": "the kernel's log", "metrics": "its last metrics", "ending": "how it ended"}
    return places.get(evidence["source"]) or f"log, byte {evidence['offset']}"


def _since(found: "Dossier") -> str:
    good = found["last_good"]
    if good is None:
        return f"No run of {found['family']} has succeeded before"
    return f"What has changed since the last good run, {good['job']} of {words.clock(good['ended_at'])}"


def _changes(found: "Dossier") -> Iterator[str]:
    if found["last_good"] is None:
        yield "  Nothing to compare it with."
        return
    if not found["changes"]:
        yield "  Nothing that levare knows of."
    shown = found["changes"][:_MOST_CHANGES]
    width = max((len(_what(change)) for change in shown), default=0)
    for change in shown:
        yield f"  {_what(change):{width}}  {_told(change['before'])} -> {_told(change['after'])}"
    if len(found["changes"]) > len(shown):
        yield f"  and {len(found['changes']) - len(shown)} more; --json has all of them"


def _what(change: "Change") -> str:
    return f"{change['kind']}: {change['name']}"


def _told(value: str | None) -> str:
    return "(none)" if value is None else words.short(value, 60)


def _points(found: "Dossier") -> Iterator[str]:
    for point in found["metrics"]:
        place = [point["stage"] or "", "" if point["step"] is None else f"step {point['step']}"]
        values = "  ".join(f"{name} {words.number(value)}" for name, value in point["values"].items())
        yield f"  {' '.join(each for each in place if each)}  {values}".rstrip()


def _samples(samples: Sequence[dict[str, float]]) -> Iterator[str]:
    """Buckets of many seconds have a mean and, where it differs, a highest value of each counter."""
    names = list(dict.fromkeys(name for sample in samples for name in sample if _is_counter(name)))
    width = max(map(len, names), default=0)
    for name in names:
        values = [sample[name] for sample in samples if name in sample]
        most = max(sample.get(f"{name}_highest", sample[name]) for sample in samples if name in sample)
        told = [words.number(round(value, 1)) for value in (values[0], values[-1], most)]
        yield f"  {name:{width}}  {told[0]:>10}  {told[1]:>10}  {told[2]:>10}"


def _is_counter(name: str) -> bool:
    return name not in _NO_COUNTERS and not name.endswith(_ENDS_OF_SPREAD)
