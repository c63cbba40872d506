"""`levare plan`, `apply` and `rollback`: what is declared, changed by a plan that was seen before."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from levare import checkout
from levare.cli import manifests, plan_text, terminal
from levare.cli.kinds import DURATION
from levare.errors import InvalidRequest, Locked

if TYPE_CHECKING:
    from levare.client import Client, Object, Plan

CHANGES = 2
_LOCK_SECONDS = 300
_PAUSE_SECONDS = 1.0
_IN_FLIGHT = click.Choice(("keep", "finish", "requeue"))

in_flight_option = click.option(
    "--in-flight",
    type=_IN_FLIGHT,
    default="keep",
    show_default=True,
    help="What becomes of jobs that it touches: go on; run to their end, while what waits of what is removed is "
    "cancelled; or stop, and wait again.",
)
_out = click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `levare apply FILE`."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
_reason = click.option("--reason", default="", help="Why, for the history.")
_wait = click.option("--wait", type=DURATION, help="How long to wait for the lock, such as 5m.")
_break = click.option("--break-lock", is_flag=True, help="Take the lock away from whoever has it.")


@click.command()
@manifests.options
@in_flight_option
@click.option("--no-prune", is_flag=True, help="Leave what the manifest does not name.")
@_out
@terminal.json_option
def plan(
    paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]], *, as_json: bool, **extra: Any
) -> int:
    """
    Say what a manifest, levare.yaml by default, would change, and what that does to the queue and the calendar.

    \b
    levare plan
    levare plan fleet/ --env production -o release.plan

    Nothing is changed. What the manifest does not name any more is removed, and listed with a minus. It exits with 0 if
    nothing differs, with 2 if something does, and with 1 if something is wrong.
    """
    with terminal.connect() as client:
        found = _planned(client, paths, environment, variables, extra["in_flight"], prune=not extra["no_prune"])
    return _told(found, extra["out"], as_json=as_json)


@click.command()
@manifests.options
@in_flight_option
@click.option("--no-prune", is_flag=True, help="Leave what the manifest does not name.")
@_yes
@_reason
@_wait
@_break
@terminal.json_option
def apply(
    paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]], *, as_json: bool, **extra: Any
) -> int:
    """
    Declare what a manifest says, or exactly what a saved plan says.

    \b
    levare apply release.plan --yes
    levare apply fleet/ --env production

    A saved plan is applied as it is, or refused if anything was declared since. Of a manifest the plan is shown first,
    and a terminal is asked. All of it is one revision: it happens whole, or not at all.
    """
    saved = _saved(paths)
    is_long = saved is None or not extra["yes"]
    if saved and (environment or variables or extra["no_prune"] or extra["in_flight"] != "keep"):
        raise click.UsageError("A saved plan is applied as it is: give no options that would change it.")
    with terminal.connect() as client, _locked(client, extra) as lock:
        found = saved or _planned(
            client, paths, environment, variables, extra["in_flight"], prune=not extra["no_prune"]
        )
        if saved:
            client.apply_plan(saved, lock=lock, dry_run=True)
        return _apply(client, found, lock, extra, as_json=as_json, is_long=is_long)


@click.command()
@click.argument("number", type=click.IntRange(0), metavar="N")
@in_flight_option
@_out
@_yes
@_reason
@_wait
@_break
@terminal.json_option
def rollback(number: int, *, as_json: bool, **extra: Any) -> int:
    """
    Go back to what was declared at revision N, by a plan like any other and as a new revision.

    \b
    levare rollback 11
    levare rollback 11 -o back.plan    only saves the plan, and exits with 2
    """
    if extra["out"]:
        with terminal.connect() as client:
            return _told(client.plan_rollback(number, in_flight=extra["in_flight"]), extra["out"], as_json=as_json)
    with terminal.connect() as client, _locked(client, extra) as lock:
        found = client.plan_rollback(number, in_flight=extra["in_flight"])
        return _apply(client, found, lock, extra, as_json=as_json)


def objects_of(paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]]) -> list["Object"]:
    """What the files declare, as the API takes it."""
    found = manifests.read(paths, environment, variables)
    return [{"kind": each.kind, "name": each.name, "document": each.document} for each in found.objects]


def _planned(
    client: "Client",
    paths: Sequence[Path],
    environment: str | None,
    variables: Sequence[tuple[str, str]],
    in_flight: str,
    *,
    prune: bool,
) -> "Plan":
    """The plan, with the commit of the checkout that the manifest is in."""
    objects = objects_of(paths, environment, variables)
    made = client.plan(objects, in_flight=in_flight, prune=prune)
    first = manifests.paths_or_usual(paths)[0].absolute()
    code = checkout.code_of(first if first.is_dir() else first.parent)
    made["code"] = code and {"commit": code["commit"], "dirty": code["dirty"]}
    return made


def _told(found: "Plan", out: Path | None, *, as_json: bool) -> int:
    if out:
        _save(found, out)
    if as_json:
        terminal.document(found)
    else:
        plan_text.tell(found)
        if out and found["changes"]:
            click.echo(f"Saved: `levare apply {out}` makes exactly these changes, or none.")
    return CHANGES if found["changes"] else 0


def _save(found: "Plan", out: Path) -> None:
    """For its owner alone: it holds all that is declared."""
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


def _saved(paths: Sequence[Path]) -> "Plan | None":
    """The plan, if that is what the file is: JSON, where a manifest is YAML."""
    if len(paths) != 1 or not paths[0].is_file():
        return None
    with paths[0].open("rb") as file:
        if file.read(1) != b"{":
            return None
    try:
        found = json.loads(paths[0].read_bytes())
        is_plan = {"base", "digest", "changes", "counts"} <= found.keys()
    except ValueError as error:
        raise InvalidRequest(f"{paths[0]} is no plan: {error}.", "Make one with `levare plan -o FILE`.") from None
    if not is_plan:
        raise InvalidRequest(f"{paths[0]} is JSON, and no plan.", "Make one with `levare plan -o FILE`.")
    return found


def _apply(
    client: "Client", found: "Plan", lock: str, extra: dict[str, Any], *, as_json: bool, is_long: bool = True
) -> int:
    """Show it, at length or in a line, ask, and make it so."""
    if not as_json and is_long:
        plan_text.tell(found)
    elif not as_json:
        click.echo(plan_text.summary(found))
    if found["changes"] and not extra["yes"] and not click.confirm("Apply it?", default=False, err=True):
        click.echo("Nothing was changed.", err=True)
        return 1
    code = found.get("code") or {}
    made = client.apply_plan(
        found, reason=extra["reason"], commit=code.get("commit"), dirty=code.get("dirty"), lock=lock
    )
    if as_json:
        terminal.document(made)
    elif found["changes"]:
        counts = f"{made['created']} created, {made['updated']} changed, {made['removed']} removed"
        click.echo(f"Applied as revision {made['revision']}: {counts}.")
    return 0


@contextmanager
def _locked(client: "Client", extra: dict[str, Any]) -> Iterator[str]:
    """Nobody else applies a plan between what is shown and what is answered."""
    if not extra["yes"] and not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask: look at the plan first, and then give --yes.")
    if extra["break_lock"]:
        client.release_lock()
    lock = uuid4().hex
    _take(client, lock, extra)
    try:
        yield lock
    finally:
        if client.lock()["id"] == lock:
            client.release_lock()


def _take(client: "Client", lock: str, extra: dict[str, Any]) -> None:
    ends = time.monotonic() + (extra["wait"] or 0)
    while True:
        try:
            client.take_lock(lock, seconds=_LOCK_SECONDS, reason=extra["reason"])
        except Locked:
            if time.monotonic() >= ends:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
