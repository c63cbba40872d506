"""`levare pools`: how many workers run on which machines, and why so many."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.files import loaded
from levare.cli.group import Nouns
from levare.cli.kinds import POOL

if TYPE_CHECKING:
    from levare.client import Client, Pool

_STATES = ("starting", "ready", "draining", "stopping", "lost")
_KNOWN = ("workers", "select", "offers", "labels", "price", "zone", "calendar", "description")


@click.group(cls=Nouns, default="show")
def pools() -> None:
    """List the pools with what they want, what they have and why; set, scale and remove them."""


@pools.command()
@click.argument("pool", type=POOL, required=False)
@terminal.json_option
def show(pool: str | None, *, as_json: bool) -> None:
    """List the pools, or show one with its workers."""
    with terminal.connect() as client:
        found = [client.pool(pool)] if pool else client.pools()
    if as_json:
        terminal.document(found[0] if pool else {"items": found})
    elif not found:
        terminal.note("There is no pool; `levare pools set NAME FILE` makes one, docs/pools.md shows how.")
    else:
        heads = ("pool", "wants>", "has>", *(f"{state}>" for state in _STATES), "why")
        terminal.show(terminal.table(heads, [_row(each) for each in found], flexible=("pool", "why")))
        if pool and found[0]["workers"]:
            terminal.show(terminal.title("workers"), _workers(found[0]))


@pools.command("set")
@click.argument("pool", type=POOL)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say whether it would be taken.")
@terminal.json_option
def set_(pool: str, file: Path, *, dry_run: bool, as_json: bool) -> None:
    """Declare a pool by a YAML or JSON file: `workers`, and which machines, what each offers, when."""
    with terminal.connect() as client:
        found = client.set_pool(pool, _read(file), dry_run=dry_run)
    _tell(found, f"{'would have' if dry_run else 'is set: it has'} {_asked(found)}", as_json=as_json)


@pools.command()
@click.argument("pool", type=POOL)
@click.argument("workers", type=click.IntRange(min=0))
@click.option("--max", "most", type=click.IntRange(min=1), help="Follow the queue, from WORKERS up to so many.")
@click.option("--queue-per-worker", type=click.IntRange(min=1), help="One worker for each so many jobs that wait.")
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@terminal.json_option
def scale(pool: str, workers: int, *, most: int | None, dry_run: bool, as_json: bool, **extra: Any) -> None:
    """Have a pool have so many workers, or with --max as many as the queue needs; all else of it stays."""
    if most is None and extra["queue_per_worker"]:
        raise click.UsageError("--queue-per-worker goes with --max.")

    def scaled(client: "Client") -> "Pool":
        before = client.pool(pool)
        wanted = _scaled(before["definition"]["workers"], workers, most, extra["queue_per_worker"])
        definition = {**before["definition"], "workers": wanted}
        return client.set_pool(pool, definition, dry_run=dry_run, if_match=before["revision"])

    with terminal.connect() as client:
        found = terminal.on_the_newest(lambda: scaled(client))
    _tell(found, f"{'would have' if dry_run else 'has'} {_asked(found)}", as_json=as_json)


@pools.command()
@click.argument("pool", type=POOL)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@terminal.json_option
def remove(pool: str, *, dry_run: bool, as_json: bool) -> None:
    """Remove a pool; its workers take nothing new, and each ends when nothing runs on it any more."""
    with terminal.connect() as client:
        found = client.remove_pool(pool, dry_run=dry_run)
    count = len(found["workers"])
    workers = f"{count} {'worker drains' if count == 1 else 'workers drain'}"
    _tell(found, f"{'would be' if dry_run else 'is'} removed; {workers}", as_json=as_json)


def _scaled(before: Any, workers: int, most: int | None, queue_per_worker: int | None) -> Any:
    if most is None:
        return workers
    known = before if isinstance(before, dict) else {}
    said = {"min": workers, "max": most, "queue_per_worker": queue_per_worker}
    return {**known, **{name: value for name, value in said.items() if value is not None}}


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise click.UsageError(f"There is no file {str(file)!r}.")
    found = loaded(file)
    if not isinstance(found, dict):
        raise click.ClickException(f"{file} is no pool; docs/pools.md shows how.")
    unknown = sorted(str(name) for name in found if name not in _KNOWN)
    if unknown:
        raise click.ClickException(f"{file} has {', '.join(unknown)}; a pool has {', '.join(_KNOWN)}.")
    return found


def _tell(pool: "Pool", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(pool)
    else:
        click.echo(f"{pool['name']} {text}")


def _asked(pool: "Pool") -> str:
    workers = pool["definition"]["workers"]
    if isinstance(workers, int):
        return f"{workers} {'worker' if workers == 1 else 'workers'}"
    per = workers["queue_per_worker"]
    jobs = "job that waits" if per == 1 else f"{per} jobs that wait"
    return f"{workers['min']} to {workers['max']} workers, one for each {jobs}"


def _row(pool: "Pool") -> list[Any]:
    counts = Counter(worker["state"] for worker in pool["workers"])
    have = len(pool["workers"])
    return [pool["name"], str(pool["wanted"]), str(have), *(str(counts[state]) for state in _STATES), pool["why"]]


def _workers(pool: "Pool") -> Any:
    rows = [
        [
            worker["name"],
            worker["machine"],
            terminal.state(worker["state"]),
            str(worker["attempts"]),
            words.since(worker["since"]),
            worker["note"] or worker["reason"],
        ]
        for worker in pool["workers"]
    ]
    return terminal.table(("worker", "machine", "state", "jobs>", "since>", "why"), rows, flexible=("worker", "why"))
