"""`levare machines`: on which pools have their workers."""

from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import Nouns
from levare.cli.kinds import MACHINE

if TYPE_CHECKING:
    from levare.client import Machine


@click.group(cls=Nouns, default="show")
def machines() -> None:
    """List the machines that joined by `levare node join`; drain and forget them."""


@machines.command()
@click.argument("machine", type=MACHINE, required=False)
@terminal.json_option
def show(machine: str | None, *, as_json: bool) -> None:
    """List the machines, or show one."""
    with terminal.connect() as client:
        found = [client.machine(machine)] if machine else client.machines()
    if as_json:
        terminal.document(found[0] if machine else {"items": found})
    elif not found:
        terminal.note("No machine has joined; `levare nodes invite` says by which command one does.")
    else:
        heads = ("machine", "state", "CPUs>", "memory>", "GPUs>", "workers", "labels", "seen>")
        rows = [_row(each) for each in found]
        terminal.show(terminal.table(heads, rows, flexible=("machine", "workers", "labels")))


@machines.command()
@click.argument("machine", type=MACHINE)
@terminal.json_option
def drain(machine: str, *, as_json: bool) -> None:
    """Let all workers of a machine go, each when nothing runs on it any more; pools may start others elsewhere."""
    _set_state(machine, "draining", as_json=as_json)


@machines.command()
@click.argument("machine", type=MACHINE)
@terminal.json_option
def resume(machine: str, *, as_json: bool) -> None:
    """Let pools have workers again on a machine that was drained."""
    _set_state(machine, "ready", as_json=as_json)


@machines.command()
@click.argument("machine", type=MACHINE)
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def forget(machine: str, *, dry_run: bool, as_json: bool) -> None:
    """Forget a machine that has no workers, or is away: what it was given opens nothing any more."""
    with terminal.connect() as client:
        found = client.forget_machine(machine, dry_run=dry_run)
    _tell(found, f"{'would be' if dry_run else 'is'} forgotten", as_json=as_json)


def _set_state(name: str, state: str, *, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.set_machine_state(name, state)
    workers = f"{len(found['workers'])} {'worker' if len(found['workers']) == 1 else 'workers'}"
    meaning = "each goes when nothing runs on it any more" if state == "draining" else "pools may have more there"
    _tell(found, f"is {found['state']} ({workers}; {meaning})", as_json=as_json)


def _tell(machine: "Machine", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(machine)
    else:
        click.echo(f"{machine['name']} {text}")


def _row(machine: "Machine") -> list[Any]:
    return [
        machine["name"],
        terminal.state(machine["state"]),
        str(machine["cpus"]),
        words.size(machine["memory_mib"]),
        str(len(machine["gpus"])),
        words.listed(machine["workers"]),
        words.labels(machine["labels"]),
        words.since(machine["seen_at"]) if machine["seen_at"] else "never",
    ]
