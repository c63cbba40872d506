"""`levare triggers`: what starts a job or a pipeline when something happens, and what became of what happened."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.files import definition_in, loaded
from levare.cli.group import Nouns
from levare.cli.kinds import DURATION, MOMENT, NODE, TRIGGER
from levare.cli.pipelines import completed

if TYPE_CHECKING:
    from levare.client import Activation, Simulation, Trigger, WhyNot

_OF_ONE_KIND = {"source": ("event", "--event"), "node": ("files", "--file"), "outcome": ("ended", "--ended")}
_KNOWN = ("when", "job", "pipeline", "parameters", "brakes", "description")


@click.group(cls=Nouns, default="show")
def triggers() -> None:
    """Start jobs when something happens, with brakes; list the triggers, and what became of what happened."""


@triggers.command()
@click.argument("trigger", type=TRIGGER, required=False)
@terminal.json_option
def show(trigger: str | None, *, as_json: bool) -> None:
    """List the triggers, or show one."""
    with terminal.connect() as client:
        found = [client.trigger(trigger)] if trigger else list(client.triggers())
    if as_json:
        terminal.document(found[0] if trigger else {"items": found})
    elif trigger:
        _show(found[0])
    elif not found:
        terminal.note("There is no trigger yet; `levare triggers set NAME FILE` makes one.")
    else:
        heads = ("trigger", "when", "starts", "state", "runs today>", "waiting>", "last run>", "problem")
        rows = [_row(each) for each in found]
        terminal.show(terminal.table(heads, rows, flexible=("when", "starts", "problem")))


@triggers.command("set")
@click.argument("trigger", type=TRIGGER)
@click.argument("rest", nargs=-1, metavar="FILE | -- COMMAND...")
@click.option("--event", metavar="TYPE", help="On an event of this type; * stands for anything.")
@click.option("--source", help="Only of this source, for --event.")
@click.option("--file", "path", metavar="PATH", help="On a file that is new or has changed; a path or a glob.")
@click.option("--node", type=NODE, help="The node that has the files; the machine of beat by default.")
@click.option("--ended", metavar="NAME", help="On the end of a job of this name.")
@click.option("--outcome", type=click.Choice(["success", "failure", "any"]), help="How it ended; success by default.")
@click.option("--in-flight", type=click.IntRange(min=1), metavar="N", help="At most so many runs at a time.")
@click.option("--per-day", type=click.IntRange(min=1), metavar="N", help="At most so many runs a day.")
@click.option("--cooldown", type=DURATION, help="From the start of a run to the next, such as 1h.")
@click.option("--quiet", type=DURATION, help="Wait until nothing has come for so long, then start one run for all.")
@click.option("--dry-run", is_flag=True, help="Only say whether it would be taken.")
@terminal.json_option
def set_(trigger: str, rest: tuple[str, ...], *, dry_run: bool, as_json: bool, **options: Any) -> None:
    """
    Declare a trigger by a YAML or JSON file, or by options and a command.

    A file has `when`, and a `job` or a `pipeline`; docs/triggers.md has examples. A job runs here with this shell's
    PATH, where the file says nothing else.
    """
    when = _when(options)
    definition = _of_options(when, rest, options) if when else _of_file(rest)
    with terminal.connect() as client:
        found = client.set_trigger(trigger, definition, dry_run=dry_run)
    _tell(found, f"would be taken: {_when_text(found)}" if dry_run else f"is set: {_when_text(found)}", as_json=as_json)


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@click.option("--reason", default="", help="For people.")
@terminal.json_option
def pause(trigger: str, *, reason: str, as_json: bool) -> None:
    """Hold whatever happens, until `resume`."""
    with terminal.connect() as client:
        found = client.pause_trigger(trigger, reason=reason)
    _tell(found, f"is {_state(found)}", as_json=as_json)


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@terminal.json_option
def resume(trigger: str, *, as_json: bool) -> None:
    """Let a trigger start runs again; what was held stays held."""
    with terminal.connect() as client:
        found = client.resume_trigger(trigger)
    _tell(found, "goes on", as_json=as_json)


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@terminal.json_option
def remove(trigger: str, *, dry_run: bool, as_json: bool) -> None:
    """Remove a trigger; its jobs and what is known of it stay."""
    with terminal.connect() as client:
        found = client.remove_trigger(trigger, dry_run=dry_run)
    _tell(found, "would be removed" if dry_run else "is removed", as_json=as_json)


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@click.option("--outcome", type=click.Choice(["run", "held", "pending"]), help="Only what this became of.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def activations(trigger: str, *, outcome: str | None, limit: int, as_json: bool) -> None:
    """List what happened to a trigger and what became of it, newest first."""
    with terminal.connect() as client:
        found = list(client.activations(trigger, outcome=outcome, limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note(f"Nothing has happened to {trigger} yet; `levare triggers why {trigger}` says more.")
    else:
        heads = ("at", "outcome", "what", "run", "reason")
        terminal.show(terminal.table(heads, [_activation(each) for each in found], flexible=("what", "reason")))


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@click.option("--at", type=MOMENT, help="The time that is asked about; now by default.")
@terminal.json_option
def why(trigger: str, *, at: datetime | None, as_json: bool) -> None:
    """Say why a trigger did, or did not, start something at a time."""
    with terminal.connect() as client:
        found = client.why_trigger(trigger, at=at)
    if as_json:
        terminal.document(found)
    else:
        _why(found)


@triggers.command()
@click.argument("trigger", type=TRIGGER)
@click.option("--since", default="30d", help="How far back, such as 12h or 30d; 30d by default.")
@terminal.json_option
def simulate(trigger: str, *, since: str, as_json: bool) -> None:
    """Say what a trigger, as it is declared now, would have done with what has happened."""
    with terminal.connect() as client:
        found = client.simulate_trigger(trigger, since=since)
    if as_json:
        terminal.document(found)
    else:
        _simulation(found)


def _when(options: dict[str, Any]) -> dict[str, Any] | None:
    """What the options say it looks for; None where a file does."""
    said = {
        "event": {"type": options["event"], "source": options["source"]},
        "files": {"path": options["path"], "node": options["node"]},
        "ended": {"name": options["ended"], "outcome": options["outcome"]},
    }
    whens = {kind: {name: value for name, value in when.items() if value is not None} for kind, when in said.items()}
    kinds = {"event": "event", "files": "path", "ended": "ended"}
    given = [kind for kind, name in kinds.items() if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError("One trigger looks for one thing: say one of --event, --file and --ended.")
    for option, (kind, of) in _OF_ONE_KIND.items():
        if options[option] is not None and kind not in given:
            raise click.UsageError(f"--{option} says more of {of}, and there is none.")
    return {given[0]: whens[given[0]]} if given else None


def _of_options(when: dict[str, Any], command: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    if not command:
        raise click.UsageError("Say what it starts: `-- COMMAND...`.")
    brakes = {
        "in_flight": options["in_flight"],
        "per_day": options["per_day"],
        "cooldown_seconds": options["cooldown"],
        "quiet_seconds": options["quiet"],
    }
    said = {name: value for name, value in brakes.items() if value is not None}
    return {"when": when, "job": completed({"command": list(command)}), **({"brakes": said} if said else {})}


def _of_file(rest: tuple[str, ...]) -> dict[str, Any]:
    if len(rest) != 1:
        raise click.UsageError("Name one FILE, or say --event, --file or --ended and a command.")
    return read(definition_in(rest[0], otherwise="say --event, --file or --ended"))


def read(file: Path) -> dict[str, Any]:
    """The trigger that a file declares; its jobs run here with this shell's PATH, where they say nothing else."""
    found = loaded(file)
    if not isinstance(found, dict) or not isinstance(found.get("when"), dict):
        raise click.ClickException(f"{file} does not say `when`; docs/triggers.md shows how.")
    unknown = sorted(str(name) for name in found if name not in _KNOWN)
    if unknown:
        raise click.ClickException(f"{file} has {', '.join(unknown)}; a trigger has {', '.join(_KNOWN)}.")
    return {name: _work(name, value) for name, value in found.items()}


def _work(name: str, value: Any) -> Any:
    if name == "job" and isinstance(value, dict):
        return completed(value)
    if name == "pipeline" and isinstance(value, dict) and isinstance(value.get("jobs"), list):
        return value | {"jobs": [completed(job) if isinstance(job, dict) else job for job in value["jobs"]]}
    return value


def _tell(trigger: "Trigger", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(trigger)
    else:
        click.echo(f"{trigger['name']} {text}")


def _show(trigger: "Trigger") -> None:
    last = trigger["last_run_at"]
    pairs = [
        ("trigger", trigger["name"]),
        ("when", _when_text(trigger)),
        ("starts", _starts(trigger)),
        ("brakes", ", ".join(f"{name} {value}" for name, value in trigger["definition"].get("brakes", {}).items())),
        ("state", _state(trigger)),
        ("runs", f"{trigger['in_flight']} in flight, {trigger['runs_today']} today, {trigger['pending']} waiting"),
        ("last run", words.clock(last) if last else "never"),
        ("problem", trigger["problem"]),
        ("declared", f"by {trigger['owner']}, {words.clock(trigger['changed_at'])}, revision {trigger['revision']}"),
    ]
    terminal.show(terminal.facts([(name, value or None) for name, value in pairs]))


def _row(trigger: "Trigger") -> list[Any]:
    last = trigger["last_run_at"]
    return [
        trigger["name"],
        _when_text(trigger),
        _starts(trigger),
        _state(trigger),
        str(trigger["runs_today"]),
        str(trigger["pending"]),
        f"{words.since(last)} ago" if last else words.NOTHING,
        trigger["problem"] or "",
    ]


def _state(trigger: "Trigger") -> str:
    if trigger["paused_at"] is None:
        return "watching"
    reason = f": {trigger['paused_reason']}" if trigger["paused_reason"] else ""
    return f"paused by {trigger['paused_by']}{reason}"


def _when_text(trigger: "Trigger") -> str:
    """`event type=dataset.* source=/lake`."""
    kind = trigger["kind"]
    when = trigger["definition"]["when"][kind]
    return " ".join([kind, *(f"{name}={_value(value)}" for name, value in when.items() if value is not None)])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _starts(trigger: "Trigger") -> str:
    definition = trigger["definition"]
    if "pipeline" in definition:
        steps = [job["step"] for job in definition["pipeline"]["jobs"]]
        return f"pipeline {' '.join(steps)}"
    return definition["job"].get("name") or " ".join(definition["job"]["command"])


def _activation(each: "Activation") -> list[Any]:
    run = each["pipeline"] or each["job"] or ""
    return [words.clock(each["at"]), each["outcome"], words.plain(each["key"]), run, words.plain(each["reason"])]


def _why(found: "WhyNot") -> None:
    click.echo(words.plain(found["message"]))
    after = found["after"]
    if after:
        click.echo(f"After that: {words.clock(after['at'])} {after['outcome']}: {words.plain(after['reason'])}")
    for event in found["not_for_it"]:
        name = words.plain(f"{event['type']} {event['id']} of {event['source']}")
        click.echo(f"  {words.clock(event['received_at'])} {name}: {words.plain(event['reason'])}")


def _simulation(found: "Simulation") -> None:
    totals = found["totals"]
    rows = [
        [
            words.clock(each["at"]),
            each["outcome"],
            str(each["run"] or ""),
            words.plain(each["key"]),
            words.plain(each["reason"]),
        ]
        for each in found["items"]
    ]
    if rows:
        heads = ("at", "outcome", "run>", "what", "reason")
        terminal.show(terminal.table(heads, rows, flexible=("what", "reason")))
    sums = f"{totals['run']} in runs, {totals['held']} held, {totals['pending']} still waiting"
    click.echo(
        f"Since {words.clock(found['since'])}: {words.counted(found['runs'], 'run')} for "
        f"{words.counted(found['occurrences'], 'occurrence')} ({sums}); "
        f"from recorded {found['source']}, a run taken to last {words.span(found['run_seconds'])}."
    )
