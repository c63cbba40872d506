"""Forms of pages: each proves who has sent it, says what is wrong with it, and does no more than it has shown."""

import httpx
import pytest
from fastapi.routing import APIRoute

from app.auth import proof_of
from app.dashboard import acts
from tests.end_to_end.serving import Api

PERSON = {"Accept": "text/html"}
ACTS = sorted(route.path for route in acts.router.routes if isinstance(route, APIRoute))


def signed_in(api: Api) -> dict[str, str]:
    answer = api.client.post("/login", data={"token": api.settings.token_file.read_text()})
    api.client.cookies.clear()
    return {"Cookie": f"levare_session={answer.cookies['levare_session']}", "Origin": api.url, **PERSON}


def press(api: Api, path: str, **fields: str) -> httpx.Response:
    headers = signed_in(api)
    proof = proof_of(headers["Cookie"].partition("=")[2])
    return httpx.post(f"{api.url}/act/{path}", data={"csrf": proof, **fields}, headers=headers)


def declare(api: Api, name: str, weight: float) -> None:
    assert api.client.put(f"/v1/teams/{name}", json={"weight": weight}).is_success


def weight_of(api: Api, name: str) -> float:
    return api.get(f"/v1/teams/{name}")["weight"]


@pytest.mark.parametrize("path", ACTS)
def test_no_form_does_anything_without_the_proof_of_its_session(local_api: Api, path: str):
    job = local_api.submit()
    headers = signed_in(local_api)
    where = path.replace("{job_id}", job).replace("{number}", "1").replace("{name}", "hang")

    answer = httpx.post(f"{local_api.url}{where}", data={"csrf": "guessed"}, headers=headers)

    assert answer.status_code in (403, 404)
    assert local_api.get("/v1/jobs")["items"][0]["cancel_requested_at"] is None
    assert local_api.get("/v1/silences")["items"] == []


def test_going_back_is_exactly_what_was_shown_or_is_refused(local_api: Api):
    declare(local_api, "vision", 2.0)
    declare(local_api, "vision", 3.0)
    page = httpx.get(f"{local_api.url}/revisions/1/rollback", headers=signed_in(local_api)).text
    digest = page.partition('name="digest" value="')[2][:64]
    assert "Nothing has changed yet." in page

    declare(local_api, "vision", 4.0)
    late = press(local_api, "revisions/1/rollback", digest=digest)

    assert (late.status_code, weight_of(local_api, "vision")) == (409, 4.0)
    assert "has changed since this plan was shown" in late.text
    fresh = httpx.get(f"{local_api.url}/revisions/1/rollback", headers=signed_in(local_api)).text
    done = press(
        local_api, "revisions/1/rollback", digest=fresh.partition('name="digest" value="')[2][:64], reason="Oh."
    )
    assert (done.status_code, weight_of(local_api, "vision")) == (303, 2.0)
    newest = local_api.get("/v1/revisions")["items"][0]
    assert (newest["origin"], newest["reason"]) == ("rollback", "Oh.")


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("silences", {"rule": "hang", "hours": "2"}, "reason"),
        ("silences", {"rule": "hang", "hours": "-1", "reason": "x"}, "within a year"),
        ("silences", {"hours": "2", "reason": "x"}, "says of nothing what it is about"),
        ("jobs/{job}/priority", {"priority": "10"}, "at most 9"),
        ("jobs/{job}/priority", {"priority": "9" * 400}, "priority"),
        ("schedules/nothing/run", {}, "There is no schedule"),
    ],
)
def test_what_is_wrong_with_a_form_is_told_on_a_page(local_api: Api, path: str, fields: dict[str, str], said: str):
    answer = press(local_api, path.format(job=local_api.submit()), **fields)

    assert answer.status_code in (404, 409, 422), answer.text
    assert said in answer.text
    assert "<h1>" in answer.text


def test_the_menu_leads_only_where_one_may_go(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "eve", "teams": {"vision": "member"}}).json()
    page = httpx.get(f"{local_api.url}/", headers={**PERSON, "Authorization": f"Bearer {made['token']}"}).text

    assert 'href="/timeline"' in page
    assert 'href="/revisions"' not in page


def test_pages_of_a_team_name_nothing_of_another(local_api: Api):
    local_api.join(gpus=2)
    theirs = local_api.submit(team="nlp", name="theirs")
    local_api.start(theirs)
    local_api.submit(team="nlp", name="theirs-next", gpus=2)
    schedule = {"cron": "0 * * * *", "job": {"command": ["true"], "team": "nlp", "name": "theirs", "gpus": 1}}
    assert local_api.client.put("/v1/schedules/theirs", json=schedule).is_success
    made = local_api.client.post("/v1/tokens", json={"name": "eve", "teams": {"vision": "member"}}).json()
    headers = {**PERSON, "Authorization": f"Bearer {made['token']}"}

    for path in ("/timeline", "/timeline?by=team", "/timeline?by=node", "/schedules", "/teams", "/report", "/"):
        page = httpx.get(f"{local_api.url}{path}", headers=headers)
        assert page.status_code == 200
        assert "theirs" not in page.text, path
        assert "nlp" not in page.text, path
