"""`levare history` and `export`: what was declared when and by whom, and what is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import manifests, plan_text, terminal, words

if TYPE_CHECKING:
    from levare.client import RevisionOfAll, RevisionWithChanges

_SHORT_COMMIT, _SHORT_DIGEST = 10, 12


@click.command()
@click.argument("number", type=click.IntRange(1), metavar="[N]", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@terminal.json_option
def history(number: int | None, limit: int, *, as_json: bool) -> None:
    """List the revisions of all that is declared, newest first, or show revision N with what it changed."""
    with terminal.connect() as client:
        if number:
            one = client.revision(number)
            terminal.document(one) if as_json else _show(one)
            return
        found = list(client.revisions(limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note("Nothing was ever declared.")
    else:
        heads = ("revision>", "at", "by", "origin", "new>", "changed>", "gone>", "commit", "reason")
        terminal.show(terminal.table(heads, [_row(each) for each in found], flexible=("reason",)))


@click.command()
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it into a file; to stdout by default."
)
@click.option("--revision", type=click.IntRange(1), help="As it was at this revision; as it is now by default.")
@terminal.json_option
def export(out: Path | None, revision: int | None, *, as_json: bool) -> None:
    """
    Write all that is declared as a manifest, which plans to no change here, and declares all of it elsewhere.

    \b
    levare export -o levare.yaml
    """
    with terminal.connect() as client:
        found = client.declared(revision)
    if as_json:
        terminal.document(found)
        return
    library = manifests.manifests()
    from levare.model import Declared

    text = library.write(Declared(each["kind"], each["name"], each["document"]) for each in found["objects"])
    if out:
        out.write_text(text)
        click.echo(f"{out} declares {words.counted(len(found['objects']), 'object')}, of revision {found['revision']}.")
    else:
        click.echo(text, nl=False)


def _row(each: "RevisionOfAll") -> list[Any]:
    counts = (str(each[name]) for name in ("created", "updated", "removed"))
    plain = (str(each["number"]), words.clock(each["at"]), each["by"], each["origin"])
    return [*plain, *counts, _commit(each), each["reason"]]


def _commit(each: "RevisionOfAll") -> str:
    """A plus says that the checkout held what was not committed."""
    return f"{each['commit'][:_SHORT_COMMIT]}{'+' if each['dirty'] else ''}" if each["commit"] else words.NOTHING


def _show(found: "RevisionWithChanges") -> None:
    facts = [
        ("revision", f"{found['number']} ({found['origin']})"),
        ("at", words.clock(found["at"])),
        ("by", f"{found['by']} from {found['source']}" if found["source"] else found["by"]),
        ("reason", found["reason"]),
        ("commit", _commit(found) if found["commit"] else None),
        ("plan", found["plan"] and found["plan"][:_SHORT_DIGEST]),
        ("digest", found["digest"][:_SHORT_DIGEST]),
    ]
    terminal.show(terminal.facts(facts))
    for change in found["changes"]:
        click.echo(plan_text.head(change["action"], change["kind"], change["name"]))
        for line in plan_text.inner(change):
            click.echo(line)
