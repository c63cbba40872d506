"""What happens, followed over the API: in order, from where one was, by teams, and by readers that are too slow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import insert
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app import news
from levare.client import Client
from levare.store.tables_news import news as table
from tests.end_to_end.serving import Api
from tests.fleet import eventually


@contextmanager
def following(api: Api, token: str | None = None, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a stream; it has begun when this has."""
    told = {"Accept": "text/event-stream", **headers} | ({"Authorization": f"Bearer {token}"} if token else {})
    with api.client.stream("GET", "/v1/events", headers=told, timeout=60) as answer:
        assert answer.status_code == 200
        yield events_in(answer)


def events_in(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield {"name": name} | json.loads(line.removeprefix("data: "))


def until(events: Iterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = []
    for event in events:
        found.append(event)
        if event["name"] == kind:
            return found
    raise AssertionError(f"no {kind} in {found}")


def test_what_happens_to_a_job_is_told_in_order_and_goes_on_where_one_was(api: Api):
    api.join()
    with following(api, **{"Last-Event-ID": "0-0"}) as events:
        job = api.submit(team="vision")
        begun = until(events, "levare.job.waiting")[-1]
    api.finish(api.start(job))
    with following(api, **{"Last-Event-ID": begun["id"]}) as events:
        rest = until(events, "levare.job.succeeded")

    assert (begun["source"], begun["team"], begun["specversion"]) == (f"/v1/jobs/{job}", "vision", "1.0")
    assert begun["data"] == {"before": None, "after": "waiting"}
    steps = [event["data"]["after"] for event in rest if event["subject"] == job]
    assert steps == ["placed", "starting", "running", "succeeded"]


def test_a_team_is_told_of_what_it_sees(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "bo", "teams": {"vision": "viewer"}}).json()
    local_api.submit(team="secret")
    own = local_api.submit(team="vision")

    with following(local_api, made["token"], **{"Last-Event-ID": "0-0"}) as events:
        told = until(events, "levare.job.waiting")

    assert [event["subject"] for event in told if event["type"].startswith("levare.job")] == [own]


def test_only_what_is_asked_for_is_told(local_api: Api):
    local_api.submit()
    local_api.client.post(
        "/v1/events",
        json={"specversion": "1.0", "id": "1", "source": "/here", "type": "there"},
        headers={"Content-Type": "application/cloudevents+json"},
    ).raise_for_status()
    asked = {"follow": "true", "type": "levare.event.received"}

    with local_api.client.stream(
        "GET", "/v1/events", params=asked, headers={"Last-Event-ID": "0-0"}, timeout=60
    ) as answer:
        first = next(events_in(answer))

    assert first["type"] == "levare.event.received"


def a_lot_happens(api: Api, many: int) -> None:
    row = {"mark": 0, "at": datetime.now(UTC), "kind": "node", "team": None, "before": None, "after": "ready"}
    with api.database.writing() as connection:
        connection.execute(insert(table), [row | {"name": f"{number:0200d}"} for number in range(many)])


def test_a_reader_that_is_too_slow_is_told_so_and_goes_on_with_what_happens_now(
    local_api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(news, "MOST_BEHIND", 1000)
    with following(local_api, **{"Last-Event-ID": "0-0"}) as events:
        local_api.submit()
        until(events, "levare.job.waiting")
        for _ in range(20):  # more than lies in the buffers of a connection, and nobody reads it
            a_lot_happens(local_api, 1500)
        told = behind(events, 30_000)
        local_api.submit(team="later")
        later = until(events, "levare.job.waiting")

    assert "resync" in {event["name"] for event in told}
    assert len(told) < 30_000, "what was too much was not sent"
    assert later[-1]["team"] == "later"


def behind(events: Iterator[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """All that is told up to the news of this number."""
    found = []
    for event in events:
        found.append(event)
        if int(event["id"].partition("-")[2]) > number:
            break
    return found


def test_whoever_asks_for_what_is_forgotten_is_told_so(local_api: Api):
    a_lot_happens(local_api, 10)
    with local_api.database.writing() as connection:
        connection.execute(table.delete().where(table.c.number < 8))

    with following(local_api, **{"Last-Event-ID": "0-2"}) as events:
        first = next(events)

    assert (first["name"], first["data"]["from"]) == ("resync", "0-2")


def test_a_stream_ends_when_its_token_is_revoked(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "bo", "teams": {"vision": "viewer"}}).json()

    with following(local_api, made["token"]) as events:
        local_api.client.delete(f"/v1/tokens/{made['id']}").raise_for_status()

        assert until(events, "revoked")[-1]["code"] == "unauthorized"
        assert next(events, None) is None, "nothing comes behind it"


def test_the_same_comes_over_a_websocket_until_the_token_is_revoked(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "bo"}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    url = local_api.url.replace("http", "ws")
    with connect(f"{url}/v1/events", additional_headers=headers, open_timeout=60) as socket:
        eventually(lambda: local_api.submit() and has_come(socket))

        local_api.client.delete(f"/v1/tokens/{made['id']}").raise_for_status()
        with pytest.raises(ConnectionClosed):
            list(socket)


def has_come(socket: Any) -> bool:
    try:
        return json.loads(socket.recv(1))["type"] == "levare.job.waiting"
    except TimeoutError:
        return False


def test_the_client_follows_what_happens_from_where_it_was(local_api: Api):
    first, second = local_api.submit(), local_api.submit()

    with Client(local_api.url, local_api.settings.token_file.read_text()) as client:
        begun = next(client.follow_events(type="levare.job.waiting", since="0-0"))
        behind = next(client.follow_events(type="levare.job.waiting", since=begun["id"]))

    assert (begun.get("subject"), behind.get("subject")) == (first, second)
