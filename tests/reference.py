"""
The reference pages of docs/reference, from the code that they are about.

`python -m tests.reference` writes them, for whoever has changed a command, an endpoint, the manifest or a setting.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from app.main import create
from app.rights import RIGHTS
from levare import settings
from levare.cli import levare as command_line
from levare.manifest.schema import schema

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "_Written by `python -m tests.reference` from the code; change that._"
WIDTH = 100
OTHERS = (
    ("LEVARE_URL", "the address of the API, for clients elsewhere; on the same machine it is found."),
    ("LEVARE_TOKEN", "the token of such a client."),
    ("LEVARE_SECRET_<NAME>", "a secret that a job or a channel names; read by the worker or beat."),
    ("LEVARE_VAR_<NAME>", "the value of a variable of a manifest; read by the command line."),
)
_SENTENCE = re.compile(r"(LEVARE_[A-Z_]+): (.*)", re.DOTALL)


def pages(api: Mapping[str, Any]) -> Mapping[str, str]:
    """File name -> text."""
    made = {"commands": commands(), "rest": rest(api), "manifest": manifest(), "settings": variables()}
    return {f"{name}.md": f"{NOTE}\n\n{text}\n" for name, text in made.items()}


def commands() -> str:
    """The help of every command, as it prints it."""
    told = [f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(command_line, "levare", None)]
    return "\n\n".join(["# Commands", "[What they are for](../commands.md), by topic.", *told])


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found and not found.hidden:
                yield from _helps(found, each, context)


def api_document() -> Mapping[str, Any]:
    """The document of the API, of an app that has served nobody and is gone again."""
    with TemporaryDirectory() as folder:
        app = create(settings.load({"LEVARE_HOME": folder}))
        document = app.openapi()
        app.state.parts.pulse.close()
        app.state.parts.database.dispose()
    return document


def rest(document: Mapping[str, Any]) -> str:
    """Every operation by what it is about; the bodies are in /docs of the API itself."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(f"{method.upper()} {path}", operation))
    parts = [part for tag in by_tag for part in (f"## {tag.capitalize()}", *by_tag[tag])]
    about = "A running API shows bodies and answers with examples at `/docs`, and all of it at `/openapi.json`."
    return "\n\n".join(["# REST", about, *parts])


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    lines = [f"### {title}", operation.get("description") or operation["summary"]]
    parameters = [_parameter(each) for each in operation.get("parameters", ())]
    if parameters:
        lines.append(_table(("parameter", "in", "type", "meaning"), parameters))
    bodies = [name for each in operation.get("requestBody", {}).get("content", {}).values() if (name := _type(each))]
    told = [f"Body: `{bodies[0]}`."] if bodies else []
    told.append(f"May: {_who(operation['operationId'])}.")
    told.append(f"Answers: {', '.join(sorted(operation['responses']))}.")
    return "\n\n".join([*lines, " ".join(told)])


def _who(operation: str) -> str:
    right = RIGHTS[operation]
    if right.anybody:
        return "anybody"
    roles = [right.role, *sorted(right.scopes)] if right.role else sorted(right.scopes)
    return ", ".join([*roles, "admins of the fleet"])


def _parameter(each: Mapping[str, Any]) -> tuple[str, ...]:
    return f"`{each['name']}`", each["in"], _type_of(each["schema"]), each.get("description", "")


def _type(content: Mapping[str, Any]) -> str:
    return content.get("schema", {}).get("$ref", "").rpartition("/")[2]


def manifest() -> str:
    """Every section of levare.yaml, and every object in it with its fields."""
    document = schema()
    sections = [(f"`{name}`", _type_of(each), each.get("description", "")) for name, each in _fields(document)]
    parts = [f"## {name}\n\n{_object(each)}" for name, each in sorted(document["$defs"].items()) if _fields(each)]
    about = (
        "[The guide](../manifest.md) shows it by examples; `levare schema` prints the JSON Schema that this is from."
    )
    return "\n\n".join(["# Manifest", about, _table(("key", "what", "meaning"), sections), *parts])


def _object(document: Mapping[str, Any]) -> str:
    required = document.get("required", ())
    rows = [
        (f"`{name}`", _type_of(each), _default(each, is_required=name in required), each.get("description", ""))
        for name, each in _fields(document)
    ]
    table = _table(("field", "type", "default", "meaning"), rows)
    return f"{document['description']}\n\n{table}" if document.get("description") else table


def _fields(document: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return list(document.get("properties", {}).items())


def _default(document: Mapping[str, Any], *, is_required: bool) -> str:
    if is_required:
        return "required"
    return f"`{document['default']}`" if document.get("default") not in (None, {}, [], "") else ""


def _type_of(document: Mapping[str, Any]) -> str:
    if "$ref" in document:
        return document["$ref"].rpartition("/")[2]
    if "enum" in document or "const" in document:
        return ", ".join(f"`{each}`" for each in document.get("enum", (document.get("const"),)))
    if "anyOf" in document or "oneOf" in document:
        kinds = [_type_of(each) for each in document.get("anyOf", document.get("oneOf", ()))]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "patternProperties" in document:
        return f"{_type_of(next(iter(document['patternProperties'].values())))} by name"
    kind = document.get("type", "anything")
    kind = kind if isinstance(kind, str) else " or ".join(each for each in kind if each != "null")
    if kind == "array" and "items" in document:
        return f"list of {_type_of(document['items'])}"
    return kind + _bounds(document)


def _bounds(document: Mapping[str, Any]) -> str:
    least, most = document.get("minimum"), document.get("maximum")
    if least is None and most is None:
        return ""
    return f" from {least}" + (f" to {most}" if most is not None else "") if least is not None else f" up to {most}"


def variables() -> str:
    """Every variable, with the sentence that stands beside it in levare/settings.py."""
    [body] = [
        node.body
        for node in ast.parse(Path(settings.__file__).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    texts = [node.value.value for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    rows = [match.groups() for text in texts if (match := _SENTENCE.match(str(text)))]
    rows += OTHERS
    about = "Environment variables, read once by each process when it starts. One machine needs none of them."
    return "\n\n".join(["# Settings", about, _table(("variable", "meaning"), [(f"`{a}`", b) for a, b in rows])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages(api_document()).items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
