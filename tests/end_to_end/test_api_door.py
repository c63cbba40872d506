import http.client
import json
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app import answers
from levare import model
from levare.decide.families import Family
from levare.decide.health import Exclusion
from levare.store import families, fleet, health, leases, nodes
from tests.end_to_end.serving import Api, refused, serving

OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs")


@pytest.fixture
def stranger(local_api: Api) -> Iterator[httpx.Client]:
    """Somebody without a token."""
    with httpx.Client(base_url=local_api.url, timeout=60) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("path", ["/", "/v1/jobs", "/v1/nodes", "/v1/tokens", "/v1/nothing", "/docs/", "//docs"])
def test_without_a_valid_token_everything_is_closed(stranger: httpx.Client, path: str):
    for headers in ({}, bearer("wrong"), {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = stranger.request("GET", path, headers=headers)

        refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_body_is_not_looked_at_without_a_token(stranger: httpx.Client):
    refused(stranger.post("/v1/jobs", content="{"), 401, "unauthorized")


@pytest.mark.parametrize("path", OPEN)
def test_what_tells_nothing_is_open(stranger: httpx.Client, path: str):
    assert stranger.get(path).status_code == 200


def test_a_token_lives_until_it_is_revoked_or_expires(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "laptop"})
    secret, token_id = made.json()["token"], made.json()["id"]

    assert (made.status_code, secret[:3]) == (201, "lv_")
    assert local_api.client.get("/v1/jobs", headers=bearer(secret)).status_code == 200
    assert secret not in local_api.client.get("/v1/tokens").text
    assert local_api.client.delete(f"/v1/tokens/{token_id}").status_code == 200
    refused(local_api.client.get("/v1/jobs", headers=bearer(secret)), 401, "unauthorized")

    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    expired = local_api.client.post("/v1/tokens", json={"name": "old", "expires_at": past}).json()["token"]
    assert (
        "expired" in refused(local_api.client.get("/v1/jobs", headers=bearer(expired)), 401, "unauthorized")["detail"]
    )


def test_a_token_of_a_role_that_does_not_exist_is_not_made(local_api: Api):
    refused(local_api.client.post("/v1/tokens", json={"name": "x", "role": "viewer"}), 422, "invalid-request")
    refused(local_api.client.post("/v1/tokens", json={"name": "admin"}), 409, "conflict")
    assert local_api.count("tokens") == 1


def test_a_dry_run_makes_and_revokes_no_token(local_api: Api):
    made = local_api.client.post("/v1/tokens?dry_run=true", json={"name": "laptop"})
    [admin] = local_api.get("/v1/tokens")["items"]
    refused(local_api.client.delete(f"/v1/tokens/{admin['id']}?dry_run=true"), 409, "conflict")

    assert (made.status_code, made.json()["token"], local_api.count("tokens")) == (200, None, 1)


def test_a_node_is_drained_and_resumed(api: Api):
    api.join()

    tried = api.client.put("/v1/nodes/n1/state?dry_run=true", json={"state": "draining"}).json()
    assert (tried["state"], api.get("/v1/nodes/n1")["state"]) == ("draining", "ready")
    assert api.client.put("/v1/nodes/n1/state", json={"state": "draining"}).json()["state"] == "draining"
    assert api.get("/v1/nodes", fields="name,state") == {"items": [{"name": "n1", "state": "draining"}]}
    assert api.client.put("/v1/nodes/n1/state", json={"state": "ready"}).json()["state"] == "ready"
    refused(api.client.put("/v1/nodes/n1/state", json={"state": "lost"}), 422, "invalid-request")
    refused(api.client.put("/v1/nodes/n2/state", json={"state": "ready"}), 404, "not-found")
    refused(api.client.get("/v1/nodes/n2/samples"), 404, "not-found")


def test_resuming_a_node_takes_back_what_was_excluded(api: Api):
    api.join()
    now = datetime.now(UTC)
    with api.database.writing() as connection:
        for device in (None, "n1-0"):
            exclusion = Exclusion("n1", device, now + timedelta(hours=1), "Jobs failed on it.", ())
            assert health.exclude(connection, exclusion, now=now)

    api.client.put("/v1/nodes/n1/state?dry_run=true", json={"state": "ready"}).raise_for_status()
    with api.database.reading() as connection:
        (node,) = fleet.load_nodes(connection, now=now)
    assert (node.note, node.devices[0].blocked) == ("Jobs failed on it.", "Jobs failed on it.")
    assert api.client.put("/v1/nodes/n1/state", json={"state": "ready"}).json()["state"] == "ready"
    with api.database.reading() as connection:
        (node,) = fleet.load_nodes(connection, now=datetime.now(UTC))
    assert (node.note, node.devices[0].blocked) == ("", "")


def test_a_held_family_is_listed_and_released(api: Api):
    name, until = "default/default/a b/c%", datetime.now(UTC) + timedelta(hours=1)
    with api.database.writing() as connection:
        held = Family(name, (), 5, until, "5 jobs failed.")
        families.keep(connection, [held, Family("z", (60.0,))], now=datetime.now(UTC))

    page = api.get("/v1/families", limit=1)
    assert ([family["name"] for family in page["items"]], page["next_cursor"]) == ([name], name)
    assert api.get("/v1/families", cursor=name)["items"][0]["typical_seconds"] == 60
    assert api.get("/v1/families", held="true", fields="held_reason")["items"] == [{"held_reason": "5 jobs failed."}]
    path = f"/v1/families/{quote(name, safe='')}"
    assert api.client.delete(f"{path}/hold?dry_run=true").json()["held_until"] is None
    assert api.get(path)["held_until"]
    assert api.client.delete(f"{path}/hold").json()["held_until"] is None
    assert api.get("/v1/families", held="true")["items"] == []
    refused(api.client.delete("/v1/families/nothing/hold"), 404, "not-found")


def test_a_lost_node_cannot_be_drained(api: Api):
    api.join()
    with api.database.writing() as connection:
        nodes.declare_lost(connection, {"n1": 1}, now=datetime.now(UTC))

    refused(api.client.put("/v1/nodes/n1/state", json={"state": "draining"}), 409, "conflict")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "8.8.8.8", "", "[", "127.0.0.1.evil.example"])
def test_another_name_for_this_server_is_refused(local_api: Api, host: str):
    for path in ("/v1/jobs", "/healthz"):
        refused(local_api.client.get(path, headers={"Host": host}), 421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8420", "[::1]:8420"])
def test_names_of_loopback_are_ours(local_api: Api, host: str):
    assert local_api.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


def test_beyond_loopback_addresses_are_ours_and_foreign_names_are_not(
    tmp_path: Path, make_database_url: Callable[[str], str]
):
    with serving(tmp_path, make_database_url("sqlite"), LEVARE_HOST="0.0.0.0", LEVARE_INSECURE="1") as api:
        assert api.client.get("/v1/jobs", headers={"Host": "192.0.2.7:8420"}).status_code == 200
        refused(api.client.get("/v1/jobs", headers={"Host": "evil.example"}), 421, "misdirected")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_a_page_of_another_site_may_change_nothing(local_api: Api, origin: str):
    answer = local_api.client.post("/v1/jobs", json={"command": ["true"]}, headers={"Origin": origin})

    refused(answer, 403, "forbidden")
    assert local_api.count("jobs") == 0


def test_a_page_of_our_own_may(local_api: Api):
    answer = local_api.client.post("/v1/jobs", json={"command": ["true"]}, headers={"Origin": local_api.url})

    assert answer.status_code == 201
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_of_ten_megabytes_is_refused_with_the_limit(local_api: Api):
    problem = refused(local_api.client.post("/v1/jobs", json={"command": ["x" * 10_000_000]}), 413, "too-large")

    assert problem["errors"][0]["limit"] == 1_048_576
    assert local_api.count("jobs") == 0


def test_a_body_without_end_is_refused_before_it_is_read(local_api: Api):
    """The client sends chunks until it is answered, and is answered soon."""
    connection = http.client.HTTPConnection(local_api.url.removeprefix("http://"), timeout=10)
    token = local_api.client.headers["authorization"]
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json", "Authorization": token}
    connection.putrequest("POST", "/v1/jobs")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    for _ in range(20):
        connection.send(chunk)
    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())["code"]) == (413, "too-large")
    connection.close()


@pytest.mark.parametrize("media", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_says_it_is_no_json_is_refused(local_api: Api, media: str):
    answer = local_api.client.post("/v1/jobs", content='{"command": ["true"]}', headers={"Content-Type": media})

    refused(answer, 415, "unsupported-media-type")
    assert local_api.count("jobs") == 0


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/nodes", {"GET", "HEAD"}),
        ("OPTIONS", "/v1/jobs", {"GET", "HEAD", "POST"}),
        ("HEAD", "/v1/simulations", {"POST"}),
    ],
)
def test_a_method_that_a_path_does_not_know_is_told_which_it_knows(
    local_api: Api, method: str, path: str, allowed: set[str]
):
    answer = local_api.client.request(method, path)

    if method == "HEAD":
        assert (answer.status_code, answer.text) == (405, "")
    else:
        refused(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/healthz", "/v1/jobs", "/", "/docs", "/v1/events?follow=true"])
def test_a_head_is_that_of_a_get_without_its_body(local_api: Api, path: str):
    with local_api.client.stream("GET", path) as got:
        answer = local_api.client.head(path)

        assert (answer.status_code, answer.text) == (got.status_code, "")
        for name in ("content-type", "content-length", "cache-control", "x-content-type-options"):
            assert answer.headers.get(name) == got.headers.get(name), name
    assert local_api.client.head("/v1/jobs/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/nothing", "/v1/jobs/", "/docs/", "/redoc", "/%00"])
def test_a_path_that_is_nothing_is_a_problem_too(local_api: Api, path: str):
    refused(local_api.client.get(path), 404, "not-found")


def test_what_fails_inside_is_a_problem_that_tells_no_secret(local_api: Api, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("app.jobs.views.job", fail)

    answer = local_api.client.get("/v1/jobs/abcdefghjk")

    refused(answer, 500, "error")
    assert "hunter2" not in answer.text


def test_whoever_looks_hears_that_no_beat_decides(local_api: Api):
    def beat() -> str:
        answer = local_api.client.get("/readyz")
        assert answer.status_code == 200
        return answer.json()["beat"]

    assert beat() == "has never decided"
    with local_api.database.writing() as connection:
        now = datetime.now(UTC)
        leases.take(connection, leases.BEAT, owner="a", seen=None, now=now)
    assert beat() == "ok"
    with local_api.database.writing() as connection:
        leases.renew(connection, leases.BEAT, owner="a", epoch=1, now=now - timedelta(minutes=1))

    assert re.fullmatch(r"has decided nothing for 6\d s", beat())


def test_a_database_that_is_gone_is_told_apart_from_a_failure(local_api: Api):
    with local_api.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO gone")

    refused(local_api.client.get("/v1/jobs"), 503, "unavailable")
    assert local_api.client.get("/readyz").status_code == 503
    assert local_api.client.get("/readyz").json()["database"] != "ok"
    assert local_api.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/nothing", "/healthz", "/docs", "/openapi.json"])
def test_every_answer_is_guarded_against_browsers(local_api: Api, path: str):
    headers = local_api.client.get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_the_docs_are_one_page_that_loads_nothing_and_names_every_operation(local_api: Api):
    page, document = local_api.client.get("/docs").text, local_api.get("/openapi.json")

    assert not re.search(r"<script|<link|<img|src=|@import|url\(|href=.https?://", page)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f"id='{operation['operationId']}'" in page


def test_every_field_and_parameter_is_described_or_shown_by_an_example(local_api: Api):
    document = local_api.get("/openapi.json")
    fields = [
        (name, key, field)
        for name, schema in document["components"]["schemas"].items()
        for key, field in schema.get("properties", {}).items()
    ]
    parameters = [
        parameter
        for methods in document["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
    ]

    told = ("description", "examples", "$ref", "enum", "items", "anyOf", "const")
    assert [(name, key) for name, key, field in fields if not any(word in field for word in told)] == []
    assert [parameter["name"] for parameter in parameters if "description" not in parameter] == []
    requests = [field for name, _, field in fields if name == "JobRequest"]
    assert all("description" in field for field in requests)


def test_the_states_in_the_document_are_those_of_the_model():
    assert answers.JobState.__args__ == model.JOB_STATES
    assert answers.AttemptState.__args__ == model.ATTEMPT_STATES


def test_the_admin_token_is_for_its_owner_only(local_api: Api):
    assert stat.S_IMODE(local_api.settings.token_file.stat().st_mode) == 0o600
