"""The OpenAPI document as one static page: no script, nothing from another host."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from app.document import describe, operations

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { background: #8881; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem; border-bottom: 1px solid #8884; }
section { border-top: 2px solid #8886; margin-top: 2rem; }
:root { color-scheme: light dark; }
"""
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/docs")
async def read_docs(request: Request) -> Response:
    """The documentation of this API, made from /openapi.json."""
    return HTMLResponse(page(describe(request.app)), headers={"Content-Security-Policy": _POLICY})


def page(document: Mapping[str, Any]) -> str:
    whole = list(operations(dict(document)))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>levare API</title><style>{_STYLE}</style>"
        f"<h1>levare API {escape(document['info']['version'])}</h1><p>{escape(document['info']['description'])}</p>"
        f"<p>For programs: <a href=/openapi.json>/openapi.json</a>.</p>"
        f"<ul>{''.join(_line(*each) for each in whole)}</ul>"
        f"{''.join(_operation(*each) for each in whole)}<h1>Schemas</h1>"
        f"{''.join(_schema(name, schema) for name, schema in document['components']['schemas'].items())}"
    )


def _line(path: str, method: str, operation: Mapping[str, Any]) -> str:
    name = operation["operationId"]
    return f"<li><a href='#{name}'><code>{method} {escape(path)}</code></a> {escape(operation['summary'])}"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody")
    return (
        f"<section id='{operation['operationId']}'><h2><code>{method} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        f"{_table('Parameter', [_parameter(each) for each in operation.get('parameters', ())])}"
        f"{f'<p>Body: {_media(body)}</p>' if body else ''}"
        f"{_table('Answer', [_answer(*each) for each in operation['responses'].items()])}</section>"
    )


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    required = " (required)" if parameter.get("required") else ""
    kind = f"{parameter['in']}{required}: {_kind(parameter['schema'])}"
    return escape(parameter["name"]), kind, escape(parameter.get("description", ""))


def _answer(status: str, response: Mapping[str, Any]) -> tuple[str, str, str]:
    return status, _media(response), escape(response["description"])


def _media(part: Mapping[str, Any]) -> str:
    each = (f"{escape(media)} {_kind(found.get('schema', {}))}" for media, found in part.get("content", {}).items())
    return ", ".join(each)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [_field(key, field, key in required) for key, field in schema.get("properties", {}).items()]
    example = {key: field["examples"][0] for key, field in schema.get("properties", {}).items() if "examples" in field}
    return (
        f"<section id='{name}'><h2>{name}</h2><p>{escape(schema.get('description', ''))}</p>{_table('Field', rows)}"
        f"<pre>{escape(json.dumps(example, indent=2))}</pre></section>"
    )


def _field(name: str, field: Mapping[str, Any], required: bool) -> tuple[str, str, str]:
    default = f"; default {escape(json.dumps(field['default']))}" if "default" in field else ""
    kind = f"{_kind(field)}{default}{' (required)' if required else ''}"
    return escape(name), kind, escape(field.get("description", ""))


def _kind(schema: Mapping[str, Any]) -> str:
    """A type with its limits, and links to the schemas that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{name}'>{name}</a>"
    if "allOf" in schema:
        return _kind(schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    limits = {key: schema[key] for key in _LIMITS if key in schema}
    told = ", ".join(f"{_LIMITS[key]} {escape(json.dumps(value))}" for key, value in limits.items())
    kind = schema.get("type", "any")
    return f"{kind} ({told})" if told else kind


_LIMITS = {
    "enum": "one of",
    "const": "only",
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "at least so long:",
    "maxLength": "at most so long:",
    "pattern": "like",
    "format": "as",
}


def _table(head: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(f"<tr><td><code>{name}</code><td>{kind}<td>{text}" for name, kind, text in rows)
    return f"<table><tr><th>{head}<th>Kind<th>Meaning{lines}</table>"
