"""What the client does beyond asking: lists of schedules and fires page by page."""

from typing import Any

import httpx

from levare.client import Client
from tests.pure.scripted import URL, Api


def a_client(api: Api) -> Client:
    return Client(URL, "secret", patience=0, transport=httpx.MockTransport(api))


def queries(api: Api) -> list[str]:
    return [request.url.query.decode() for request in api.asked]


def test_schedules_are_fetched_page_by_page_as_they_are_needed():
    first, second = {"items": [{"name": "a"}], "next_cursor": "a"}, {"items": [{"name": "b"}], "next_cursor": None}
    api = Api().on("GET /v1/schedules", first, second)

    found = a_client(api).schedules()

    assert next(found)["name"] == "a"
    assert len(api.asked) == 1
    assert [each["name"] for each in found] == ["b"]
    assert queries(api) == ["limit=200", "cursor=a&limit=200"]


def test_fires_end_at_the_limit():
    pages: list[dict[str, Any]] = [
        {"items": [{"due_at": "3"}, {"due_at": "2"}], "next_cursor": "c"},
        {"items": [{"due_at": "1"}], "next_cursor": "d"},
    ]
    api = Api().on("GET /v1/schedules/n/fires", *pages)

    assert [each["due_at"] for each in a_client(api).schedule_fires("n", limit=3)] == ["3", "2", "1"]
    assert queries(api) == ["limit=3", "cursor=c&limit=1"]


def test_a_run_has_a_key_of_its_own_and_a_name_cannot_leave_its_place():
    api = Api().on("POST /v1/schedules/../jobs/run", {"jobs": []})

    a_client(api).run_schedule("../jobs", parameters={"days": 7})
    a_client(api).run_schedule("../jobs")

    assert api.asked[0].url.raw_path == b"/v1/schedules/..%2Fjobs/run"
    assert len({request.headers["Idempotency-Key"] for request in api.asked}) == 2
    assert (api.body(0), api.body(1)) == ({"parameters": {"days": 7}}, {"parameters": {}})
