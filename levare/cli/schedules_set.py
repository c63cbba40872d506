"""`levare schedules set`: a schedule from a file, or from options and a command."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from levare.cli import terminal, words
from levare.cli.files import definition_in, loaded, text_of
from levare.cli.groups import Parameter
from levare.cli.kinds import CLOCK, DURATION, SCHEDULE
from levare.cli.pipelines import completed
from levare.cli.schedules_load import tell_findings
from levare.cli.sections import Sectioned
from levare.cli.submit import SECTIONS, as_mapping, submit, wish_of

if TYPE_CHECKING:
    from levare.client import Schedule

_TIMES = ("cron", "every_seconds", "at", "zone", "starts", "ends", "jitter_seconds", "days", "windows", "excepted")
_POLICIES = ("misfire", "max_lateness_seconds", "overlap", "parameters", "description")
_NOT_HERE = ("start_after", "deadline", "needs", "dry_run", "follow", "as_json", "quietly", "command")
"""What a submit knows and a schedule does not, or says otherwise."""
_PARAMETER = "A parameter for its jobs; repeatable."
_DEFINITIONS = (".yaml", ".yml", ".json")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_JOB_OPTIONS = [param for param in submit.params if param.name not in _NOT_HERE]
_JOB_NAMES = [param.name or "" for param in _JOB_OPTIONS]
_SECTIONS = {
    "When it is due": (*_TIMES, "holidays"),
    "What becomes of it": _POLICIES,
    **{title: [name for name in names if name not in _NOT_HERE] for title, names in SECTIONS.items()},
}


@click.command(
    "set",
    cls=Sectioned,
    sections=_SECTIONS,
    params=[*_JOB_OPTIONS],
)
@click.option("--cron", metavar="TEXT", help="Minute, hour, day, month, day of week: '0 3 * * *', or @daily.")
@click.option("--every", "every_seconds", type=DURATION, help="So often: 15m, 6h, 1d.")
@click.option("--at", type=CLOCK, help="Once: 2030-12-24T20:00 by the clocks of --zone, else of this machine; or +2h.")
@click.option("--zone", metavar="NAME", help="The time zone whose clocks count, such as Europe/Berlin; UTC by default.")
@click.option("--starts", type=CLOCK, help="Nothing is due before; an interval counts from here.")
@click.option("--ends", type=CLOCK, help="Nothing is due from then on.")
@click.option("--jitter", "jitter_seconds", type=DURATION, help="Start up to so much later, each time another.")
@click.option("--days", metavar="DAYS", help="Only on these days: MON-FRI, or SAT,SUN.")
@click.option("--window", "windows", metavar="HH:MM-HH:MM", multiple=True, help="Only in these hours; repeatable.")
@click.option("--except", "excepted", metavar="DATE", multiple=True, help="Not on this date; repeatable.")
@click.option("--holidays", metavar="FILE", type=_FILE, help="Not on the dates of this file, one a line.")
@click.option("--misfire", type=click.Choice(["skip", "latest", "all"]), help="What is made up for after a downtime.")
@click.option("--max-lateness", "max_lateness_seconds", type=DURATION, help="What is later than this never runs.")
@click.option("--overlap", type=click.Choice(["allow", "forbid", "replace", "queue"]), help="If one still runs.")
@click.option("--set", "parameters", type=Parameter(), multiple=True, callback=as_mapping, help=_PARAMETER)
@click.option("--description", metavar="TEXT", help="For people.")
@click.option("--dry-run", is_flag=True, help="Say what would be and what lint finds, and change nothing.")
@terminal.json_option
@click.argument("schedule", type=SCHEDULE)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="FILE | -- COMMAND...")
def set_(schedule: str, command: Sequence[str], *, dry_run: bool, as_json: bool, **options: Any) -> None:
    """
    Declare it, or declare it anew, and say what lint finds.

    \b
    levare schedules set nightly --cron "0 3 * * *" --zone Europe/Berlin --gpus 1 -- python train.py
    levare schedules set nightly nightly.yaml

    With --cron, --every or --at the rest is the command to run, and without them it is a FILE (YAML or JSON) that
    has the whole definition. What is not said of a job is as in `levare submit`, but its name is the schedule's.
    """
    job_options = {name: options.pop(name) for name in _JOB_NAMES}
    job_options["name"] = job_options["name"] or schedule
    definition = _of_options(options, job_options, command) if _is_timed(options) else _of_file(command)
    with terminal.connect() as client:
        answer = client.set_schedule(schedule, definition, dry_run=dry_run)
    if as_json:
        terminal.document(answer)
        return
    click.echo(_said(answer["schedule"], dry_run=dry_run))
    tell_findings(answer["findings"])


def _is_timed(options: Mapping[str, Any]) -> bool:
    return any(options[name] is not None for name in ("cron", "every_seconds", "at"))


def _of_options(options: dict[str, Any], job_options: dict[str, Any], command: Sequence[str]) -> Any:
    if not command:
        raise click.UsageError("There is no command to run; it comes last: -- python train.py")
    if len(command) == 1 and Path(command[0]).suffix in _DEFINITIONS:
        raise click.UsageError(f"{command[0]} has times of its own; leave out --cron, --every and --at.")
    calendar = {
        "days": options.pop("days"),
        "windows": list(options.pop("windows")),
        "except": list(options.pop("excepted")),
        "holidays": _dates_in(options.pop("holidays")),
    }
    said = {"calendar": _given(calendar, None), "parameters": options.pop("parameters"), **options}
    return {**_given(said, options["zone"]), "job": {"command": list(command), **wish_of(job_options)}}


def _given(values: Mapping[str, Any], zone: str | None) -> dict[str, Any]:
    """What was said, with times as texts, by the clocks of the zone that was said."""
    texts = {name: _as_text(value, zone) if isinstance(value, datetime) else value for name, value in values.items()}
    return {name: value for name, value in texts.items() if value not in (None, [], {})}


def _as_text(clock: datetime, zone: str | None) -> str:
    return (clock if clock.tzinfo else clock.replace(tzinfo=_zone(zone))).astimezone(UTC).isoformat()


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise click.UsageError(
            f"This machine knows no time zone {name!r}: say its name as in Europe/Berlin, or times with their offset, "
            "as in 2030-12-24T20:00+01:00."
        ) from None


def _dates_in(file: Path | None) -> list[str]:
    """The dates of a file, one a line; what follows a `#` is for people."""
    lines = text_of(file).splitlines() if file else []
    return [date for line in lines if (date := line.partition("#")[0].strip())]


def _of_file(files: Sequence[str]) -> Any:
    if len(files) != 1:
        raise click.UsageError("Say when with --cron, --every or --at, or name one FILE that has the definition.")
    file = definition_in(files[0], otherwise="say when with --cron, --every or --at")
    found = loaded(file)
    if not isinstance(found, dict):
        raise click.ClickException(f"{file} has no definition of a schedule; docs/schedules.md shows one.")
    return _completed(found)


def _completed(definition: dict[str, Any]) -> dict[str, Any]:
    """Its jobs run here with this shell's PATH, where they say nothing else."""
    job, pipeline = definition.get("job"), definition.get("pipeline")
    if isinstance(job, dict):
        return {**definition, "job": completed(job)}
    steps = pipeline.get("jobs") if isinstance(pipeline, dict) else None
    if isinstance(pipeline, dict) and isinstance(steps, list):
        whole = [completed(step) if isinstance(step, dict) else step for step in steps]
        return {**definition, "pipeline": {**pipeline, "jobs": whole}}
    return definition


def _said(found: "Schedule", *, dry_run: bool) -> str:
    following = f"it runs next at {words.clock(found['fires_at'])}" if found["fires_at"] else "it never runs"
    would = "would be" if dry_run else "is"
    return f"{found['name']} {would} set; {following}"
