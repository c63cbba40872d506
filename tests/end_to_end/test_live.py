"""The live channel as a program meets it: who is let in, what comes, and when it ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.end_to_end.serving import Api


@contextmanager
def followed(api: Api, page: str, *, token: str = "", **headers: str) -> Iterator[ClientConnection]:
    headers["Authorization"] = f"Bearer {token}" if token else api.client.headers["Authorization"]
    address = f"{api.url.replace('http', 'ws', 1)}/v1/live"
    with connect(f"{address}?page={page}", additional_headers=headers, proxy=None, compression=None) as socket:
        yield socket


def told(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(socket.recv(timeout=30))


def code_at_end(socket: ClientConnection) -> int | None:
    """Read on to the end."""
    try:
        while True:
            told(socket)
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


def token_of(api: Api, team: str) -> tuple[str, str]:
    made = api.client.post("/v1/tokens", json={"name": f"of-{team}", "teams": {team: "viewer"}}).json()
    return made["id"], made["token"]


def refused(api: Api, page: str, **how: str) -> bool:
    try:
        with followed(api, page, **how):
            return False
    except InvalidStatus as error:
        return error.response.status_code == 403


def test_first_comes_all_and_then_what_has_changed(api: Api):
    first = api.submit(name="first")
    with followed(api, "/queue") as socket:
        whole = told(socket)
        second = api.submit(name="second")
        delta = told(socket)

    assert whole["lists"]["jobs"] == [f"jobs:{first}"]
    assert delta["n"] == whole["n"] + 1
    assert f"jobs:{second}" in delta["set"]
    assert set(delta["lists"]["jobs"]) == {f"jobs:{first}", f"jobs:{second}"}


def test_who_comes_later_gets_all_at_the_same_number(local_api: Api):
    job = local_api.submit()
    with followed(local_api, "/queue") as early:
        whole = told(early)
        with followed(local_api, "/queue") as late:
            assert told(late) == {**whole, "whole": True}
    assert f"jobs:{job}" in whole["set"]


def test_a_page_of_another_site_is_refused(local_api: Api):
    assert refused(local_api, "/", Origin="https://evil.example")
    assert not refused(local_api, "/", Origin=local_api.url)


def test_without_a_token_or_with_a_wrong_one_nobody_is_let_in(local_api: Api):
    assert refused(local_api, "/", token="wrong")


@pytest.mark.parametrize("page", ["/nothing", "/v1/jobs", "//"])
def test_what_is_no_page_is_refused(local_api: Api, page: str):
    assert refused(local_api, page)


def test_a_page_that_cannot_be_made_says_why(local_api: Api):
    with followed(local_api, "/jobs/nothing") as socket:
        assert told(socket)["trouble"].startswith("There is no job 'nothing'.")


def test_a_team_sees_its_own_and_nothing_else(local_api: Api):
    ours, theirs = local_api.submit(team="vision", name="ours"), local_api.submit(team="nlp", name="theirs")
    _, secret = token_of(local_api, "vision")

    assert refused(local_api, f"/jobs/{theirs}", token=secret)
    assert not refused(local_api, f"/jobs/{ours}", token=secret)
    with followed(local_api, "/queue", token=secret) as socket:
        whole = told(socket)
    assert whole["lists"]["jobs"] == [f"jobs:{ours}"]
    assert "theirs" not in json.dumps(whole)
    assert theirs not in json.dumps(whole)


def test_a_token_that_is_revoked_ends_it(local_api: Api):
    token_id, secret = token_of(local_api, "vision")
    with followed(local_api, "/", token=secret) as socket:
        told(socket)
        local_api.client.delete(f"/v1/tokens/{token_id}")
        code = code_at_end(socket)

    assert code == 1008


def test_a_browser_finds_its_way_and_a_program_its_problem(local_api: Api):
    person, program = {"Accept": "text/html"}, {"Accept": "application/json"}
    del local_api.client.headers["Authorization"]

    sent = local_api.client.get("/queue?state=ended", headers=person)
    told = local_api.client.get("/queue", headers=program)

    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fqueue%3Fstate%3Dended")
    assert (told.status_code, told.json()["code"]) == (401, "unauthorized")


def test_assets_are_kept_for_ever_and_compressed(local_api: Api):
    page = local_api.client.get("/", headers={"Accept": "text/html"})
    [style] = [part for part in page.text.split('"') if part.endswith("page.css")]

    answer = local_api.client.get(style)

    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert local_api.client.get(style.replace("/assets/", "/assets/x")).status_code == 404
