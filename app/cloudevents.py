"""CloudEvents 1.0 over HTTP: structured, in batches, and binary; each checked, and what is wrong named."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers

from app import problems
from levare.decide.events import text_of
from levare.errors import Fault, TooLarge, UnfitEvent

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MOST_BYTES = 64 * 1024
MOST_IN_BATCH = 100
VERSION = "1.0"
_MOST_INTEGER = 1 << 31
_LONGEST = {"id": 500, "source": 500, "type": 250, "subject": 500}
_REQUIRED = ("id", "source", "type")
_EXTENSION = re.compile(r"^[a-z0-9]{1,64}$")
_TIME = re.compile(
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$",
    re.IGNORECASE | re.ASCII,
)
_CORE = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema")

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f\x7f]+$"}
_MAYBE = {**_TEXT, "type": ["string", "null"]}
SCHEMA: dict[str, Any] = {
    "title": "CloudEvent",
    "description": "A CloudEvent 1.0 in its JSON format; what else it has are extensions, or `data_base64`.",
    "type": "object",
    "required": ["specversion", *_REQUIRED],
    "properties": {
        "specversion": {"const": VERSION},
        "id": {**_TEXT, "maxLength": 500, "examples": ["a1"]},
        "source": {**_TEXT, "maxLength": 500, "pattern": r"^[!-~]+$", "examples": ["/lake/churn"]},
        "type": {**_TEXT, "maxLength": 250, "examples": ["dataset.ready"]},
        "subject": {**_MAYBE, "maxLength": 500, "examples": ["2030-01-01"]},
        "time": {"type": ["string", "null"], "format": "date-time", "examples": ["2030-01-01T12:00:00Z"]},
        "datacontenttype": {**_MAYBE, "examples": ["application/json"]},
        "dataschema": {**_MAYBE, "examples": ["https://lake.example/churn.json"]},
        "data": {"description": "Anything.", "examples": [{"dataset": "churn"}]},
    },
    "propertyNames": {"pattern": "^[a-z0-9]+$", "maxLength": 64},
    "additionalProperties": {
        "type": ["string", "boolean", "integer", "null"],
        "pattern": r"^[^\x00]*$",
        "minimum": -_MOST_INTEGER,
        "maximum": _MOST_INTEGER - 1,
    },
}


def received(headers: Headers, body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The events of a request, and whether it was a batch; raise what says which attribute is wrong."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == BATCH:
        return _batch(_json(body)), True
    if media == STRUCTURED:
        return [_checked(_json(body), "")], False
    if "ce-specversion" in headers or "ce-id" in headers:
        return [_checked(_of_headers(headers, media, body), "ce-")], False
    fault = Fault("Content-Type", "is no event", media, f"{STRUCTURED}, {BATCH}, or any with ce- headers")
    raise problems.UnsupportedMedia(
        f"The body is {problems.shown(media)!r}, and there are no ce- headers.", f"Send it as {STRUCTURED}.", [fault]
    )


def _batch(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_IN_BATCH:
        given = f"a list of {len(found)}" if isinstance(found, list) else found
        raise problems.invalid([Fault("body", f"must be a list of 1 to {MOST_IN_BATCH} events", given, MOST_IN_BATCH)])
    return [_checked(each, f"{number}.") for number, each in enumerate(found)]


def _of_headers(headers: Headers, media: str, body: bytes) -> dict[str, Any]:
    """Binary mode: attributes are headers, percent-encoded; the body is the data."""
    event: dict[str, Any] = {
        name[3:]: unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-") and len(name) > 3  # noqa: PLR2004  # `ce-`
    }
    if media:
        event["datacontenttype"] = headers["content-type"]
    if not body:
        return event
    if media.endswith(("/json", "+json")):
        return {**event, "data": _json(body)}
    try:
        return {**event, "data": body.decode()} if media.startswith("text/") else {**event, **_binary(body)}
    except UnicodeDecodeError:
        return {**event, **_binary(body)}


def _binary(body: bytes) -> dict[str, str]:
    return {"data_base64": base64.b64encode(body).decode()}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise problems.BadRequest(f"The body is not JSON: {error}.", "Send a JSON object.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _checked(event: Any, place: str) -> dict[str, Any]:
    """The event without what is null."""
    if not isinstance(event, dict):
        raise problems.invalid([Fault(place.rstrip(".") or "body", "must be a JSON object", None, "an event")])
    given = {name: value for name, value in event.items() if value is not None or name == "data"}
    faults = [*_missing(given), *(fault for name, value in given.items() for fault in _wrong(name, value))]
    if "data" in given and "data_base64" in given:
        faults.append(Fault("data_base64", "must not be there together with data", None, "one of both"))
    if faults:
        raise problems.invalid([replace(each, field=f"{place}{each.field}") for each in faults])
    unfit = next(_unfit(given.get("data")), None)
    if unfit:
        raise UnfitEvent(f"Its data {unfit.message}.", "Encode it in base64.", [replace(unfit, field=f"{place}data")])
    return _small_enough(given, place)


def _small_enough(event: dict[str, Any], place: str) -> dict[str, Any]:
    size = len(text_of(event).encode())
    if size > MOST_BYTES:
        fault = Fault(place.rstrip(".") or "body", "is too large", size, MOST_BYTES)
        raise TooLarge(
            f"The event has {size} bytes; at most {MOST_BYTES} are taken.",
            "Put its data into a file.",
            [fault],
        )
    return event


def _missing(event: Mapping[str, Any]) -> Iterator[Fault]:
    for name in _REQUIRED:
        if name not in event:
            yield Fault(name, "is required", None, "a text that is not empty")
    if event.get("specversion") != VERSION:
        yield Fault("specversion", f"must be {VERSION}", event.get("specversion"), VERSION)


def _wrong(name: str, value: Any) -> Iterator[Fault]:
    if name == "data":
        return
    if name == "data_base64":
        if not _is_base64(value):
            yield Fault(name, "must be text in base64", value, "base64")
    elif name in _CORE:
        if name != "specversion":
            yield from _wrong_core(name, value)
    elif not _EXTENSION.match(name):
        yield Fault(str(problems.shown(name)), "is no name of an attribute", None, "lower-case letters and digits")
    elif not _is_simple(value):
        yield Fault(name, "must be text, true or false, or a whole number of 32 bits", value, "a simple value")


def _wrong_core(name: str, value: Any) -> Iterator[Fault]:
    longest = _LONGEST.get(name, 1000)
    if not isinstance(value, str) or not value or not _is_clean(value) or re.search(r"[\x00-\x1f\x7f]", value):
        yield Fault(name, "must be a text that is not empty", value, "text without control characters")
    elif len(value) > longest:
        yield Fault(name, f"must be at most {longest} characters", value, longest)
    elif name == "source" and not re.fullmatch("[!-~]+", value):
        yield Fault(name, "must be a URI reference", value, "ASCII without spaces")
    elif name == "time" and not _is_time(value):
        yield Fault(name, "must be a time such as 2030-01-01T12:00:00Z", value, "RFC 3339")


def _unfit(value: Any) -> Iterator[Fault]:
    """What JSON allows, and an environment or a database does not."""
    if not all(_is_clean(text) for text in _texts(value)):
        yield Fault("data", "must have valid Unicode without NUL", None, "no NUL")
    if not all(isfinite(number) for number in _numbers(value)):
        yield Fault("data", "must have numbers that fit into 64 bits", None, "at most 1.8e308")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in _parts(value):
        yield from _texts(each)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for each in _parts(value):
        yield from _numbers(each)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _is_clean(text: str) -> bool:
    """No NUL, which no environment can hold, and nothing that is no character."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_simple(value: Any) -> bool:
    if isinstance(value, str):
        return _is_clean(value)
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # 1.0 is one in JSON
    return is_whole and (isinstance(value, bool) or -_MOST_INTEGER <= value < _MOST_INTEGER)


def _is_time(value: str) -> bool:
    return bool(_TIME.match(value))


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(base64.b64decode(value, validate=True) or not value)
    except ValueError:
        return False
