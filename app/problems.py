"""Errors as `application/problem+json` (RFC 9457): what was wrong, the limit, the next step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from levare.errors import (
    Fault,
    InvalidRequest,
    LevareError,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from levare.manifest.faults import fields_at, in_words
from levare.manifest.values import UNNAMED

MEDIA_TYPE = "application/problem+json"
_MOST = 1 << 63
_NO_PLACES = ("[", "function-wrap[")  # what pydantic names in a path besides places
_SHOWN = 200  # characters of a value that an error repeats


class BadRequest(LevareError):
    code, title, status = "bad-request", "The request cannot be read", 400


class MethodNotAllowed(LevareError):
    code, title, status = "method-not-allowed", "This path does not know the method", 405


class RequestTimeout(LevareError):
    code, title, status = "request-timeout", "The request did not arrive in time", 408


class UnsupportedMedia(LevareError):
    code, title, status = "unsupported-media-type", "The body is not JSON", 415


@dataclass
class RangeNotSatisfiable(LevareError):
    """`size` is that of the whole."""

    size: int = 0

    code, title, status = "range-not-satisfiable", "Nothing is kept in this range", 416


class HeadTooLarge(LevareError):
    code, title, status = "head-too-large", "The head of the request is too large", 431


class Stopping(Unavailable):
    """This process is about to end, and takes nothing more."""


class Misdirected(LevareError):
    code, title, status = "misdirected", "This server does not answer under that name", 421


class ProblemError(BaseModel):
    """One wrong value."""

    field: str = Field(description="Where the value stands, such as `gpus` or `env.PATH`.", examples=["gpus"])
    value: Any = Field(None, description="The value as it came, shortened; absent values are null.", examples=[-1])
    limit: Any = Field(None, description="What is allowed.", examples=["at least 0"])
    message: str = Field(description="What is wrong with it.", examples=["must be at least 0"])


class Problem(BaseModel):
    """An error as RFC 9457 has it."""

    type: str = Field(description="A URI of the kind of error.", examples=["urn:levare:problem:invalid-request"])
    title: str = Field(description="The kind of error in words.", examples=["The request is not valid"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="What was wrong this time.", examples=["gpus is -1: must be at least 0."])
    instance: str = Field(description="The path of the request.", examples=["/v1/jobs"])
    code: str = Field(description="The kind of error, stable across versions.", examples=["invalid-request"])
    next_step: str = Field(description="What to do now.", examples=["Correct what `errors` names and send it again."])
    errors: list[ProblemError] = Field(description="Every wrong value; empty if no single value is to blame.")


def kinds() -> list[type[LevareError]]:
    """Every kind of error that an answer can tell of, by its code; of kinds that share one code the first."""
    found: dict[str, type[LevareError]] = {}
    waiting: list[type[LevareError]] = [LevareError]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return [found[code] for code in sorted(found)]


def document(error: LevareError, instance: str) -> dict[str, Any]:
    return {
        "type": f"urn:levare:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "next_step": error.next_step,
        "errors": [
            {
                "field": fault.field,
                "value": shown(fault.value),
                "limit": shown(fault.limit),
                "message": fault.message,
            }
            for fault in error.faults
        ],
    }


def response(error: LevareError, instance: str, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(shown(document(error, instance), None)).encode()
    return Response(body, error.status, _headers(error) | dict(headers or {}), MEDIA_TYPE)


def _headers(error: LevareError) -> dict[str, str]:
    """What HTTP wants to be said with an error."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="levare"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, Stopping):
        return {"Retry-After": "1", "Connection": "close"}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    return {}


def shown(value: Any, longest: int | None = _SHOWN) -> Any:
    """A value as JSON can repeat it: text without broken characters and not too long, no NaN, nothing deep."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < _MOST):
        return value
    if longest is None and isinstance(value, Mapping):
        return {key: shown(each, None) for key, each in value.items()}
    if longest is None and isinstance(value, list):
        return [shown(each, None) for each in value]
    text = value if isinstance(value, str) else _as_text(value)
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if longest is None or len(clean) <= longest else f"{clean[:longest]}..."


def _as_text(value: Any) -> str:
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


async def on_invalid(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong with a request, in our words."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # FastAPI calls it for nothing else
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        where = f"{first['ctx']['error']} at character {first['loc'][-1]}"
        return response(BadRequest(f"The body is not JSON: {where}.", "Send a JSON object."), request.url.path)
    found = _telling([_At(each, _place(each, error.body)) for each in error.errors()])
    faults = [_fault(each.error, each.place, _known_fields(request, each.place[:-1])) for each in found]
    return response(invalid(faults), request.url.path)


def _known_fields(request: Request, place: Sequence[str | int]) -> Sequence[str]:
    """The names that are known where an error is: `place` leads there from the body."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return fields_at(body.field_info.annotation, place) if body else ()


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths, methods that a path does not know, bodies that cannot be read."""
    assert isinstance(error, HTTPException)  # noqa: S101  # Starlette calls it for nothing else
    path, headers = request.url.path, error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        problem = NotFound(f"There is nothing at {path}.", "/openapi.json and /docs list every path.")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(allowed_methods(request))
        headers = {"Allow": allowed}
        fault = Fault("method", "is not known here", request.method, allowed)
        problem = MethodNotAllowed(f"{path} does not know {request.method}.", f"It knows {allowed}.", [fault])
    else:
        problem = BadRequest(_unreadable(error), "/docs shows what this path takes.")
    return response(problem, path, headers)


def _unreadable(error: HTTPException) -> str:
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return f"The body is not UTF-8: byte {cause.start} is {cause.object[cause.start]:#04x}."
    if isinstance(cause, RecursionError):
        return "The body is nested too deeply."
    return f"The body is not JSON: {cause}." if isinstance(cause, ValueError) else f"{error.detail}."


def allowed_methods(request: Request) -> list[str]:
    """All that this path knows; the framework tells only those of the first route."""
    routes: Sequence[APIRoute] = request.app.state.routes
    path, own = request.url.path, request.app.state.own
    fitting = [route for route in routes if route.path_regex.match(path)]
    meant = [route for route in fitting if not any(each.match(path) for each in own.get(route.path, ()))]
    known = {method for route in meant for method in route.methods or ()}
    return sorted(known | ({"HEAD"} if "GET" in known else set()))


def invalid(found: Sequence[Fault]) -> InvalidRequest:
    """The error that tells of all faults, beginning with the first in a sentence."""
    first, others = found[0], len(found) - 1
    more = f" {others} more: see errors." if others else ""
    has_value = first.value is not None
    subject = f"{first.field} is {_in_a_sentence(first.value)}:" if has_value else first.field
    end = "" if first.message.endswith("?") else "."
    return InvalidRequest(
        f"{subject} {first.message}{end}{more}", "Correct what `errors` names and send it again.", found
    )


def _in_a_sentence(value: Any) -> str:
    """As JSON writes it, once: text in quotes, a list or an object as it is."""
    told = shown(value)
    return told if isinstance(told, str) and not isinstance(value, str) else json.dumps(told, ensure_ascii=False)


def unknown(name: str, known: Sequence[str], *, what: str = "field") -> Fault:
    """A name that means nothing here, with the nearest that does."""
    near = get_close_matches(name.rpartition(".")[2], known, 1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return Fault(str(shown(name)), f"is no {what} of this request{hint}", None, ", ".join(known))


class _At(NamedTuple):
    error: Mapping[str, Any]
    place: tuple[str | int, ...]


def _place(error: Mapping[str, Any], body: Any) -> tuple[str | int, ...]:
    """The way to what is wrong; the branches of a union, which pydantic names on it, are no part of the request."""
    part_of, *way = error["loc"]
    if part_of != "body":
        return tuple(part for part in way if not str(part).startswith(_NO_PLACES))
    place, node, is_absent = list[str | int](), body, error["type"] == "missing"
    for number, part in enumerate(way):
        is_there = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if is_there:
            node = node[part]
        if is_there or (is_absent and number == len(way) - 1):
            place.append(part)
    return tuple(place)


def _telling(found: Sequence[_At]) -> list[_At]:
    """Of one value that is wrong for several types the first fault, and none where the faults are further inside."""
    first = {each.place: each for each in reversed(found)}
    deeper = {place[:length] for place in first for length in range(len(place))}
    return [each for each in found if first[each.place] is each and each.place not in deeper]


def _fault(error: Mapping[str, Any], place: Sequence[str | int], known: Sequence[str]) -> Fault:
    field = ".".join(map(str, place)) or str(error["loc"][0])
    kind = error["type"]
    if kind == "missing":
        return Fault(field, "is required", None, "a value")
    if kind == "extra_forbidden":
        return unknown(field, known)
    message, limit = in_words(error)
    return Fault(field, message, None if kind == UNNAMED else error.get("input"), limit)
