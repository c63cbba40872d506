"""`levare report`: asked for against used, what stood idle, what failed, and what to ask for instead."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import AGO, FAMILY, TEAM

_OUTPUT = "Write a picture (.svg, .png), Markdown (.md) or JSON (.json) to this file; pictures need levare[report]."
_MOST = 20
_KINDS = (".svg", ".png", ".md", ".json")


@click.command()
@click.option("--team", type=TEAM, help="Only of this team.")
@click.option("--family", type=FAMILY, help="Only of this family (team/project/name).")
@click.option("--since", type=AGO, help="What ended from then on, such as 7d; 30d by default.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=_OUTPUT)
@terminal.json_option
def report(
    *,
    team: str | None,
    family: str | None,
    since: datetime | None,
    markdown: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Tell what was asked for and used, what stood idle, what failed, and what to ask for instead."""
    if output and output.suffix not in _KINDS:
        raise click.BadParameter(f"{output.name} ends in none of {', '.join(_KINDS)}.", param_hint="-o")
    with terminal.connect() as client:
        found = client.report(team=team, family=family, since=since and since.isoformat())
    if output:
        _write(found, output)
    elif as_json:
        terminal.document(found)
    else:
        click.echo("\n".join(words.plain(line) for line in (of_report(found) if markdown else _plain(found))))


def _write(found: Mapping[str, Any], output: Path) -> None:
    import json

    if output.suffix in (".svg", ".png"):
        from levare.cli.pictures import draw

        draw(found, output)
    elif output.suffix == ".json":
        output.write_text(json.dumps(found, indent=2) + "\n")
    else:
        output.write_text("\n".join(of_report(found)) + "\n")
    terminal.note(f"{output} is written.")


def _plain(found: Mapping[str, Any]) -> Iterator[str]:
    """Markdown reads well enough; without the marks that only a renderer needs."""
    for line in of_report(found):
        if not set(line) <= {"|", "-", ":", " "} or not line:
            yield line.replace("`", "").removeprefix("## ").removeprefix("# ")


def of_report(found: Mapping[str, Any]) -> Iterator[str]:
    """The report as Markdown."""
    totals = found["totals"]
    of = f" of team {found['team']}" if found["team"] else ""
    yield f"# Report{of}, {_day(found['since'])} to {_day(found['until'])}"
    yield ""
    if not totals["attempts"]:
        yield "Nothing has ended in this time."
        return
    yield from _totals(found)
    yield from _table("What was asked for and used", _FAMILY_HEADS, map(_family, found["families"][:_MOST]))
    yield from _table("Failures", ("class", "times"), ([name, str(n)] for name, n in totals["failures"].items()))
    yield from _proposals(found)


def _day(at: str) -> str:
    return words.clock(at)[:10]


def _totals(found: Mapping[str, Any]) -> Iterator[str]:
    totals = found["totals"]
    held, idle = totals["gpu_hours"], totals["idle_hours"]
    part = f" ({100 * idle / held:.0f}%)" if held else ""
    yield f"{totals['attempts']} attempts: {totals['succeeded']} succeeded, {totals['failed']} failed."
    yield f"{held:.1f} GPU-hours were held; in {idle:.1f} of them{part} the GPUs were not busy."
    if totals["cost"] is not None:
        yield f"They cost {words.money(totals['cost'], found['currency'])}."
    if totals["energy_joules"]:
        yield f"Their GPUs consumed {words.energy(totals['energy_joules'])}."


_FAMILY_HEADS = ("family", "runs", "failed", "waits", "takes", "CPUs", "memory", "GPU memory", "GPU busy", "idle GPU-h")


def _family(each: Mapping[str, Any]) -> list[str]:
    asked, used = each["asked"], each["used"]
    of_one = asked["gpu_memory_mib"] or asked["gpu_total_mib"]
    gpu_memory = of_one and of_one * asked["gpus"]  # what is used is told of all GPUs together
    return [
        each["name"],
        str(each["attempts"]),
        str(each["failed"]),
        _span(each["wait_seconds"]),
        _span(each["typical_seconds"]),
        _against("-" if used["cpus"] is None else f"{used['cpus']:.1f}", str(asked["cpus"])),
        _against(_size(used["memory_mib"]), _size(asked["memory_mib"] or None)),
        _against(_size(used["gpu_memory_mib"]), _size(gpu_memory)) if asked["gpus"] else words.NOTHING,
        words.of_100(used["gpu_utilisation_percent"]) if asked["gpus"] else words.NOTHING,
        f"{each['idle_hours']:.1f}",
    ]


def _span(seconds: float | None) -> str:
    return words.NOTHING if seconds is None else words.span(seconds)


def _size(mib: float | None) -> str:
    return words.size(mib)


def _against(used: str, asked: str) -> str:
    return words.NOTHING if used == asked == words.NOTHING else f"{used} of {asked}"


def _table(title: str, heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    listed = [list(heads), *rows]
    if len(listed) == 1:
        return
    widths = [max(len(row[place]) for row in listed) for place in range(len(heads))]
    yield from ("", f"## {title}", "")
    for number, row in enumerate(listed):
        yield "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + " |"
        if not number:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _proposals(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## What to ask for instead", "")
    if not found["proposals"]:
        yield "Nothing: no family that has run often enough asks for much more than it uses."
    for each in found["proposals"]:
        yield f"- {each['family']} {each['text']}: `{each['option']}`"
