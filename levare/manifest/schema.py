"""JSON Schema of the manifest, from the models that check it: editors complete and explain every key by it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from levare.manifest.kinds import KINDS
from levare.manifest.patterns import VARIABLE
from levare.manifest.shapes import MIB, SECONDS, UNITS, shortened
from levare.manifest.templates import ParameterSpec

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/"
_OVER = "Over"
_VARIABLE = "Variable"
_DURATION = {"type": ["string", "integer"], "pattern": r"^([0-9]+[smhdw]?|([0-9]+[smhdw])+)$", "minimum": 0}
_SIZE = {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?\s*([MmGgTt]([Ii][Bb])?)?$", "minimum": 0}
_FORMS: Mapping[str, tuple[dict[str, Any], list[str], str]] = {
    SECONDS: (_DURATION, ["90s", "15m", "2h"], "As a duration such as 15m, 2h or 1d12h."),
    MIB: (_SIZE, ["512MiB", "20GiB"], "As a size such as 512MiB or 20GiB."),
}
_SHORT_SPEC = {"type": ["string", "number", "boolean", "null"], "description": "Its default, or null for none."}
Schema = dict[str, Any]
_SCALARS = ("string", "integer", "number", "boolean")


def schema() -> Schema:
    """The schema of a whole manifest, draft 2020-12."""
    asked = [(model, "validation") for model in (*(kind.model for kind in KINDS), ParameterSpec)]
    names, made = models_json_schema(asked, ref_template=f"{_REF}{{model}}")  # pyright: ignore[reportArgumentType]
    refs = {model: ref["$ref"] for (model, _), ref in names.items()}
    spec = refs[ParameterSpec]
    defs = {name: _written(each, spec) for name, each in made["$defs"].items()}
    for work in ("job", "pipeline"):
        for kind in KINDS[5:7]:
            _or_named(defs[refs[kind.model].removeprefix(_REF)]["properties"][work], work)
    over = {f"{_OVER}{name}": _partial(each) for name, each in defs.items()}
    variables = _named({"anyOf": [{"$ref": spec}, _SHORT_SPEC]}, VARIABLE, "Variables: `${NAME}` in any text.")
    sections = {kind.section: _named({"$ref": refs[kind.model]}, kind.names, kind.about) for kind in KINDS}
    return {
        "$schema": DRAFT,
        "title": "levare.yaml",
        "description": "All that is declared of levare: `levare validate` checks it, `levare apply` makes it so.",
        "type": "object",
        "properties": {
            "version": {"const": 1, "description": "Of the format of manifests."},
            **sections,
            "variables": variables,
            "environments": _environments(sections, variables),
        },
        "required": ["version"],
        "additionalProperties": False,
        "$defs": {_VARIABLE: _A_VARIABLE, **defs, **over},
    }


_A_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]", "description": "With a variable in it: ${NAME}."}


def _named(value: Schema, pattern: str, about: str) -> Schema:
    return {
        "type": ["object", "null"],
        "description": about,
        "patternProperties": {pattern: value},
        "additionalProperties": False,
    }


def _environments(sections: Mapping[str, Schema], variables: Schema) -> Schema:
    over = {name: _partial(each) for name, each in sections.items()}
    one = {
        "type": ["object", "null"],
        "description": "What is otherwise in this environment; null takes away.",
        "properties": {**over, "variables": variables},
        "additionalProperties": False,
    }
    return {
        "type": ["object", "null"],
        "description": "Environments such as staging, each laid over what holds for all.",
        "additionalProperties": one,
    }


def _or_named(field: Schema, work: str) -> None:
    field["anyOf"] = [{"type": "string", "description": f"The name of a template under {work}s."}, *field["anyOf"]]
    field["description"] += f" Or the name of a template under `{work}s`."


def _written(made: Schema, spec: str) -> Schema:
    """A definition with what people may write instead: units, variables, defaults alone."""
    if "properties" not in made:
        return made
    fields: Schema = {}
    for name, field in made["properties"].items():
        fields[name] = _changed(_with_short_specs(field, spec), _or_variable)
        if unit := _unit(name):
            fields[shortened(name)] = _with_unit(field, unit)
    return {**made, "properties": fields, **_required(made)}


def _unit(name: str) -> str:
    return next((unit for unit in UNITS if name.endswith(unit)), "")


def _with_unit(field: Schema, unit: str) -> Schema:
    form, examples, said = _FORMS[unit]
    about = f"{field.get('description', '')} {said}".strip()
    return {"anyOf": [form, {"$ref": f"{_REF}{_VARIABLE}"}], "description": about, "examples": examples}


def _required(made: Schema) -> Schema:
    """What has a unit is there by one of its names."""
    needed = made.get("required", [])
    plain = [name for name in needed if not _unit(name)]
    either = [{"anyOf": [{"required": [name]}, {"required": [shortened(name)]}]} for name in needed if _unit(name)]
    return {"required": plain, **({"allOf": either} if either else {})}


def _or_variable(part: Schema) -> Schema:
    """What is not any text, or a text with a variable in it."""
    takes_it = part.get("type") == "string" and re.search(part.get("pattern", ""), "${NAME}")
    if (takes_it and not {"enum", "const"} & part.keys()) or not (
        part.get("type") in _SCALARS or {"enum", "const"} & part.keys()
    ):
        return part
    told = {name: part[name] for name in ("description", "examples", "default", "title") if name in part}
    bare = {name: each for name, each in part.items() if name not in told}
    return {**told, "anyOf": [bare, {"$ref": f"{_REF}{_VARIABLE}"}]}


def _with_short_specs(field: Schema, spec: str) -> Schema:
    return _changed(field, lambda part: {"anyOf": [part, _SHORT_SPEC]} if part == {"$ref": spec} else part)


def _partial(made: Schema) -> Schema:
    """What an environment may say of it: any part, and null for what is not there."""

    def change(part: Schema) -> Schema:
        if "$ref" in part and part["$ref"] != f"{_REF}{_VARIABLE}":
            name = part["$ref"].removeprefix(_REF)
            return {"anyOf": [{**part, "$ref": f"{_REF}{_OVER}{name}"}, {"type": "null"}]}
        left = {name: each for name, each in part.items() if name not in ("required", "allOf", "default")}
        fields = left.get("properties")
        if isinstance(fields, dict):
            left["properties"] = {name: {"anyOf": [each, {"type": "null"}]} for name, each in fields.items()}
        return left

    return _changed(made, change)


def _changed(part: Any, change: Callable[[Schema], Schema]) -> Any:
    """Each schema within, from the inside out."""
    if isinstance(part, list):
        return [_changed(each, change) for each in part]
    if not isinstance(part, dict):
        return part
    inner = {name: each if name in _DATA else _changed(each, change) for name, each in part.items()}
    return change(inner) if _is_schema(inner) else inner


_DATA = ("examples", "default", "enum", "const", "description")


def _is_schema(part: Schema) -> bool:
    return bool({"type", "$ref", "anyOf", "const", "enum"} & part.keys()) and not isinstance(part.get("type"), dict)
