"""`levare schedules`: what runs by itself and when, what became of it, and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import Nouns
from levare.cli.groups import Parameter
from levare.cli.kinds import MOMENT, SCHEDULE
from levare.cli.paragraphs import wrapped
from levare.cli.schedules_load import calendar, lint
from levare.cli.schedules_set import set_
from levare.cli.submit import as_mapping
from levare.cli.timetable import fire_table, last_of, success, timing_of, when_of, work_of
from levare.model import SUCCEEDED

if TYPE_CHECKING:
    from levare.client import Due, Revision, Schedule, ScheduleRun

_FIRES, _NEXT = 5, 3
_PARAMETER = "A parameter of this run; repeatable."


@click.group(cls=Nouns, default="show")
def schedules() -> None:
    """List schedules with their last and next times, or show one; set, run and explain them."""


@schedules.command()
@click.argument("schedule", type=SCHEDULE, required=False)
@terminal.json_option
def show(schedule: str | None, *, as_json: bool) -> None:
    """List the schedules, or show one."""
    if schedule:
        _show_one(schedule, as_json=as_json)
        return
    with terminal.connect() as client:
        found = list(client.schedules())
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note("There is no schedule yet; `levare schedules set NAME --cron '0 3 * * *' -- COMMAND` makes one.")
    else:
        heads = ("schedule", "when", "state", "last", "became", "next", "success>")
        terminal.show(terminal.table(heads, [_row(each) for each in found], flexible=("schedule", "when")))


def _row(found: "Schedule") -> Sequence[Any]:
    due_at, became = last_of(found)
    return (
        found["name"],
        when_of(found),
        terminal.state(found["state"]),
        due_at,
        became,
        words.clock(found["fires_at"]),
        success(found),
    )


def _show_one(name: str, *, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.schedule(name)
        fires = list(client.schedule_fires(name, limit=_FIRES))
        following = client.next_times(name, count=_NEXT)["items"]
    if as_json:
        terminal.document({**found, "fires": fires, "next": following})
        return
    parts = [terminal.facts(_facts(found))]
    parts += [terminal.title("next"), _next_table(following)] if following else []
    parts += [terminal.title("last"), fire_table(fires)] if fires else []
    terminal.show(*parts)


def _facts(found: "Schedule") -> list[tuple[str, Any]]:
    definition = found["definition"]
    since = found["paused_at"] and f"{words.clock(found['paused_at'])} by {found['paused_by']}"
    opened = [job for run in found["open_runs"] for job in run["jobs"]]
    return [
        ("schedule", found["name"]),
        ("for", definition.get("description")),
        ("state", terminal.state(found["state"])),
        ("paused since", since and ": ".join(filter(None, (since, found["paused_reason"])))),
        *timing_of(found),
        ("runs", work_of(definition)),
        ("success", success(found) if found["runs_counted"] else None),
        ("open", words.listed(opened) if opened else None),
        ("declared", f"{words.clock(found['changed_at'])} by {found['owner']}, revision {found['revision']}"),
    ]


schedules.add_command(set_)
schedules.add_command(lint)
schedules.add_command(calendar)


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def remove(schedule: str, *, dry_run: bool, as_json: bool) -> None:
    """Forget a schedule; what it has run stays."""
    with terminal.connect() as client:
        found = client.remove_schedule(schedule, dry_run=dry_run)
    if as_json:
        terminal.document(found)
    else:
        click.echo(f"{found['name']} {'would be' if dry_run else 'is'} removed; its jobs and its history stay")


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("--reason", default="", help="Why; each time that is skipped says so.")
@terminal.json_option
def pause(schedule: str, reason: str, *, as_json: bool) -> None:
    """Skip whatever is due from now on."""
    with terminal.connect() as client:
        found = client.pause_schedule(schedule, reason=reason)
    if as_json:
        terminal.document(found)
    else:
        why = f": {found['paused_reason']}" if found["paused_reason"] else ""
        click.echo(words.plain(f"{found['name']} is paused by {found['paused_by']}{why}"))


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@terminal.json_option
def resume(schedule: str, *, as_json: bool) -> None:
    """Run again what is due from now on."""
    with terminal.connect() as client:
        found = client.resume_schedule(schedule)
    if as_json:
        terminal.document(found)
    else:
        following = words.clock(found["fires_at"]) if found["fires_at"] else "never"
        click.echo(f"{found['name']} is {found['state']}; it runs next: {following}")


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("--set", "parameters", type=Parameter(), multiple=True, callback=as_mapping, help=_PARAMETER)
@click.option("--dry-run", is_flag=True, help="Say what would be, and submit nothing.")
@click.option("--follow", is_flag=True, help="Stay: print the logs, exit with the code of what failed first.")
@terminal.json_option
def run(schedule: str, parameters: Mapping[str, Any], *, dry_run: bool, follow: bool, as_json: bool) -> int:
    """Run it now and print the ids of its jobs. Its due times stay as they are."""
    with terminal.connect() as client:
        made = client.run_schedule(schedule, parameters=parameters, dry_run=dry_run)
        if not follow or dry_run:
            _tell_run(made, dry_run=dry_run, as_json=as_json)
            return 0
        from levare.cli.logs import follow_to_end

        codes = [follow_to_end(client, job["id"], as_json=as_json) for job in made["jobs"]]
        if made["pipeline"] and client.pipeline(made["pipeline"])["state"] == SUCCEEDED:
            return 0  # a step that was skipped is no failure
    return next((code for code in codes if code), 0)


def _tell_run(made: "ScheduleRun", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        terminal.document(made)
        return
    for job in made["jobs"]:
        click.echo(f"it would run {job['name']}" if dry_run else job["id"])


@schedules.command("next")
@click.argument("schedule", type=SCHEDULE, required=False)
@click.option("-n", "--count", metavar="N", type=click.IntRange(1, 1000), default=10, help="How many; 10 by default.")
@terminal.json_option
def next_(schedule: str | None, count: int, *, as_json: bool) -> None:
    """Tell the next due times of one, or what is next of all."""
    if schedule is None:
        _next_of_all(count, as_json=as_json)
        return
    with terminal.connect() as client:
        found = client.next_times(schedule, count=count)
    if as_json:
        terminal.document(found)
    elif not found["items"]:
        terminal.note(f"Nothing of {schedule} is due any more.")
    else:
        terminal.show(_next_table(found["items"]))
        if found["state"] == "paused":
            terminal.note(f"{schedule} is paused: what is due is skipped.")


def _next_of_all(count: int, *, as_json: bool) -> None:
    with terminal.connect() as client:
        active = [each for each in client.schedules() if each["fires_at"] and each["state"] == "active"]
    found = sorted(active, key=lambda each: each["fires_at"] or "")[:count]
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note("Nothing is due any more.")
    else:
        rows = [(each["name"], words.clock(each["fires_at"]), when_of(each)) for each in found]
        terminal.show(terminal.table(("schedule", "next", "when"), rows, flexible=("schedule", "when")))


def _next_table(found: Sequence["Due"]) -> Any:
    rows = [(_local(each["local"]), words.clock(each["due_at"]), words.clock(each["fires_at"])) for each in found]
    return terminal.table(("due, in its zone", "due, here", "starts"), rows)


def _local(text: str) -> str:
    at = datetime.fromisoformat(text)
    return f"{at:%a %Y-%m-%d %H:%M:%S %z}"


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("--outcome", type=click.Choice(["run", "skipped"]), help="Only these.")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1), default=20, help="At most so many; 20 by default.")
@terminal.json_option
def fires(schedule: str, outcome: str | None, limit: int, *, as_json: bool) -> None:
    """List what became of its due times, newest first."""
    with terminal.connect() as client:
        found = list(client.schedule_fires(schedule, outcome=outcome, limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note(f"No due time of {schedule} has been {'decided' if outcome is None else outcome} yet.")
    else:
        terminal.show(fire_table(found))


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("--at", type=MOMENT, required=True, help="The time to explain: 2030-12-24T20:00; its minute counts.")
@terminal.json_option
def why(schedule: str, at: datetime, *, as_json: bool) -> None:
    """Say why it ran at a time, or why it did not."""
    with terminal.connect() as client:
        told = client.why_fire(schedule, at)
    if as_json:
        terminal.document(told)
        return
    for line in wrapped(words.plain(told["message"])):
        click.echo(line)
    if told["verdict"] in ("not-due", "skipped"):
        times = {"before": told["before"], "after": told["after"]}
        near = [f"{name} it at {words.clock(at)}" for name, at in times.items() if at]
        click.echo(f"It is due {' and '.join(near)}." if near else "It is never due.")


@schedules.command()
@click.argument("schedule", type=SCHEDULE)
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1, 500), default=20, help="At most so many.")
@terminal.json_option
def revisions(schedule: str, limit: int, *, as_json: bool) -> None:
    """List how it was declared, newest first."""
    with terminal.connect() as client:
        found = client.schedule_revisions(schedule, limit=limit)
    if as_json:
        terminal.document({"items": found})
        return
    rows = [(str(each["number"]), words.clock(each["at"]), each["by"], _changed(each)) for each in found]
    terminal.show(terminal.table(("revision>", "at", "by", "changed"), rows, flexible=("changed",)))


def _changed(revision: "Revision") -> str:
    before, after = revision["before"], revision["after"]
    if before is None or after is None:
        return "declared" if after else "removed"
    return words.listed([name for name in {**before, **after} if before.get(name) != after.get(name)])
