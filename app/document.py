"""The OpenAPI document: FastAPI's, and every error that an operation can answer."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import cloudevents, problems
from app.access import OPEN_PATHS
from app.auth import COOKIES
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
_WITH_TOKEN = (errors.Unauthorized, errors.Forbidden, errors.InvalidRequest)
_WITH_BODY = (problems.BadRequest, problems.RequestTimeout, errors.TooLarge, problems.UnsupportedMedia)
_OPEN: list[dict[str, list[str]]] = [{}]


def refusals(*kinds: type[LevareError]) -> Responses:
    """The entries of an operation's `responses` for these errors."""
    by_status: dict[int, list[type[LevareError]]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {status: _refusal(found) for status, found in by_status.items()}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(title="levare", version=app.version, description=_DESCRIPTION, routes=app.routes)
        for path, _, operation in operations(document):
            _complete(path, operation)
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
    common = refusals(*_common(path, has_body="requestBody" in operation, is_open=is_open))
    for status, refusal in common.items():
        responses.setdefault(str(status), refusal)
    operation["responses"] = dict(sorted(responses.items()))


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
        *((errors.NotFound,) if "{" in path else ()),
        *(_WITH_BODY if has_body else ()),
    ]


def _refusal(kinds: list[type[LevareError]]) -> dict[str, Any]:
    description = "; or ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds)
    schema = {"$ref": "#/components/schemas/Problem"}
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
