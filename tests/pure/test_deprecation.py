"""What will go away says so in every answer and in the document, long before."""

from datetime import date

import anyio
import httpx
import pytest
from fastapi import FastAPI

from app import deprecation
from app.deprecation import Deprecated
from app.limits import Shield


def test_an_operation_that_will_go_says_since_when_until_when_and_what_instead(monkeypatch: pytest.MonkeyPatch):
    old = Deprecated(date(2030, 1, 1), date(2030, 12, 31), "/v1/new")
    monkeypatch.setitem(deprecation.DEPRECATED, "read_old", old)
    app = FastAPI()
    for name in ("read_old", "read_new"):
        app.add_api_route(f"/v1/{name}", _named(name))
    app.add_middleware(Shield)

    told, silent = anyio.run(_headers, app, "/v1/read_old"), anyio.run(_headers, app, "/v1/read_new")

    assert told["Deprecation"] == "@1893456000"
    assert told["Sunset"] == "Tue, 31 Dec 2030 00:00:00 GMT"
    assert told["Link"] == '</v1/new>; rel="successor-version"'
    assert "Deprecation" not in silent


def test_the_document_says_it_too(monkeypatch: pytest.MonkeyPatch):
    old = Deprecated(date(2030, 1, 1), date(2030, 12, 31), "/v1/new")
    monkeypatch.setitem(deprecation.DEPRECATED, "read_old", old)
    operation = {"operationId": "read_old", "description": "Read it."}

    deprecation.say_so(operation)

    assert operation["deprecated"]
    assert "until 2030-12-31" in str(operation["description"])


def test_nothing_goes_within_half_a_year():
    with pytest.raises(ValueError, match="182 days"):
        Deprecated(date(2030, 1, 1), date(2030, 6, 1), "/v1/new")


async def _headers(app: FastAPI, path: str) -> httpx.Headers:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://levare") as client:
        return (await client.get(path)).headers


def _named(name: str):
    def operation() -> str:
        return name

    operation.__name__ = name
    return operation
