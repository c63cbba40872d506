"""Requests with an idempotency key: made once, answered alike, whatever becomes of the process in between."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from app import once
from levare.store import answered
from levare.store.answered import Key
from levare.store.engine import Database
from levare.store.tables_answers import answers
from tests.authorizing import LATER
from tests.end_to_end.serving import Api, refused, serving
from tests.fleet import eventually

TRUE = {"command": ["true"]}
MAKING: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "job": ("/v1/jobs", TRUE, "jobs"),
    "pipeline": ("/v1/pipelines", {"jobs": [TRUE | {"step": "a"}]}, "pipelines"),
    "run": ("/v1/schedules/nightly/run", {}, "jobs"),
    "rerun": ("/v1/jobs/{job}/reruns", {}, "jobs"),
    "silence": ("/v1/silences", {"rule": "hang", "ends_at": LATER, "reason": "Known."}, "silences"),
    "token": ("/v1/tokens", {"name": "laptop", "role": "metrics"}, "tokens"),
    "invitation": ("/v1/nodes/invitations", {}, "invitations"),
    "test of a channel": ("/v1/channels/ops/test", {}, "deliveries"),
}
"""What a POST makes: where, by what, and in which table."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, make_database_url: Any) -> Iterator[Api]:
    """One for all that is made, with something to run and to try."""
    with serving(tmp_path_factory.mktemp("once") / "home", make_database_url("sqlite")) as api:
        api.client.put("/v1/schedules/nightly", json={"cron": "0 3 * * *", "job": TRUE}).raise_for_status()
        hook = {"webhook": {"url": "https://hooks.example.org/levare"}}
        api.client.put("/v1/channels/ops", json=hook).raise_for_status()
        yield api


def post(api: Api, path: str, key: str, **body: Any) -> httpx.Response:
    return api.client.post(path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("what", MAKING)
def test_what_is_asked_for_twice_is_made_once_and_answered_alike(shared: Api, what: str):
    path, body, table = MAKING[what]
    path = path.format(job=shared.submit()) if "{job}" in path else path
    before = shared.count(table)

    first, again = (post(shared, path, what.replace(" ", "-"), **body) for _ in range(2))

    assert first.status_code in (201, 202), first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Location") == first.headers.get("Location")
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert shared.count(table) == before + 1


@pytest.mark.parametrize(("what", "field"), [("token", "token"), ("invitation", "code")])
def test_a_secret_is_told_again_and_kept_nowhere(shared: Api, what: str, field: str):
    path, body, _ = MAKING[what]
    body = body | ({"name": "again"} if what == "token" else {})

    first, again = (post(shared, path, f"secret-{what}", **body).json()[field] for _ in range(2))

    assert first == again
    with shared.database.reading() as connection:
        kept = connection.execute(select(answers.c.body)).scalars().all()
    assert not [text for text in kept if first in text]
    other = post(shared, path, f"other-{what}", **(body | ({"name": "other"} if what == "token" else {})))
    assert other.json()[field] != first


def test_a_key_is_good_for_one_request(api: Api):
    first = post(api, "/v1/jobs", "k", **TRUE)

    other_body = post(api, "/v1/jobs", "k", **TRUE, gpus=1)
    other_path = post(api, "/v1/pipelines", "k", jobs=[TRUE | {"step": "a"}])
    same = api.client.post(
        "/v1/jobs",
        content=b'{ "command" : ["true"] }',
        headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
    )

    refused(other_body, 422, "idempotency-mismatch")
    refused(other_path, 422, "idempotency-mismatch")
    assert same.content == first.content, "however its JSON is written"
    assert (api.count("jobs"), api.count("pipelines")) == (1, 0)


def test_a_repeat_is_answered_as_the_first_although_much_has_happened_since(api: Api):
    body = {**TRUE, "deadline": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    first = post(api, "/v1/jobs", "k", **body)
    api.join(gpus=0)
    api.finish(api.start(first.json()["id"]))

    again = post(api, "/v1/jobs", "k", **body)

    assert again.content == first.content


def test_another_tokens_key_is_another_key(api: Api):
    token = api.client.post("/v1/tokens", json={"name": "bert"}).json()["token"]
    own = post(api, "/v1/jobs", "k", **TRUE).json()["id"]

    other = api.client.post(
        "/v1/jobs", json=TRUE, headers={"Idempotency-Key": "k", "Authorization": f"Bearer {token}"}
    ).json()["id"]

    assert own != other


def test_twenty_with_one_key_at_once_make_one_job(api: Api):
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda _: post(api, "/v1/jobs", "k", **TRUE), range(20)))

    assert len({answer.content for answer in found}) == 1
    assert api.count("jobs") == 1


def test_what_was_refused_has_not_used_the_key(api: Api):
    nothing = post(api, "/v1/schedules/nightly/run", "k")
    api.client.put("/v1/schedules/nightly", json={"cron": "0 3 * * *", "job": TRUE})

    refused(nothing, 404, "not-found")
    assert post(api, "/v1/schedules/nightly/run", "k").status_code == 201


def test_after_a_day_a_key_is_a_new_one(api: Api):
    first = post(api, "/v1/jobs", "k", **TRUE).json()["id"]
    with api.database.writing() as connection:
        connection.execute(update(answers).values(created_at=datetime.now(UTC) - timedelta(hours=25)))

    second = post(api, "/v1/jobs", "k", **TRUE, gpus=1).json()["id"]

    assert first != second
    assert post(api, "/v1/jobs", "k", **TRUE, gpus=1).json()["id"] == second


def test_a_repeat_while_the_first_is_being_answered_is_told_so(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as threads:
        if api.database.is_sqlite:
            with api.database.writing():  # nobody else writes meanwhile
                first = threads.submit(post, api, "/v1/jobs", "k", **TRUE)
                eventually(lambda: once._FLIGHTS._turns)
                early = post(api, "/v1/jobs", "k", **TRUE)
        else:
            other = Database(api.settings.database)
            with api.database.reading() as connection:
                token_id = (
                    connection.execute(select(answers.c.token_id)).scalar() or api.get("/v1/tokens")["items"][0]["id"]
                )
            with other.writing() as connection:  # another process answers it
                answered.claim(connection, Key(token_id, "k", "d"), now=datetime.now(UTC))
                early = post(api, "/v1/jobs", "k", **TRUE)
                connection.rollback()
            other.dispose()
            first = threads.submit(post, api, "/v1/jobs", "k", **TRUE)
    refused(early, 409, "in-flight")

    assert post(api, "/v1/jobs", "k", **TRUE).content == first.result().content
    assert api.count("jobs") == 1


def test_another_process_answers_a_repeat_as_the_one_before_it(tmp_path: Path, database_url: str):
    made = []
    for _ in range(2):
        with serving(tmp_path / "home", database_url) as api:
            made.append(post(api, "/v1/tokens", "k", name="laptop").content)

    assert made[0] == made[1]
