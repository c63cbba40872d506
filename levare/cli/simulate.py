"""`levare simulate`: the past played again under other quotas, weights, pools or nodes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import manifests, terminal, words
from levare.cli.kinds import AGO, NODES, SETTING
from levare.cli.plans import objects_of

if TYPE_CHECKING:
    from levare.client import Client, Object, Replay, ReplayTally
    from levare.model import DeclaredKind

_KINDS: "Mapping[str, DeclaredKind]" = {"teams": "team", "pools": "pool"}
_WAYS = ("actual", "declared", "changed")
Setting = tuple[tuple[str, ...], Any]


@click.command()
@manifests.options
@click.option("--since", type=AGO, help="What came from then on, such as 14d; 30d by default.")
@click.option("--until", type=AGO, help="Up to when; now by default.")
@click.option("--set", "settings", type=SETTING, multiple=True, help="What would be otherwise; repeatable.")
@click.option("--nodes", type=NODES, multiple=True, help="How many nodes like this one there would be; repeatable.")
@terminal.json_option
def simulate(
    paths: Sequence[Path],
    environment: str | None,
    variables: Sequence[tuple[str, str]],
    *,
    since: datetime | None,
    until: datetime | None,
    settings: Sequence[Setting],
    nodes: Sequence[tuple[str, int]],
    as_json: bool,
) -> None:
    """
    Play the jobs of the past again, as things are declared and as they might be: waits, use and cost of each team.

    \b
    levare simulate --set teams.vision.quota.gpus=6 --set teams.speech.weight=2
    levare simulate fleet/ --env production    the teams and pools of a manifest
    levare simulate --nodes node-a=2           one more node like node-a; =0 without it

    Each decision is the one that would really be taken; nothing is changed.
    """
    with terminal.connect() as client:
        objects = _objects(paths, environment, variables) if paths or environment or variables else []
        objects = _with(settings, objects, client)
        found = client.simulate(
            since=since and since.isoformat(),
            until=until and until.isoformat(),
            objects=objects,
            nodes=dict(nodes),
        )
    if as_json:
        terminal.document(found)
        return
    for line in _heading(found):
        click.echo(line)
    terminal.show(terminal.table(_HEADS, _rows(found)))
    for line in (*_ending(found), *_missing(settings, found)):
        terminal.note(line)


def _objects(paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]]) -> "list[Object]":
    return [each for each in objects_of(paths, environment, variables) if each["kind"] in _KINDS.values()]


def _with(settings: Sequence[Setting], objects: "list[Object]", client: "Client") -> "list[Object]":
    """The objects with what is set in them; what is not among them is taken as it is declared."""
    if not settings:
        return objects
    known = {(each["kind"], each["name"]): each for each in (*client.declared()["objects"], *objects)}
    chosen: dict[tuple[DeclaredKind, str], dict[str, Any]] = {
        (each["kind"], each["name"]): dict(each["document"]) for each in objects
    }
    for path, value in settings:
        kind = _KINDS.get(path[0])
        if kind is None:
            raise click.UsageError(f"{path[0]!r} cannot be set in a simulation; {' and '.join(_KINDS)} can.")
        key = (kind, path[1])
        if key not in chosen:
            chosen[key] = dict(known[key]["document"]) if key in known else {}
        _put(chosen[key], path[2:], value)
    return [_object(kind, name, document) for (kind, name), document in chosen.items()]


def _object(kind: "DeclaredKind", name: str, document: Mapping[str, Any]) -> "Object":
    return {"kind": kind, "name": name, "document": document}


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set what is somewhere within a document; what is on the way there is copied."""
    part, *way = path
    if not way:
        document[part] = value
        return
    inner = document.get(part) or {}
    if not isinstance(inner, dict):
        raise click.UsageError(f"{part!r} is {inner!r} and has nothing in it that could be set.")
    document[part] = dict(inner)
    _put(document[part], way, value)


def _heading(found: "Replay") -> Iterator[str]:
    yield f"{words.counted(found['actual']['all']['jobs'], 'job')} from {words.clock(found['since'])} on"
    for change in found["changes"]:
        yield f"  {words.plain(change)}"


_HEADS = ("", "", "jobs>", "wait p50>", "p95>", "still wait>", "preempted>", "GPU-hours>", "GPUs used>", "cost>")


def _rows(found: "Replay") -> Iterator[list[str]]:
    """Of all and of each team three rows: what was, what is declared, what would be."""
    teams = sorted({name for way in _WAYS for name in found[way]["teams"]})
    for name in ("", *teams):
        for way in _WAYS:
            tallies = found[way]
            tally = tallies["teams"].get(name) if name else tallies["all"]
            if tally is not None:
                used = words.NOTHING if name else words.of_100(tallies["used_percent"])
                yield _row(name or "all", way, tally, used, found["currency"])


def _row(name: str, way: str, tally: "ReplayTally", used: str, currency: str) -> list[str]:
    return [
        name if way == _WAYS[0] else "",
        way,
        str(tally["jobs"]),
        _span(tally["wait_p50_seconds"]),
        _span(tally["wait_p95_seconds"]),
        str(tally["waiting"]),
        str(tally["preemptions"]),
        f"{tally['gpu_hours']:.1f}",
        used,
        words.NOTHING if tally["cost"] is None else words.money(tally["cost"], currency),
    ]


def _span(seconds: float | None) -> str:
    return words.NOTHING if seconds is None else words.span(seconds)


def _ending(found: Mapping[str, Any]) -> Iterator[str]:
    yield "actual: as it went; declared: played again as it is declared now; changed: as it might be."
    if found["untold"]:
        yield f"{words.counted(found['untold'], 'job')} left out: nothing tells how long they take."
    if not found["changes"]:
        yield "Nothing is otherwise: give --set, --nodes or a manifest."


def _missing(settings: Sequence[Setting], found: "Replay") -> Iterator[str]:
    """Teams that had no job: what is set of one makes no difference, and its name may be misspelt."""
    played = found["actual"]["teams"]
    for name in dict.fromkeys(path[1] for path, _ in settings if path[0] == "teams" and path[1] not in played):
        yield f"Team {name} had no job then; those that had: {', '.join(sorted(played)) or 'none'}."
