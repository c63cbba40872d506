"""The audit at the door: every write leaves a row with who, from where, before and after."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi.routing import APIRoute
from sqlalchemy import insert

from app.auth import proof_of
from app.main import create
from levare.store import reaping, seal
from levare.store.reaping import Orphan
from levare.store.tables import audit, families
from levare.store.tables_alerts import alerts
from tests.end_to_end.serving import Api, refused

JOB = {"command": ["true"]}
SCHEDULE = {"cron": "0 3 * * *", "job": JOB}
TRIGGER = {"when": {"event": {"type": "data.*"}}, "job": JOB}
EVENT = {"specversion": "1.0", "id": "a1", "source": "/lake", "type": "data.ready"}
PIPELINE = {"name": "p", "jobs": [{"step": "a", "command": ["true"]}]}
SOON = datetime.now(UTC) + timedelta(days=7)
WINDOW = {"nodes": ["n1"], "starts": SOON.isoformat(), "ends": (SOON + timedelta(days=1)).isoformat()}
PAUSED = {"state": "paused", "reason": "A move."}

RULE = {"when": {"hang": {}}}
SILENCE = {"rule": "hang", "ends_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "reason": "A driver."}
CHANNEL = {"webhook": {"url": "https://hooks.example.org/levare", "key": {"secret": "OPS_KEY"}}}

Make = Callable[[Api], Any]


def ask(method: str, path: str, body: Any = None, **extra: Any) -> Make:
    def make(api: Api) -> Any:
        answer = api.client.request(method, path, json=body, **extra)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    return make


def held_family(api: Api) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    row = {"name": "a/b/c", "seconds": [], "fast_failures": 5, "held_until": until, "held_reason": "It fails."}
    with api.database.writing() as connection:
        connection.execute(insert(families), row | {"updated_at": until})
    ask("DELETE", "/v1/families/a/b/c/hold")(api)


def reap(api: Api) -> None:
    with api.database.writing() as connection:
        left = Orphan(4711, 1, "x-1", "ann", "python", (0,))
        assert reaping.set_orphans(connection, "n1", [left], incarnation="i1") is not False
    ask("POST", "/v1/nodes/n1/reap")(api)


def apply_a_plan(api: Api) -> None:
    wanted = {"objects": [{"kind": "team", "name": "planned", "document": {"weight": 2}}], "prune": False}
    ask("POST", "/v1/revisions", {"plan": ask("POST", "/v1/plan", wanted)(api)})(api)


def join(api: Api, name: str) -> None:
    code = ask("POST", "/v1/nodes/invitations", {})(api)["code"]
    ask("POST", "/v1/nodes/join", {"code": code, "name": name})(api)


def drain_machine(api: Api) -> None:
    join(api, "m17")
    ask("PUT", "/v1/machines/m17/state", {"state": "draining"})(api)


def forget_machine(api: Api) -> None:
    join(api, "m18")
    ask("DELETE", "/v1/machines/m18")(api)


def rerun(api: Api) -> None:
    job = api.submit("true")
    api.finish(api.start(job))
    ask("POST", f"/v1/jobs/{job}/reruns", {"pinned": False})(api)


def cancel_job(api: Api) -> None:
    ask("DELETE", f"/v1/jobs/{api.submit('true')}")(api)


def give_priority(api: Api) -> None:
    ask("PUT", f"/v1/jobs/{api.submit('true')}/priority", {"priority": 8})(api)


def cancel_pipeline(api: Api) -> None:
    made = ask("POST", "/v1/pipelines", PIPELINE)(api)
    ask("DELETE", f"/v1/pipelines/{made['id']}")(api)


def revoke(api: Api) -> None:
    made = ask("POST", "/v1/tokens", {"name": "phone"})(api)
    ask("DELETE", f"/v1/tokens/{made['id']}")(api)


def an_alert(api: Api, subject: str) -> int:
    open_since = datetime.now(UTC)
    said = {"rule": "hang", "kind": "hang", "subject": subject, "severity": "critical", "message": "It hangs."}
    row = said | {"detail": {}, "begun_at": open_since, "seen_at": open_since, "is_silenced": False, "told": []}
    with api.database.writing() as connection:
        return connection.execute(insert(alerts).returning(alerts.c.number), row).scalar_one()


def acknowledge(api: Api) -> None:
    ask("PUT", f"/v1/alerts/{an_alert(api, 'job:x')}/acknowledgement", {"note": "I look."})(api)


def acknowledge_on_a_page(api: Api) -> None:
    on_a_page(f"alerts/{an_alert(api, 'job:y')}/acknowledge")(api)


def end_silence(api: Api) -> None:
    made = ask("POST", "/v1/silences", SILENCE)(api)
    ask("DELETE", f"/v1/silences/{made['number']}")(api)


def sign_in(api: Api) -> str:
    """The cookie of the session."""
    answer = api.client.post("/login", data={"token": api.settings.token_file.read_text()})
    assert answer.status_code == 303, answer.text
    api.client.cookies.clear()
    return answer.cookies["levare_session"]


def sign_out(api: Api) -> None:
    cookie = sign_in(api)
    headers = {"Cookie": f"levare_session={cookie}", "Origin": api.url}
    answer = httpx.post(f"{api.url}/logout", data={"csrf": proof_of(cookie)}, headers=headers)
    assert answer.status_code == 303, answer.text


TELLS_NOTHING = {("POST", "/v1/plan"), ("POST", "/v1/simulations"), ("POST", "/v1/machines/{name}/poll")}
"""A plan and a simulation change nothing, and what a machine says of itself is no act of anybody."""


def on_a_page(act: str, **fields: str) -> Make:
    """Press a button of a page, as whoever is signed in by a browser."""

    def press(api: Api) -> None:
        cookie = sign_in(api)
        headers = {"Cookie": f"levare_session={cookie}", "Origin": api.url}
        path = act.format(job=api.submit("true")) if "{job}" in act else act
        answer = httpx.post(f"{api.url}/act/{path}", data={"csrf": proof_of(cookie), **fields}, headers=headers)
        assert answer.status_code == 303, answer.text

    return press


def on_the_page_of(make: Make, act: str) -> Make:
    """Press a button for what was made just before."""

    def press(api: Api) -> None:
        made = make(api)
        on_a_page(act.format(made=made.get("id") or made["number"]))(api)

    return press


def roll_back(api: Api) -> None:
    """As the page of the plan does: by the digest of what it has shown."""
    ask("PUT", "/v1/teams/vision21", {"weight": 2.0})(api)
    ask("PUT", "/v1/teams/vision21", {"weight": 3.0})(api)
    before = api.client.get("/v1/revisions").json()["items"][1]["number"]
    plan = ask("POST", "/v1/plan", {"rollback_to": before, "effect": False})(api)
    on_a_page(f"revisions/{before}/rollback", digest=plan["digest"])(api)


WRITES: dict[tuple[str, str], tuple[Make | list[Make], str]] = {
    ("POST", "/v1/jobs"): (ask("POST", "/v1/jobs", JOB), "job.submitted"),
    ("DELETE", "/v1/jobs/{job_id}"): (cancel_job, "job.cancel_requested"),
    ("PUT", "/v1/jobs/{job_id}/priority"): (give_priority, "job.priority_set"),
    ("POST", "/v1/pipelines"): (ask("POST", "/v1/pipelines", PIPELINE), "pipeline.submitted"),
    ("DELETE", "/v1/pipelines/{pipeline_id}"): (cancel_pipeline, "job.cancel_requested"),
    ("POST", "/v1/events"): (
        ask("POST", "/v1/events", EVENT, headers={"content-type": "application/cloudevents+json"}),
        "event.received",
    ),
    ("DELETE", "/v1/families/{name:path}/hold"): (held_family, "family.released"),
    ("PUT", "/v1/nodes/{name}/state"): (ask("PUT", "/v1/nodes/n1/state", {"state": "draining"}), "node.state_set"),
    ("POST", "/v1/nodes/{name}/reap"): (reap, "node.reap_requested"),
    ("PUT", "/v1/schedules/{name}"): (ask("PUT", "/v1/schedules/s", SCHEDULE), "schedule.set"),
    ("PUT", "/v1/schedules/{name}/state"): (
        [ask("PUT", "/v1/schedules/s2", SCHEDULE), ask("PUT", "/v1/schedules/s2/state", PAUSED)],
        "schedule.paused",
    ),
    ("POST", "/v1/schedules/{name}/run"): (
        [ask("PUT", "/v1/schedules/s3", SCHEDULE), ask("POST", "/v1/schedules/s3/run", {})],
        "schedule.run",
    ),
    ("DELETE", "/v1/schedules/{name}"): (
        [ask("PUT", "/v1/schedules/s4", SCHEDULE), ask("DELETE", "/v1/schedules/s4")],
        "schedule.removed",
    ),
    ("PUT", "/v1/triggers/{name}"): (ask("PUT", "/v1/triggers/t5", TRIGGER), "trigger.set"),
    ("PUT", "/v1/triggers/{name}/state"): (
        [ask("PUT", "/v1/triggers/t6", TRIGGER), ask("PUT", "/v1/triggers/t6/state", PAUSED)],
        "trigger.paused",
    ),
    ("DELETE", "/v1/triggers/{name}"): (
        [ask("PUT", "/v1/triggers/t7", TRIGGER), ask("DELETE", "/v1/triggers/t7")],
        "trigger.removed",
    ),
    ("PUT", "/v1/teams/{name}"): (ask("PUT", "/v1/teams/vision8", {"weight": 2.0}), "team.set"),
    ("DELETE", "/v1/teams/{name}"): (
        [ask("PUT", "/v1/teams/vision9", {"weight": 2.0}), ask("DELETE", "/v1/teams/vision9")],
        "team.removed",
    ),
    ("PUT", "/v1/windows/{name}"): (ask("PUT", "/v1/windows/w10", WINDOW), "window.set"),
    ("DELETE", "/v1/windows/{name}"): (
        [ask("PUT", "/v1/windows/w11", WINDOW), ask("DELETE", "/v1/windows/w11")],
        "window.removed",
    ),
    ("PUT", "/v1/alert-rules/{name}"): (ask("PUT", "/v1/alert-rules/r12", RULE), "alert_rule.set"),
    ("PUT", "/v1/alert-rules/{name}/state"): (ask("PUT", "/v1/alert-rules/hang/state", PAUSED), "alert_rule.paused"),
    ("POST", "/v1/revisions"): (apply_a_plan, "revision.applied"),
    ("PUT", "/v1/lock"): (ask("PUT", "/v1/lock", {"id": "a-lock-of-mine"}), "lock.taken"),
    ("DELETE", "/v1/lock"): (
        [ask("PUT", "/v1/lock", {"id": "a-lock-of-mine"}), ask("DELETE", "/v1/lock")],
        "lock.released",
    ),
    ("DELETE", "/v1/alert-rules/{name}"): (
        [ask("PUT", "/v1/alert-rules/r13", RULE), ask("DELETE", "/v1/alert-rules/r13")],
        "alert_rule.removed",
    ),
    ("PUT", "/v1/alerts/{number}/acknowledgement"): (acknowledge, "alert.acknowledged"),
    ("POST", "/v1/silences"): (ask("POST", "/v1/silences", SILENCE), "silence.set"),
    ("DELETE", "/v1/silences/{number}"): (end_silence, "silence.removed"),
    ("PUT", "/v1/channels/{name}"): (ask("PUT", "/v1/channels/c14", CHANNEL), "channel.set"),
    ("DELETE", "/v1/channels/{name}"): (
        [ask("PUT", "/v1/channels/c15", CHANNEL), ask("DELETE", "/v1/channels/c15")],
        "channel.removed",
    ),
    ("POST", "/v1/channels/{name}/test"): (
        [ask("PUT", "/v1/channels/c16", CHANNEL), ask("POST", "/v1/channels/c16/test")],
        "channel.tried",
    ),
    ("POST", "/v1/nodes/invitations"): (ask("POST", "/v1/nodes/invitations", {}), "machine.invited"),
    ("POST", "/v1/nodes/join"): (lambda api: join(api, "m16"), "machine.joined"),
    ("PUT", "/v1/machines/{name}/state"): (drain_machine, "machine.state_set"),
    ("DELETE", "/v1/machines/{name}"): (forget_machine, "machine.forgotten"),
    ("PUT", "/v1/pools/{name}"): (ask("PUT", "/v1/pools/p19", {"workers": 0}), "pool.set"),
    ("DELETE", "/v1/pools/{name}"): (
        [ask("PUT", "/v1/pools/p20", {"workers": 0}), ask("DELETE", "/v1/pools/p20")],
        "pool.removed",
    ),
    ("POST", "/v1/jobs/{job_id}/reruns"): (rerun, "job.submitted"),
    ("POST", "/v1/tokens"): (ask("POST", "/v1/tokens", {"name": "laptop"}), "token.created"),
    ("DELETE", "/v1/tokens/{token_id}"): (revoke, "token.revoked"),
    ("POST", "/act/jobs/{job_id}/cancel"): (on_a_page("jobs/{job}/cancel"), "job.cancel_requested"),
    ("POST", "/act/jobs/{job_id}/resubmit"): (on_a_page("jobs/{job}/resubmit"), "job.submitted"),
    ("POST", "/act/jobs/{job_id}/priority"): (on_a_page("jobs/{job}/priority", priority="8"), "job.priority_set"),
    ("POST", "/act/pipelines/{pipeline_id}/cancel"): (
        on_the_page_of(ask("POST", "/v1/pipelines", PIPELINE), "pipelines/{made}/cancel"),
        "job.cancel_requested",
    ),
    ("POST", "/act/schedules/{name}/state"): (
        [ask("PUT", "/v1/schedules/s22", SCHEDULE), on_a_page("schedules/s22/state", state="paused")],
        "schedule.paused",
    ),
    ("POST", "/act/schedules/{name}/run"): (
        [ask("PUT", "/v1/schedules/s23", SCHEDULE), on_a_page("schedules/s23/run")],
        "schedule.run",
    ),
    ("POST", "/act/nodes/{name}/state"): (on_a_page("nodes/n1/state", state="ready"), "node.state_set"),
    ("POST", "/act/alerts/{number}/acknowledge"): (acknowledge_on_a_page, "alert.acknowledged"),
    ("POST", "/act/silences"): (on_a_page("silences", rule="hang", hours="2", reason="Known."), "silence.set"),
    ("POST", "/act/silences/{number}/end"): (
        on_the_page_of(ask("POST", "/v1/silences", SILENCE), "silences/{made}/end"),
        "silence.removed",
    ),
    ("POST", "/act/alert-rules/{name}/state"): (
        on_a_page("alert-rules/slow/state", state="paused"),
        "alert_rule.paused",
    ),
    ("POST", "/act/revisions/{number}/rollback"): (roll_back, "revision.applied"),
    ("POST", "/login"): (sign_in, "session.begun"),
    ("POST", "/logout"): (sign_out, "session.ended"),
}


def test_there_is_a_trial_for_every_route_that_writes(local_api: Api):
    app = create(local_api.settings)
    app.state.parts.database.dispose()
    routes = [route for route in app.state.routes if isinstance(route, APIRoute)]
    writing = {(method, route.path) for route in routes for method in (route.methods or set()) - {"GET", "HEAD"}}

    assert writing - TELLS_NOTHING == set(WRITES)


def test_every_route_that_writes_leaves_a_row_with_who_and_from_where(local_api: Api):
    local_api.join(gpus=2)
    for (method, path), (makes, action) in WRITES.items():
        with local_api.database.writing() as connection:
            connection.execute(audit.delete())
        for make in makes if isinstance(makes, list) else [makes]:
            make(local_api)

        (row, *_) = local_api.get("/v1/audit", action=action)["items"]

        assert (row["actor"], row["source"]) == ("admin", "127.0.0.1"), (method, path)


def test_a_dry_run_leaves_no_row(local_api: Api):
    local_api.join()
    trial, before = {"dry_run": "true"}, local_api.count("audit")

    local_api.client.put("/v1/teams/vision", json={"weight": 2.0}, params=trial)
    local_api.client.post("/v1/jobs", json=JOB, params=trial)

    assert local_api.count("audit") == before


def test_what_is_replaced_is_told_before_and_after(local_api: Api):
    for weight in (2.0, 3.0):
        ask("PUT", "/v1/teams/vision", {"weight": weight})(local_api)
        ask("PUT", "/v1/schedules/s", {**SCHEDULE, "cron": f"0 {weight:.0f} * * *"})(local_api)

    team, *_ = local_api.get("/v1/audit", action="team.set")["items"]
    schedule, *_ = local_api.get("/v1/audit", object="s")["items"]

    assert (team["detail"]["before"]["weight"], team["detail"]["after"]["weight"]) == (2.0, 3.0)
    revisions = schedule["detail"]["revision"]
    assert revisions["after"] > revisions["before"]


def test_the_audit_is_listed_in_pages_and_by_what_it_is_about(local_api: Api):
    for number in range(5):
        ask("PUT", f"/v1/teams/team-{number}", {"weight": 2.0})(local_api)

    first = local_api.get("/v1/audit", action="team", limit=3)
    second = local_api.get("/v1/audit", action="team", limit=3, cursor=first["next_cursor"])

    assert [row["object"] for row in [*first["items"], *second["items"]]] == [f"team-{n}" for n in (4, 3, 2, 1, 0)]
    assert second["next_cursor"] is None
    assert local_api.get("/v1/audit", since="2100-01-01T00:00:00Z")["items"] == []
    refused(local_api.client.get("/v1/audit", params={"acter": "anna"}), 422, "invalid-request")


def test_the_end_of_the_chain_serves_as_an_anchor(local_api: Api):
    ask("PUT", "/v1/teams/vision", {"weight": 2.0})(local_api)
    with local_api.database.writing() as connection:
        sealed = seal.seal(connection, now=datetime.now(UTC))

    found = local_api.get("/v1/audit/verification")
    place, _, digest = found["head"].partition(":")

    assert (found["ok"], found["sealed"], place) == (True, sealed, str(sealed))
    assert local_api.get("/v1/audit/verification", anchor=f"{place}:{digest[:16]}")["ok"]
    other = local_api.get("/v1/audit/verification", anchor=f"{place}:{'0' * 16}")
    assert other["broken"]["reason"] == "its hash is not the one that was noted: the chain was made anew"
    refused(local_api.client.get("/v1/audit/verification", params={"anchor": f"99:{'0' * 16}"}), 422, "contradiction")
