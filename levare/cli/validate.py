"""`levare validate` and `schema`: a manifest checked where it is written, without a server."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from levare.cli import manifests, terminal

if TYPE_CHECKING:
    from levare.manifest import Manifest


@click.command()
@manifests.options
@terminal.json_option
def validate(
    paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]], *, as_json: bool
) -> int:
    """
    Check a manifest, levare.yaml by default, and tell all that is wrong with it, each with its line.

    \b
    levare validate
    levare validate fleet/ --env staging --var GPUS=4

    Nothing is asked of a server. Of a folder it is all .yaml and .yml files in it. Without --env it is what holds for
    all, and each environment. It exits with 1 if something is wrong.
    """
    library, now = manifests.manifests(), datetime.now(UTC)
    given = manifests.given(variables)
    try:
        found = library.check(manifests.paths_or_usual(paths), now=now, environment=environment, variables=given)
    except library.InvalidManifest as error:
        if as_json:
            told = [problem.document for problem in error.problems]
            terminal.document({"valid": False, "problems": told, "warnings": []})
        else:
            manifests.tell(error)
        return 1
    if as_json:
        terminal.document(_document(found))
        return 0
    for problem in found.warnings:
        manifests.tell_one(problem, terminal.paint("warning:", fg="yellow", bold=True))
    click.echo(_said(found))
    return 0


def _document(found: "Manifest") -> object:
    return {
        "valid": True,
        "problems": [],
        "warnings": [problem.document for problem in found.warnings],
        "files": [str(file) for file in found.files],
        "environments": list(found.environments),
        "objects": dict(Counter(each.kind for each in found.objects)),
    }


def _said(found: "Manifest") -> str:
    counts = Counter(each.kind.replace("_", " ") for each in found.objects)
    parts = [f"{count} {noun}{'s' * (count != 1)}" for noun, count in counts.items()]
    environments = f", for {', '.join(found.environments)}" if found.environments else ""
    return f"Valid: {', '.join(parts) or 'nothing is declared'}{environments}."


@click.command()
def schema() -> None:
    """
    Print the JSON Schema of manifests, by which editors complete and explain every key.

    \b
    levare schema > levare.schema.json
    # yaml-language-server: $schema=levare.schema.json   as the first line of levare.yaml
    """
    manifests.manifests()
    from levare.manifest.schema import schema as made

    terminal.document(made())
