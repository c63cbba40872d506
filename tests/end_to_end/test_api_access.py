"""What a token of a team may see and do, how long it opens anything, and how much it may ask."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import connection, keys, watches
from levare.client import Client
from levare.store import tokens
from levare.store.audit import BEAT
from levare.store.engine import Database
from tests.end_to_end.serving import Api, refused, serving
from tests.fleet import eventually

Join = Callable[..., httpx.Client]


@pytest.fixture
def join(api: Api) -> Iterator[Join]:
    """Somebody with a new token: `join(vision="member")`."""
    made: list[httpx.Client] = []

    def join(name: str = "", *, role: str | None = None, **teams: str) -> httpx.Client:
        name = name or f"of-{'-'.join(teams)}-{len(made)}"
        secret = api.client.post("/v1/tokens", json={"name": name, "role": role, "teams": teams}).json()["token"]
        made.append(httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {secret}"}, timeout=20))
        return made[-1]

    yield join
    for client in made:
        client.close()


def revoke(api: Api, name: str) -> None:
    """As another process does it."""
    with api.database.writing() as connection:
        [token] = [row for row in tokens.tokens(connection) if row["name"] == name]
        tokens.revoke(connection, token["id"], actor=BEAT, now=datetime.now(UTC))


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def test_lists_hold_what_one_may_see_and_their_pages_are_full(api: Api, join: Join):
    for number in range(6):
        api.submit(name=f"job-{number}", team="vision" if number % 2 else "nlp")
    anna = join(vision="viewer")

    page = anna.get("/v1/jobs", params={"limit": 2})
    rest = anna.get("/v1/jobs", params={"limit": 2, "cursor": page.json()["next_cursor"]})

    assert names(page) + names(rest) == ["job-5", "job-3", "job-1"]
    assert names(anna.get("/v1/jobs", params={"team": "nlp"})) == []
    assert names(anna.get("/v1/teams")) == ["vision"]


def test_pages_of_what_is_declared_go_on_behind_what_is_hidden(api: Api, join: Join):
    for number, team in enumerate(["nlp", "vision", "nlp", "vision", "vision"]):
        body = {"cron": "0 3 * * *", "job": {"command": ["true"], "team": team}}
        assert api.client.put(f"/v1/schedules/s{number}", json=body).is_success
    anna = join(vision="viewer")

    page = anna.get("/v1/schedules", params={"limit": 2})
    rest = anna.get("/v1/schedules", params={"limit": 2, "cursor": page.json()["next_cursor"]})

    assert (names(page), names(rest), rest.json()["next_cursor"]) == (["s1", "s3"], ["s4"], None)


def test_what_a_person_may_is_what_the_teams_say_of_their_members_now(api: Api, join: Join):
    ada = join("ada", role="team")
    other = join("ben", nlp="member")
    assert ada.get("/v1/jobs").status_code == 403
    job = {"command": ["true"], "team": "vision"}

    api.client.put("/v1/teams/vision", json={"members": {"ada": "member", "ben": "admin"}}).raise_for_status()

    eventually(lambda: ada.post("/v1/jobs", json=job).status_code == 201)
    assert ada.post("/v1/jobs", json=job | {"team": "nlp"}).status_code == 403
    assert other.post("/v1/jobs", json=job).status_code == 403  # one with teams of its own has these
    api.client.put("/v1/teams/vision", json={"members": {"ada": "viewer"}}).raise_for_status()
    eventually(lambda: ada.post("/v1/jobs", json=job).status_code == 403)
    assert ada.get("/v1/jobs").json()["items"]
    api.client.put("/v1/teams/vision", json={}).raise_for_status()
    eventually(lambda: ada.get("/v1/jobs").status_code == 403)


def test_only_the_fleet_makes_tokens_whose_teams_say_what_they_may(join: Join):
    boss = join("boss", nlp="admin")

    answer = boss.post("/v1/tokens", json={"name": "ada", "role": "team"})

    refused(answer, 403, "forbidden")


def test_somebody_of_two_teams_has_his_role_in_each(api: Api, join: Join):
    anna = join(vision="member", nlp="viewer")
    theirs = api.submit(team="nlp", name="theirs")

    assert anna.post("/v1/jobs", json={"command": ["true"], "team": "vision"}).status_code == 201
    assert anna.get(f"/v1/jobs/{theirs}").json()["name"] == "theirs"
    refused(anna.delete(f"/v1/jobs/{theirs}"), 403, "forbidden")


def test_a_pipeline_of_two_teams_is_for_those_who_are_in_both(api: Api, join: Join):
    steps = [{"step": team, "command": ["true"], "team": team} for team in ("vision", "nlp")]
    made = api.client.post("/v1/pipelines", json={"jobs": steps}).json()["id"]

    refused(join(vision="admin").get(f"/v1/pipelines/{made}"), 404, "not-found")
    refused(join(vision="member").post("/v1/pipelines", json={"jobs": steps}), 403, "forbidden")
    assert join(vision="member", nlp="member").delete(f"/v1/pipelines/{made}").status_code == 202


def test_of_the_queue_ahead_a_member_learns_how_long_it_is_and_no_names(api: Api, join: Join):
    api.join(gpus=1)
    api.start(api.submit(team="vision", gpus=1))
    first = api.submit(team="nlp", gpus=1, priority=9, name="hush-waits")
    own = api.submit(team="vision", gpus=1, name="own")

    told = join(vision="member").get(f"/v1/jobs/{own}/why")

    assert told.json()["jobs_ahead"] == 1
    assert told.json()["ahead"] == []
    assert "hush" not in told.text
    assert first not in told.text
    assert first in api.client.get(f"/v1/jobs/{own}/why").text


def test_a_node_tells_a_member_what_is_free_and_which_attempts_of_his_teams_run(api: Api, join: Join):
    api.join(gpus=2)
    theirs, own = (api.start(api.submit(team=team, gpus=1)) for team in ("nlp", "vision"))

    node = join(vision="viewer").get("/v1/nodes/n1").json()

    assert node["attempts"] == [own]
    assert node["cpus_free"] == api.get("/v1/nodes/n1")["cpus_free"]
    assert theirs in api.get("/v1/nodes/n1")["attempts"]


def test_a_job_of_another_team_cannot_be_needed(api: Api, join: Join):
    theirs = api.submit(team="nlp")

    answer = join(vision="member").post("/v1/jobs", json={"command": ["true"], "team": "vision", "needs": [theirs]})

    refused(answer, 422, "unknown-needs")


@pytest.mark.parametrize(
    "when",
    [
        {"ended": {"team": "nlp"}},
        {"ended": {"name": "train"}},
        {"metric": {"family": "nlp/a/b", "metric": "loss", "above": 1}},
        {"absence": {"schedule": "nightly", "for_seconds": 60}},
        {"files": {"path": "/etc/*"}},
    ],
)
def test_a_trigger_of_a_team_looks_at_no_runs_but_its_own(api: Api, join: Join, when: dict[str, Any]):
    body = {"when": when, "job": {"command": ["true"], "team": "vision"}}

    refused(join(vision="admin").put("/v1/triggers/spy", json=body), 403, "forbidden")
    assert api.client.put("/v1/triggers/spy?dry_run=true", json=body).is_success


def test_what_is_declared_moves_to_no_team_that_one_does_not_administer(join: Join):
    anna = join(vision="admin", nlp="member")
    body = {"cron": "0 3 * * *", "job": {"command": ["true"], "team": "vision"}}

    assert anna.put("/v1/schedules/own", json=body).is_success
    body["job"] = {"command": ["true"], "team": "nlp"}
    refused(anna.put("/v1/schedules/own", json=body), 403, "forbidden")
    refused(anna.put("/v1/schedules/other", json=body), 403, "forbidden")


def test_an_admin_of_a_team_divides_what_the_fleet_has_given_it(api: Api, join: Join):
    given = {"weight": 2.0, "quota": {"gpus": 4}}
    assert api.client.put("/v1/teams/vision", json=given).is_success
    anna = join(vision="admin")

    assert anna.put("/v1/teams/vision", json=given | {"users": {"bert": {"gpus": 1}}}).is_success
    for greedy in ({"weight": 9.0}, {"quota": {"gpus": 64}}):
        refused(anna.put("/v1/teams/vision", json=given | greedy), 403, "forbidden")
    assert api.get("/v1/teams/vision")["quota"]["gpus"] == 4


def test_an_admin_of_a_team_makes_tokens_of_it_and_of_nothing_else(join: Join):
    anna = join("anna", vision="admin")
    join("other", nlp="viewer")
    join("both", nlp="viewer", vision="viewer")

    made = anna.post("/v1/tokens", json={"name": "bert", "teams": {"vision": "member"}})

    assert made.status_code == 201
    for wish in ({"teams": {"nlp": "viewer"}}, {}, {"role": "metrics"}, {"role": "node", "teams": {"vision": "admin"}}):
        refused(anna.post("/v1/tokens", json={"name": "more", **wish}), 403, "forbidden")
    assert names(anna.get("/v1/tokens")) == ["anna", "bert"]
    assert anna.delete(f"/v1/tokens/{made.json()['id']}").is_success


def test_a_token_that_contradicts_itself_is_refused(local_api: Api):
    wish = {"name": "odd", "role": "admin", "teams": {"vision": "viewer"}}

    refused(local_api.client.post("/v1/tokens", json=wish), 422, "contradiction")


def test_a_role_that_nobody_knows_opens_nothing(local_api: Api):
    secret = tokens.new_secret()
    made = {"token_id": "odd", "secret": secret, "name": "odd", "expires_at": None, "actor": BEAT}
    with local_api.database.writing() as connection:
        tokens.create(connection, **made, role="emperor", teams={"vision": "king"}, now=datetime.now(UTC))
    headers = {"Authorization": f"Bearer {secret}"}

    refused(local_api.client.get("/v1/jobs", headers=headers), 403, "forbidden")
    refused(local_api.client.get("/v1/teams/vision", headers=headers), 404, "not-found")


def test_a_token_that_another_process_revokes_opens_nothing_within_a_second(api: Api, join: Join):
    anna = join("anna", vision="viewer")
    assert anna.get("/v1/jobs").status_code == 200

    revoke(api, "anna")

    eventually(lambda: anna.get("/v1/jobs").status_code == 401, within=30)
    assert keys.FRESH_SECONDS + watches.EVERY_SECONDS < 1


def test_a_token_that_is_revoked_here_opens_nothing_at_once(local_api: Api):
    made = local_api.client.post("/v1/tokens", json={"name": "anna"}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert local_api.client.get("/v1/jobs", headers=headers).status_code == 200

    local_api.client.delete(f"/v1/tokens/{made['id']}")

    refused(local_api.client.get("/v1/jobs", headers=headers), 401, "unauthorized")


def test_a_stream_ends_with_its_token(api: Api, join: Join):
    job = api.submit(team="vision")
    with join("anna", vision="viewer").stream("GET", f"/v1/jobs/{job}/logs?follow=true") as stream:
        assert stream.status_code == 200
        revoke(api, "anna")
        said = stream.read()

    assert b"event: revoked" in said
    assert b'"code": "unauthorized"' in said


def test_when_a_token_was_last_used_is_written_down_later(tmp_path: Path, database_url: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "NOTE_EVERY_SECONDS", 0.1)
        with serving(tmp_path / "home", database_url) as api:
            eventually(lambda: api.get("/v1/tokens")["items"][0]["used_at"], within=30)


def test_a_request_with_a_known_token_asks_sql_for_it_once(local_api: Api, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(keys, "FRESH_SECONDS", 3600)
    verify = tokens.verify
    monkeypatch.setattr(tokens, "verify", lambda *given, **more: asked.append("once") or verify(*given, **more))

    for _ in range(20):
        local_api.get("/v1/jobs")

    assert len(asked) <= 1


def test_a_token_that_asks_too_often_is_told_when_to_ask_again(tmp_path: Path, make_database_url: Callable[[str], str]):
    with serving(tmp_path / "home", make_database_url("sqlite"), LEVARE_RATE="1") as api:
        answers = [api.client.get("/v1/nodes") for _ in range(20)]
        last = next(answer for answer in answers if answer.status_code == 429)

        assert refused(last, 429, "too-many-requests")["errors"][0]["limit"] == "1 a second"
        assert int(last.headers["retry-after"]) >= 1
        with Client(api.url, api.settings.token_file.read_text(), patience=60) as client:
            assert client.nodes() == []


def test_an_address_that_guesses_tokens_is_slowed_down_and_its_neighbours_token_goes_on(local_api: Api):
    assert local_api.client.get("/v1/jobs").status_code == 200
    with httpx.Client(base_url=local_api.url, headers={"Authorization": "Bearer lv_guess"}) as guesser:
        answers = iter(lambda: guesser.get("/v1/jobs"), None)
        last = next(answer for answer in answers if answer.status_code != 401)

    refused(last, 429, "too-many-requests")
    assert local_api.client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(
    sent: bytes, tmp_path: Path, make_database_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    with serving(tmp_path / "home", make_database_url("sqlite")) as api, connected(api) as slow:
        slow.sendall(sent)

        assert all_of(slow).startswith(b"HTTP/1.1 408 ")


def test_a_head_without_end_is_refused_before_it_is_whole(local_api: Api):
    with connected(local_api) as greedy:
        greedy.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with pytest.raises((ConnectionError, BrokenPipeError)):  # noqa: PT012  # at which of them is not told
            for number in range(1_000_000):
                greedy.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())


def connected(api: Api) -> socket.socket:
    url = httpx.URL(api.url)
    return socket.create_connection((url.host, url.port or 80), timeout=30)


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_process_that_is_about_to_end_finishes_and_takes_nothing_new(
    tmp_path: Path, make_database_url: Callable[[str], str]
):
    with serving(tmp_path / "home", make_database_url("sqlite")) as api:
        api.stopping.set()
        answer = api.client.get("/v1/jobs")

    refused(answer, 503, "unavailable")
    assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")


def test_what_is_kept_of_secrets_opens_nothing(api: Api, join: Join):
    """A dump of the whole database: only digests of tokens and of the cookies of sessions are in it."""
    anna = join(vision="member")
    secret = anna.headers["authorization"].removeprefix("Bearer ")
    admin = api.settings.token_file.read_text()
    session = httpx.post(f"{api.url}/login", data={"token": secret}).cookies["levare_session"]
    eventually(lambda: anna.get("/v1/jobs").is_success)

    dump = dumped(api.database)

    assert tokens.digest_of(secret) in dump
    assert tokens.digest_of(session) in dump
    assert [found for found in (secret, admin, session) if found in dump] == []


def dumped(database: Database) -> str:
    from levare.store.tables import metadata

    with database.reading() as connection:
        return "\n".join(str(connection.execute(table.select()).all()) for table in metadata.sorted_tables)


def test_an_expired_token_opens_nothing_though_it_was_just_used(local_api: Api):
    until = datetime.now(UTC) + timedelta(seconds=1)
    made = local_api.client.post("/v1/tokens", json={"name": "short", "expires_at": until.isoformat()}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}

    eventually(lambda: local_api.client.get("/v1/jobs", headers=headers).status_code == 401, within=30, every=0.01)

    assert datetime.now(UTC) >= until
