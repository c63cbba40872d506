"""Browsers: signing in, what pages of other sites may not do, and that no text of anybody's becomes part of a page."""

import asyncio
import http.client
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from app import login
from app.auth import CSRF_HEADER, proof_of
from levare.store.sessions import LASTS
from levare.store.tables import metrics
from levare.store.tables_access import sessions
from tests.end_to_end.serving import Api, refused

PAYLOADS = (Path(__file__).parent / "payloads.txt").read_text().splitlines()
PATHS = (Path(__file__).parent / "traversals.txt").read_text().splitlines()


@pytest.fixture
def browser(local_api: Api) -> Iterator[httpx.Client]:
    """Somebody who has signed in with the admin token."""
    with httpx.Client(base_url=local_api.url, timeout=20) as client:
        answer = client.post("/login", data={"token": local_api.settings.token_file.read_text()})
        assert answer.status_code == 303, answer.text
        yield client


def cookie(browser: httpx.Client) -> str:
    return browser.cookies["levare_session"]


def own(browser: httpx.Client, **more: str) -> dict[str, str]:
    """What a browser, and a page of ours, send with a change."""
    return {"Origin": str(browser.base_url).rstrip("/"), CSRF_HEADER: proof_of(cookie(browser)), **more}


def test_a_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_gets(local_api: Api):
    token = local_api.settings.token_file.read_text()

    answer = httpx.post(f"{local_api.url}/login", data={"token": token, "next": "/docs"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    said = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LASTS.total_seconds():.0f}"} <= set(said.split("; "))
    assert "Secure" not in said
    assert token not in said


def test_behind_tls_the_cookie_is_for_tls_and_this_host_only(local_api: Api):
    host = local_api.url.removeprefix("http://")
    data = {"token": local_api.settings.token_file.read_text()}

    said = httpx.post(f"{local_api.url}/login", data=data, headers={"Origin": f"https://{host}"}).headers["set-cookie"]

    assert said.startswith("__Host-levare=")
    assert "; Secure" in said


def test_a_wrong_token_is_told_on_the_page_and_sets_no_cookie(local_api: Api):
    answer = httpx.post(f"{local_api.url}/login", data={"token": "lv_wrong"})

    assert answer.status_code == 401
    assert "not valid" in answer.text
    assert "set-cookie" not in answer.headers
    assert "lv_wrong" not in answer.text


@pytest.mark.parametrize(
    "where", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "javascript:x", ""]
)
def test_nobody_is_sent_elsewhere_after_signing_in(local_api: Api, where: str):
    data = {"token": local_api.settings.token_file.read_text(), "next": where}

    assert httpx.post(f"{local_api.url}/login", data=data).headers["location"] == "/"


def test_a_session_reads_and_changes_what_its_token_may(browser: httpx.Client):
    assert browser.get("/v1/jobs").status_code == 200

    made = browser.post("/v1/jobs", json={"command": ["true"]}, headers=own(browser))

    assert made.json()["user"] == "admin"
    assert "admin" in browser.get("/login").text


@pytest.mark.parametrize(
    "change",
    [
        {CSRF_HEADER: ""},
        {CSRF_HEADER: "0" * 64},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_change_by_a_session_that_no_page_of_ours_has_sent_is_refused(
    local_api: Api, browser: httpx.Client, change: dict[str, str]
):
    answer = browser.post("/v1/jobs", json={"command": ["true"]}, headers=own(browser) | change)

    assert answer.status_code in (401, 403)
    assert local_api.count("jobs") == 0


def test_a_change_by_a_session_without_an_origin_is_refused(local_api: Api, browser: httpx.Client):
    headers = {CSRF_HEADER: proof_of(cookie(browser))}

    refused(browser.post("/v1/jobs", json={"command": ["true"]}, headers=headers), 403, "forbidden")
    headers["Sec-Fetch-Site"] = "same-origin"
    assert browser.post("/v1/jobs", json={"command": ["true"]}, headers=headers).status_code == 201
    assert local_api.count("jobs") == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_page_of_another_site_includes_is_not_asked_for_by_the_session(browser: httpx.Client, site: str):
    refused(browser.get("/v1/jobs", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}), 401, "unauthorized")
    assert browser.get("/v1/jobs").headers["cross-origin-resource-policy"] == "same-origin"


def test_signing_out_ends_the_session_and_asks_for_the_proof(browser: httpx.Client):
    kept = cookie(browser)
    origin = {"Origin": str(browser.base_url).rstrip("/")}
    [proof] = re.findall(r"name=csrf value='(\w+)'", browser.get("/login").text)

    refused(browser.post("/logout", data={"csrf": "x"}, headers=origin), 403, "forbidden")
    assert browser.post("/logout", data={"csrf": proof}, headers=origin).status_code == 303

    refused(browser.get("/v1/jobs", headers={"Cookie": f"levare_session={kept}"}), 401, "unauthorized")


def test_a_session_ends_with_its_token(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "anna"}).json()
    with httpx.Client(base_url=local_api.url) as anna:
        anna.post("/login", data={"token": made["token"]})
        assert anna.get("/v1/jobs").status_code == 200

        local_api.client.delete(f"/v1/tokens/{made['id']}")

        refused(anna.get("/v1/jobs"), 401, "unauthorized")


def test_a_session_ends_after_its_time(local_api: Api, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.keys.FRESH_SECONDS", 0.0)
    with local_api.database.writing() as connection:
        connection.execute(update(sessions).values(expires_at=datetime.now(UTC)))

    refused(browser.get("/v1/jobs"), 401, "unauthorized")
    assert "name=token" in browser.get("/login").text


def test_the_page_works_without_scripts_and_its_policy_allows_none(local_api: Api):
    answer = httpx.get(f"{local_api.url}/login?next=/docs")

    assert not re.search(r"<script|<link|<img|src=|\son\w+=|style=", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("name", "least"), [("ink", 4.5), ("soft", 4.5), ("act", 4.5), ("bad", 4.5), ("line", 3.0)])
def test_the_page_can_be_read_light_and_dark(name: str, least: float):
    """WCAG 2 AA: text 4.5, the borders of fields 3."""
    found = re.findall(r"--(\w+): (#[0-9a-f]{6})", login._STYLE)
    for scheme in (dict(found[:6]), dict(found[6:])):
        bright, dim = sorted((luminance(scheme[name]), luminance(scheme["paper"])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= least, (name, scheme)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_a_delete_from_another_site_cancels_nothing(local_api: Api, headers: dict[str, str]):
    job = local_api.submit()

    refused(local_api.client.delete(f"/v1/jobs/{job}", headers=headers), 403, "forbidden")
    assert local_api.get(f"/v1/jobs/{job}")["state"] == "waiting"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"origin": "http://evil.example"}, "Not from there."),
        ({"host": "evil.example", "origin": "http://evil.example"}, "Not from there."),
        ({"sec-fetch-site": "cross-site"}, "Not from there."),
        ({}, "A valid token is needed"),
        ({"origin": "http://127.0.0.1"}, "A valid token is needed"),
        ({"cookie": "levare_session=guess", "origin": "http://127.0.0.1"}, "A valid token is needed"),
    ],
)
def test_a_handshake_of_a_websocket_passes_the_same_door(local_api: Api, headers: dict[str, str], told: str):
    raw = [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1"} | headers).items()]
    scope = {"type": "websocket", "path": "/v1/live", "headers": raw, "client": ("127.0.0.1", 1), "state": {}}
    said: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    from app.main import create

    app = create(local_api.settings)
    asyncio.run(app(scope, receive, send))
    app.state.parts.database.dispose()

    assert said == [{"type": "websocket.close", "code": 1008, "reason": told}]


def test_there_are_a_hundred_payloads():
    assert len(set(PAYLOADS)) >= 100


def test_no_text_of_anybody_s_becomes_part_of_a_page(local_api: Api):
    """
    What is taken is answered as JSON or text that no browser takes for anything else; what is not is refused.

    As names of jobs, arguments, environments, projects, labels, filters, cursors, and where to go next.
    """
    local_api.join()
    for payload in PAYLOADS:
        answers = list(_everywhere(local_api, payload))

        for answer in answers:
            assert answer.status_code in (200, 201, 401, 404, 422), answer.text
            media = answer.headers["content-type"].partition(";")[0]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "script-src" not in answer.headers["content-security-policy"]
            assert "'unsafe" not in answer.headers["content-security-policy"]
            if media == "text/html":
                assert payload not in answer.text or not set("<>\"'") & set(payload)
            else:
                assert media in ("application/json", "application/problem+json", "text/plain")


def _everywhere(api: Api, payload: str) -> Iterator[httpx.Response]:
    client = api.client
    wish = {"command": ["echo", payload], "name": payload, "env": {"TEXT": payload}}
    yield client.post("/v1/jobs?dry_run=true", json=wish)
    yield client.post("/v1/jobs?dry_run=true", json=wish | {"project": payload, "require": {payload: payload}})
    yield client.get("/v1/jobs", params={"name": payload, "cursor": payload, payload: "1"})
    yield client.get("/login", params={"next": f"/{payload}"})


def test_a_log_and_metrics_full_of_markup_stay_text(local_api: Api):
    local_api.join()
    text = "\n".join(PAYLOADS).encode()
    job = local_api.submit(name=PAYLOADS[0])
    attempt = local_api.start(job)
    local_api.write(attempt, (0, text))
    names = {payload[:128]: 1.0 for payload in PAYLOADS}
    point = {"attempt_id": attempt, "offset": 0, "at": datetime.now(UTC), "stage": PAYLOADS[1], "values": names}
    with local_api.database.writing() as connection:
        connection.execute(insert(metrics), point)

    log = local_api.client.get(f"/v1/jobs/{job}/logs", headers={"Accept": "text/html"})
    shown = local_api.client.get(f"/v1/jobs/{job}", headers={"Accept": "text/html"})
    told = local_api.client.get(f"/v1/jobs/{job}/metrics", headers={"Accept": "text/html"})

    assert log.content == text
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert shown.json()["name"] == PAYLOADS[0]
    assert told.json()["items"][0]["values"] == names
    for answer in (shown, told):
        assert answer.headers["content-type"] == "application/json"
    for answer in (log, shown, told):
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_path_leads_out_of_what_there_is(local_api: Api):
    """Sent as they are: a client would tidy them up."""
    connection = http.client.HTTPConnection(local_api.url.removeprefix("http://"), timeout=20)
    headers = {"Authorization": local_api.client.headers["authorization"]}
    local_api.settings.home.joinpath("secret.txt").write_text("root:x:0:0:")
    job = local_api.submit()
    for path in PATHS:
        for place in ("/v1/jobs/{}/logs", f"/v1/jobs/{job}/{{}}", "/v1/jobs/{}", "/v1/families/{}", "/docs/{}"):
            connection.request("GET", place.format(path), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status in (400, 401, 404, 422), (place, path, answer.status, body)
            assert b"root:x:0:0:" not in body
    connection.close()
