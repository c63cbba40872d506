"""`levare schedules lint` and `calendar`: what is wrong with schedules, and the load that they bring."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import FAILED
from levare.cli.kinds import DURATION, SCHEDULE
from levare.cli.paragraphs import wrapped

if TYPE_CHECKING:
    from levare.client import CalendarHour, ExpectedStart, Finding, Outlook

_BAR = 20
_MOST_STARTS = 50
_MOST_NAMES = 6


@click.command()
@click.argument("schedule", type=SCHEDULE, required=False)
@terminal.json_option
def lint(schedule: str | None, *, as_json: bool) -> int:
    """
    Say what is wrong with all schedules, or with one.

    That is times that nobody meant, work that no node can run, crowds, and windows in the way.

    Exits with 1 if there is an error: something that never does what was meant.
    """
    with terminal.connect() as client:
        found = client.lint_schedules(schedule)
    if as_json:
        terminal.document({"items": found})
    elif not found:
        click.echo("Nothing to say.")
    else:
        tell_findings(found)
    return FAILED if any(each["level"] == "error" for each in found) else 0


def tell_findings(found: Sequence["Finding"]) -> None:
    """Each in a paragraph of its own."""
    for each in found:
        style = {"fg": "red" if each["level"] == "error" else "yellow", "bold": True}
        head = f"{each['level']}: {_some(each['schedules'])} ({each['code']})"
        click.echo(terminal.paint(words.plain(head), **style))
        for line in wrapped(words.plain(each["message"])):
            click.echo(f"  {line}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{words.listed(names[:_MOST_NAMES])}{more}"


@click.command()
@click.option("--days", metavar="N", type=click.IntRange(1, 31), default=7, help="How many days; 7 by default.")
@click.option("--gpus", metavar="N", type=click.IntRange(1), help="Look for a slot with so many GPUs.")
@click.option("--for", "seconds", type=DURATION, help="How long that has to be: 2h.")
@terminal.json_option
def calendar(days: int, gpus: int | None, seconds: int | None, *, as_json: bool) -> None:
    """
    Show the load to come, hour by hour, and find a slot.

    Hours in which schedules want more GPUs than there are end in an exclamation mark.

    With --gpus and --for it says when so many GPUs are free for so long with the least load beside them.
    """
    if (gpus is None) != (seconds is None):
        raise click.UsageError("A slot needs both --gpus and --for.")
    with terminal.connect() as client:
        found = client.schedule_calendar(days=days, gpus=gpus, seconds=seconds)
    if as_json:
        terminal.document(found)
        return
    if found["starts"]:
        terminal.show(*_parts(found))
    else:
        terminal.note(f"No schedule starts within {days} days.")
    for line in _slot(found, gpus, seconds):
        click.echo(line)


def _parts(found: "Outlook") -> Iterator[Any]:
    heads = ("starts", "schedule", "GPUs>", "typically>", "at most>")
    shown = found["starts"][:_MOST_STARTS]
    yield terminal.table(heads, [_start(start) for start in shown], flexible=("schedule",))
    more = len(found["starts"]) - len(shown) + found["starts_left_off"]
    if more:
        yield f"and {more} more: --json has them"
    if found["hours"]:
        yield terminal.title(f"GPUs, of {found['fleet_gpus']}")
        heads = ("hour", "GPUs>", "at most>", "kept>", "", "schedules")
        rows = [_hour(hour, found["fleet_gpus"]) for hour in found["hours"]]
        yield terminal.table(heads, rows, flexible=("schedules",))


def _start(start: "ExpectedStart") -> Sequence[Any]:
    many = f" and {start['count'] - 1} more times" if start["count"] > 1 else ""
    unsure = "" if start["known"] else "?"
    return (
        _hour_of(start["starts_at"]),
        f"{start['schedule']}{many}",
        f"{start['gpus']:g}",
        f"{words.span(start['typical_seconds'])}{unsure}",
        f"{words.span(start['promised_seconds'])}{unsure}",
    )


def _hour(hour: "CalendarHour", fleet: int) -> Sequence[Any]:
    used = hour["gpus"] + hour["kept"]
    full = min(_BAR, round(_BAR * used / fleet)) if fleet else 0
    bar = "#" * full + ("!" if hour["is_conflict"] else "")
    names = _some(hour["schedules"])
    style = "red" if hour["is_conflict"] else ""
    numbers = (f"{hour['gpus']:g}", f"{hour['gpus_at_most']:g}", f"{hour['kept']:g}" if hour["kept"] else words.NOTHING)
    return _hour_of(hour["at"]), *numbers, terminal.cell(bar, style), names


def _hour_of(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%a %Y-%m-%d %H:%M}"


def _slot(found: "Outlook", gpus: int | None, seconds: int | None) -> Iterator[str]:
    if gpus is None or seconds is None:
        return
    slot, asked = found["slot"], f"{gpus} GPU{'s' * (gpus > 1)} for {words.span(seconds)}"
    if slot is None:
        yield f"There is no room for {asked} until {words.clock(found['ends'])}; there are {found['fleet_gpus']} GPUs."
        return
    beside = f"{slot['busy']:g} GPUs held beside it on average" if slot["busy"] else "nothing scheduled beside it"
    yield f"The best slot for {asked} begins at {words.clock(slot['at'])}, with {beside}."
