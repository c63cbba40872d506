"""The client against the document of the API: a method for every operation, and a dry run of every change."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from app.document import operations
from levare.client import Client

ANSWER = {
    "items": [],
    "next_cursor": None,
    "state": "succeeded",
    "attempt": 0,
    "number": 1,
    "workers": [],
    "id": "x",
    "name": "x",
}
GIVEN: Mapping[str, Any] = {
    "command": ["true"],
    "jobs": [{"step": "a", "command": ["true"]}],
    "nodes": ["n1"],
    "definition": {},
    "declared": {},
    "plan": {},
    "report": {},
    "number": 1,
    "state": "ready",
    "job": "x",
}
"""What a method is given by the name of its parameter; everything else is the text `x`."""
ALSO = {"lint_schedules": {"name": "x"}}
"""Methods that ask another path when they are given more."""
NO_CALLS = ("close", "request", "follow_events")  # the last never ends, and has a test of its own
NOT_FOR_PROGRAMS = ("check_health",)  # a question of load balancers; `health` asks for more


@pytest.fixture(scope="module")
def document(the_api: Mapping[str, Any]) -> dict[str, Any]:
    return dict(the_api)


@pytest.fixture(scope="module")
def asked() -> list[httpx.Request]:
    """What all methods of the client ask, each plainly and, if it can, as a dry run."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=ANSWER)

    with Client("http://api.test", "secret", patience=0, transport=httpx.MockTransport(answer)) as client:
        for method in methods(client):
            call(method)
            if method.__name__ in ALSO:
                call(method, **ALSO[method.__name__])
            if "dry_run" in inspect.signature(method).parameters:
                call(method, dry_run=True)
    return requests


def methods(client: Client) -> Iterator[Any]:
    for name, method in inspect.getmembers(client, inspect.ismethod):
        if not name.startswith("_") and name not in NO_CALLS:
            yield method


def call(method: Any, **more: Any) -> None:
    parameters = inspect.signature(method).parameters.values()
    needed = {each.name: GIVEN.get(each.name, "x") for each in parameters if _is_needed(each)}
    found = method(**needed, **more)
    if isinstance(found, Iterator):
        list(found)


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD


def is_of(request: httpx.Request, path: str, method: str) -> bool:
    pattern = re.sub(r"\{\w+\}", "[^/]+", path)
    return request.method == method and re.fullmatch(pattern, request.url.path) is not None


def named(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Operations by their names; a fixed path hides a pattern that it matches."""
    for path, method, operation in operations(document):
        if operation["operationId"] not in NOT_FOR_PROGRAMS:
            yield operation["operationId"], path, method, operation


def test_every_operation_has_a_method(document: dict[str, Any], asked: list[httpx.Request]):
    without = [
        name for name, path, method, _ in named(document) if not any(is_of(each, path, method) for each in asked)
    ]

    assert not without, "levare/client has no method for these"


def test_every_change_can_be_tried_first(document: dict[str, Any], asked: list[httpx.Request]):
    tried = [each for each in asked if each.url.params.get("dry_run") == "true"]

    without = [
        name
        for name, path, method, operation in named(document)
        if any(parameter["name"] == "dry_run" for parameter in operation.get("parameters", ()))
        and not any(is_of(each, path, method) for each in tried)
    ]

    assert not without, "no method of levare/client asks for a dry run of these"


def test_every_method_says_what_it_answers():
    untyped = [
        name
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_") and "return" not in method.__annotations__
    ]

    assert not untyped
