"""`levare alerts`: what is not as it should be, who looks after it, and what is worth an alert."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import alert_tables, terminal, words
from levare.cli.group import Nouns
from levare.cli.kinds import JOB, MOMENT, NODE, RULE, TEAM
from levare.cli.pipelines import loaded

if TYPE_CHECKING:
    from levare.client import Alert, AlertRule

_KNOWN = ("when", "severity", "channels", "description")
_SEVERITY = click.Choice(["info", "warning", "critical"])


@click.group(cls=Nouns, default="show")
def alerts() -> None:
    """Show what is not as it should be; acknowledge and silence alerts; say what is worth one."""


@alerts.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@click.option("--rule", type=RULE, help="Only of this rule.")
@click.option("--severity", type=_SEVERITY, help="Only of this severity.")
@click.option("--job", type=JOB, help="Only about this job.")
@click.option("--node", type=NODE, help="Only about this node.")
@click.option("--team", type=TEAM, help="Only about jobs of this team.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def show(number: int | None, *, everything: bool, limit: int, as_json: bool, **wanted: str | None) -> None:
    """List the open alerts, newest first, or show one."""
    with terminal.connect() as client:
        if number is not None:
            found = client.alert(number)
            terminal.document(found) if as_json else alert_tables.show(found)
            return
        found = list(client.alerts(state="any" if everything else None, limit=limit, **wanted))  # pyright: ignore[reportArgumentType]
    _list(found, nothing="No alert is open; `levare alerts history` lists those that have ended.", as_json=as_json)


@alerts.command()
@click.option("--rule", type=RULE, help="Only of this rule.")
@click.option("--job", type=JOB, help="Only about this job.")
@click.option("--node", type=NODE, help="Only about this node.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def history(rule: str | None, job: str | None, node: str | None, *, limit: int, as_json: bool) -> None:
    """List all alerts, newest first, also those that have ended."""
    with terminal.connect() as client:
        found = list(client.alerts(state="any", rule=rule, job=job, node=node, limit=limit))
    _list(found, nothing="There has been no such alert.", as_json=as_json)


@alerts.command()
@click.argument("numbers", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--note", default="", help="For people.")
@terminal.json_option
def ack(numbers: tuple[int, ...], *, note: str, as_json: bool) -> None:
    """Say that you look after these alerts; they stay open until it is well again."""
    with terminal.connect() as client:
        found = [client.acknowledge_alert(number, note=note) for number in numbers]
    if as_json:
        terminal.document({"items": found})
    else:
        for alert in found:
            click.echo(f"{alert['number']} is looked after by {alert['acknowledged_by']}")


@alerts.command()
@click.option("--rule", type=RULE, help="Alerts of this rule.")
@click.option("--job", type=JOB, help="Alerts about this job.")
@click.option("--team", type=TEAM, help="Alerts about jobs of this team.")
@click.option("--node", type=NODE, help="Alerts about this node, or what runs there.")
@click.option("--until", type=MOMENT, required=True, help="When it ends: a time, or +2h from now.")
@click.option("--reason", required=True, help="Why, for people.")
@terminal.json_option
def silence(until: datetime, reason: str, *, as_json: bool, **said: str | None) -> None:
    """Have nobody told of some alerts for a time; they are recorded all the same."""
    with terminal.connect() as client:
        found = client.add_silence(ends_at=until, reason=reason, **said)  # pyright: ignore[reportArgumentType]
    if as_json:
        terminal.document(found)
    else:
        click.echo(f"{found['number']} silences {alert_tables.about(found)} until {words.clock(found['ends_at'])}")


@alerts.command()
@click.option("--end", "number", type=click.IntRange(min=1), help="End the silence of this number now.")
@terminal.json_option
def silences(number: int | None, *, as_json: bool) -> None:
    """List the silences, or end one."""
    with terminal.connect() as client:
        found = [client.remove_silence(number)] if number else client.silences()
    if as_json:
        terminal.document({"items": found})
    elif number:
        click.echo(f"{number} has ended")
    elif not found:
        terminal.note("Nothing is silenced; `levare alerts silence --rule NAME --until +2h --reason ...` does it.")
    else:
        heads = ("number>", "silences", "until", "by", "reason")
        rows = [
            [
                str(each["number"]),
                alert_tables.about(each),
                words.clock(each["ends_at"]),
                each["created_by"],
                each["reason"],
            ]
            for each in found
        ]
        terminal.show(terminal.table(heads, rows, flexible=("silences", "reason")))


@alerts.command()
@click.argument("rule", type=RULE, required=False)
@terminal.json_option
def rules(rule: str | None, *, as_json: bool) -> None:
    """List what is worth an alert, or show one rule."""
    with terminal.connect() as client:
        found = [client.alert_rule(rule)] if rule else client.alert_rules()
    if as_json:
        terminal.document(found[0] if rule else {"items": found})
    elif rule:
        alert_tables.show_rule(found[0])
    else:
        heads = ("rule", "severity", "looks for", "state", "declared", "what")
        terminal.show(
            terminal.table(heads, [alert_tables.rule_row(each) for each in found], flexible=("looks for", "what"))
        )


@alerts.command("set")
@click.argument("rule", type=RULE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say whether it would be taken.")
@terminal.json_option
def set_(rule: str, file: Path, *, dry_run: bool, as_json: bool) -> None:
    """
    Declare a rule by a YAML or JSON file, also one in place of a default.

    It has `when` with one kind, `severity`, `channels` and `description`; docs/monitoring.md has an example of each.
    """
    with terminal.connect() as client:
        found = client.set_alert_rule(rule, read(file), dry_run=dry_run)
    _tell(found, f"{'would be taken' if dry_run else 'is set'}: {alert_tables.looks_for(found)}", as_json=as_json)


@alerts.command()
@click.argument("rule", type=RULE)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@terminal.json_option
def remove(rule: str, *, dry_run: bool, as_json: bool) -> None:
    """Remove what was declared; a default of this name is then in force again."""
    with terminal.connect() as client:
        found = client.remove_alert_rule(rule, dry_run=dry_run)
    _tell(found, "would be removed" if dry_run else "is removed", as_json=as_json)


@alerts.command()
@click.argument("rule", type=RULE)
@click.option("--reason", default="", help="For people.")
@terminal.json_option
def pause(rule: str, *, reason: str, as_json: bool) -> None:
    """Switch a rule off, a default too; its open alerts end."""
    with terminal.connect() as client:
        found = client.pause_alert_rule(rule, reason=reason)
    _tell(found, f"is {alert_tables.state(found)}", as_json=as_json)


@alerts.command()
@click.argument("rule", type=RULE)
@terminal.json_option
def resume(rule: str, *, as_json: bool) -> None:
    """Switch a rule on again."""
    with terminal.connect() as client:
        found = client.resume_alert_rule(rule)
    _tell(found, "is in force", as_json=as_json)


@alerts.command()
@click.argument("rule", type=RULE)
@click.option("--since", default="30d", help="How far back, such as 12h or 30d; 30d by default.")
@terminal.json_option
def test(rule: str, *, since: str, as_json: bool) -> None:
    """Say what a rule would have done with what is recorded, and which of it preceded a failure."""
    with terminal.connect() as client:
        found = client.try_alert_rule(rule, since=since)
    if as_json:
        terminal.document(found)
    else:
        alert_tables.back_test(found)


def read(file: Path) -> dict[str, Any]:
    """The rule that a file declares."""
    if not file.is_file():
        raise click.UsageError(f"There is no file {str(file)!r}.")
    found = loaded(file)
    if not isinstance(found, dict) or not isinstance(found.get("when"), dict):
        raise click.ClickException(f"{file} does not say `when`; docs/monitoring.md shows how.")
    unknown = sorted(str(name) for name in found if name not in _KNOWN)
    if unknown:
        raise click.ClickException(f"{file} has {', '.join(unknown)}; a rule has {', '.join(_KNOWN)}.")
    return found


def _list(found: "list[Alert]", *, nothing: str, as_json: bool) -> None:
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note(nothing)
    else:
        heads = ("number>", "severity", "rule", "since", "lasted>", "state", "message")
        terminal.show(terminal.table(heads, [alert_tables.row(each) for each in found], flexible=("message",)))


def _tell(rule: "AlertRule", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(rule)
    else:
        click.echo(f"{rule['name']} {text}")
