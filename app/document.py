"""The OpenAPI document: FastAPI's, and every error that an operation can answer."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import cloudevents, problems
from app.access import OPEN_PATHS
from app.auth import COOKIES
from app.conditions import READS, WRITES
from app.deprecation import say_so
from app.links import links_of
from app.once import REPLAYED
from levare import errors
from levare.errors import LevareError

Responses = dict[int | str, dict[str, Any]]

_DESCRIPTION = """
Schedules and watches machine-learning training on shared machines.

Every request but those for `/healthz`, `/readyz`, `/openapi.json` and `/docs` carries `Authorization: Bearer TOKEN`.
Times are RFC 3339 in UTC, sizes are MiB, durations are whole seconds; the unit is in the name. Every error is a problem
document (RFC 9457) with a stable `code`, the wrong values with their limits, and the next step.
"""
_ALWAYS = (problems.Misdirected, errors.TooManyRequests, errors.Unavailable, LevareError)
_WITH_TOKEN = (errors.Unauthorized, errors.Forbidden)
_WITH_BODY = (problems.BadRequest, problems.RequestTimeout, errors.TooLarge, problems.UnsupportedMedia)
_ETAG = {
    "description": "VERSION-DIGEST: the digest is of this answer, the version of what people change.",
    "schema": {"type": "string", "examples": ['"12-9f1c3a520b6e4c1e"']},
}
_UNLESS_SEEN = "ETags of answers that are at hand: 304 if it is still one of them."
_IF_SEEN = (
    'Only if it is as it was with one of these ETags, such as `"12-9f1c3a520b6e4c1e"`, or is declared at all (`*`); '
    'else 412. A version alone will do: `"12"`.'
)
_IF_NEW = "`*`: only if it is not declared yet; else 412."
_MADE = ("200", "201", "202")
_IS_REPLAYED = {
    "description": "That the key was known, and this is the answer of then.",
    "schema": {"type": "string", "enum": ["true"]},
}
_OPEN: list[dict[str, list[str]]] = [{}]


def refusals(*kinds: type[LevareError]) -> Responses:
    """The entries of an operation's `responses` for these errors."""
    by_status: dict[int, list[type[LevareError]]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        by_status[kind.status].append(kind)
    return {status: _refusal(found) for status, found in by_status.items()}


def _add_refusals(responses: dict[str, Any], *kinds: type[LevareError]) -> None:
    """These errors, too, besides those that the operation says itself."""
    said = [code for each in responses.values() for code in _codes_in(each)]
    known = {kind.code: kind for kind in problems.kinds()}
    found = refusals(*(known[code] for code in said), *kinds)
    responses |= {str(status): responses.get(str(status), {}) | refusal for status, refusal in found.items()}


def _codes_in(response: dict[str, Any]) -> list[str]:
    content = response.get("content", {}).get(problems.MEDIA_TYPE)
    return content["schema"]["allOf"][1]["properties"]["code"]["enum"] if content else []


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(title="levare", version=app.version, description=_DESCRIPTION, routes=app.routes)
        for path, _, operation in operations(document):
            _complete(path, operation)
            _add_conditions(operation)
            _add_key(operation)
            _add_links(operation)
            say_so(operation)
        _add_components(document["components"])
        document["security"] = [{"token": []}, {"session": []}]
        app.openapi_schema = document
    return app.openapi_schema


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add what any operation of this kind can answer besides what its own module says."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    is_open = path in OPEN_PATHS
    if is_open:
        operation["security"] = _OPEN
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _given(parameter["schema"])
    _add_refusals(responses, *_common(path, has_body="requestBody" in operation, is_open=is_open))
    operation["responses"] = dict(sorted(responses.items()))


def _add_conditions(operation: dict[str, Any]) -> None:
    """What ETags bring: a header of the answer, and headers by which a request may say what it expects."""
    name, responses = operation["operationId"], operation["responses"]
    if name in READS:
        responses["200"].setdefault("headers", {})["ETag"] = _ETAG
        responses["304"] = {"description": "It is as `If-None-Match` says.", "headers": {"ETag": _ETAG}}
        operation.setdefault("parameters", []).append(_header("If-None-Match", _UNLESS_SEEN))
    elif name in WRITES:
        _add_refusals(responses, errors.Stale)
        told = ("If-Match", _IF_SEEN), ("If-None-Match", _IF_NEW)
        operation.setdefault("parameters", []).extend(_header(*each) for each in told)
    operation["responses"] = dict(sorted(responses.items()))


def _add_key(operation: dict[str, Any]) -> None:
    """What an idempotency key brings."""
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())):
        _add_refusals(operation["responses"], errors.IdempotencyMismatch, errors.InFlight)
        operation["responses"] = dict(sorted(operation["responses"].items()))
        for status, response in operation["responses"].items():
            if status in _MADE:
                response.setdefault("headers", {})[REPLAYED] = _IS_REPLAYED


def _header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def _add_links(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        links = links_of(operation["operationId"], status)
        if links:
            response["links"] = links


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be absent cannot be null: there is no null in an address or a header."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    return kinds[0] | {key: value for key, value in schema.items() if key != "anyOf"}


def _common(path: str, *, has_body: bool, is_open: bool) -> list[type[LevareError]]:
    return [
        *_ALWAYS,
        *(() if is_open else _WITH_TOKEN),
        *((errors.InvalidRequest,) if has_body or not is_open else ()),
        *((errors.NotFound,) if "{" in path else ()),
        *(_WITH_BODY if has_body else ()),
    ]


def _refusal(kinds: list[type[LevareError]]) -> dict[str, Any]:
    description = "; or ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds)
    codes = {"type": "object", "properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, codes]}
    return {"description": f"{description}.", "content": {problems.MEDIA_TYPE: {"schema": schema}}}


def _add_components(components: dict[str, Any]) -> None:
    schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = components["schemas"]
    schemas |= schema.pop("$defs") | {"Problem": schema, "CloudEvent": cloudevents.SCHEMA}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIES[1]},
    }
