"""
Who may do what, found out by asking the real app: every role, route and relation to what the route names.

`python -m tests.authorizing` writes what the app does to tests/authorization.csv, for whoever has changed it on
purpose; its diff is what is to be reviewed.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from sqlalchemy import insert, update

from app.__main__ import prepare
from app.dashboard import assets
from app.main import create
from app.rights import ALERT, FAMILY, JOB, OWN_RULE, PIPELINE, RIGHTS, RULE, SCHEDULE, SILENCE, TEAM, TOKEN, TRIGGER
from app.rights import WINDOW as A_WINDOW
from levare.settings import load
from levare.store.engine import Database
from levare.store.tables import attempts, families
from levare.store.tables_alerts import alerts
from tests.end_to_end.serving import Api

TABLE = Path(__file__).with_name("authorization.csv")
ROLES = ("nobody", "viewer", "member", "admin", "node", "machine", "metrics", "fleet")
"""No token; a token of one of the roles in team `vision`; one of a scope; that of a machine; an admin of the fleet."""
OWN, SAME, OTHER, OF_FLEET, NONE, ALL = "own", "same team", "other team", "the fleet's", "none", "-"
SECRET = "hush"
"""Stands in every name of what belongs to the other team, and must be in no answer to anybody else."""
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
_TEAMS = {OWN: "vision", SAME: "vision", OTHER: "nlp", NONE: "nowhere"}
_OF_TEAMS = (OWN, SAME, OTHER, NONE)
_SHARED = (*_OF_TEAMS, OF_FLEET)
_RELATIONS = {
    **dict.fromkeys((JOB, PIPELINE, SCHEDULE, TRIGGER, FAMILY, TEAM, TOKEN), _OF_TEAMS),
    **dict.fromkeys((A_WINDOW, ALERT, SILENCE, RULE, OWN_RULE), _SHARED),
}
_BY_BODY = (
    *("submit_job", "submit_pipeline", "add_silence", "create_token", "compare_runs"),
    *("add_silence_on_page", "show_compare"),
)
_FLEETS = {
    **dict.fromkeys(("read_node", "list_node_samples", "set_node_state", "read_reap", "reap_orphans"), "node"),
    "set_node_state_on_page": "node",
    **dict.fromkeys(("read_channel", "set_channel", "remove_channel", "try_channel", "list_deliveries"), "channel"),
    **dict.fromkeys(("set_window", "remove_window"), "window"),
    **dict.fromkeys(("read_machine", "poll_machine", "set_machine_state", "forget_machine"), "machine"),
    **dict.fromkeys(("read_pool", "set_pool", "remove_pool"), "pool"),
    **dict.fromkeys(("read_revision_of_all", "show_revision", "show_rollback", "roll_back_on_page"), "revision"),
    "remove_team": "team",
}
_ALWAYS_REAL = ("sign_in", "sign_out", "join_machine", "poll_machine", "make_plan", "simulate_past")
Row = dict[str, str]


@dataclass(frozen=True)
class World:
    """The app, a client of each role, and what there is: `(noun, relation, role)` -> its name."""

    app: FastAPI
    portal: BlockingPortal
    clients: Mapping[str, httpx.Client]
    names: Mapping[tuple[str, str, str], str]

    def name(self, noun: str, relation: str, role: str) -> str:
        own = self.names.get((noun, relation, role))
        return own or self.names.get(
            (noun, relation, ""), "7777" if noun in ("alert", "silence", "revision") else "nothing"
        )


@contextmanager
def world() -> Iterator[World]:
    """A database with something of each kind in each relation, and an app over it."""
    with TemporaryDirectory() as home:
        environ = {"LEVARE_HOME": home, "LEVARE_REDIS": "redis://127.0.0.1:1/0", "LEVARE_RATE": "0"}
        environ |= {"LEVARE_NODE_DATABASE": "postgresql://db/levare", "LEVARE_NODE_REDIS": "redis://db:6379/0"}
        settings = load(environ)
        prepare(settings)
        app, database = create(settings), Database(settings.database)
        with start_blocking_portal() as portal:
            fleet = client_of(app, portal, settings.token_file.read_text())
            [own] = _made(fleet.get("/v1/tokens"))["items"]
            clients, names = {"fleet": fleet}, {("token", OWN, "fleet"): own["id"]}
            for role in ROLES[1:-1]:
                secret = _machine(fleet) if role == "machine" else _token(fleet, names, role)
                clients[role] = client_of(app, portal, secret)
            _fill(Api("", settings, database, fleet), clients, names)
            yield World(app, portal, clients, names)
        database.dispose()
        app.state.parts.database.dispose()


class InProcess(httpx.BaseTransport):
    """Asks an app without a socket."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, address: str) -> None:
        self._portal = portal
        self._inner = httpx.ASGITransport(app, client=(address, 1))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._ask, request)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        headers = [(name, value) for name, value in answer.headers.items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=content)


def client_of(app: FastAPI, portal: BlockingPortal, token: str | None, address: str = "10.1.1.1") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = InProcess(app, portal, address)
    return httpx.Client(base_url="http://127.0.0.1", headers=headers, transport=transport, timeout=60)


def _token(fleet: httpx.Client, names: dict[tuple[str, str, str], str], role: str) -> str:
    said = {"role": role} if role in ("node", "metrics") else {"teams": {"vision": role}}
    made = _made(fleet.post("/v1/tokens", json={"name": f"of-{role}", **said}))
    names["token", OWN, role] = made["id"]
    return made["token"]


def _machine(fleet: httpx.Client) -> str:
    code = _made(fleet.post("/v1/nodes/invitations", json={}))["code"]
    return _made(fleet.post("/v1/nodes/join", json={"code": code, "name": "m1"}))["token"]


def _fill(api: Api, clients: Mapping[str, httpx.Client], names: dict[tuple[str, str, str], str]) -> None:
    api.join()
    for relation in (SAME, OTHER):
        _things(api, api.client, names, (relation, ""), _mark(relation, relation.partition(" ")[0]))
    for role in ROLES[1:]:
        maker = clients[role] if role in ("member", "admin") else api.client
        _things(api, maker, names, (OWN, role), role)
    _of_the_fleet(api, names)
    for relation, team in _TEAMS.items():
        names["team", relation, ""] = team


def _mark(relation: str, name: str) -> str:
    return f"{SECRET}-{name}" if relation == OTHER else name


def _things(
    api: Api, maker: httpx.Client, names: dict[tuple[str, str, str], str], whose: tuple[str, str], name: str
) -> None:
    """Something of each kind that belongs to a team; by `maker` what he may make, the rest by an admin of the fleet."""
    team, fleet = _TEAMS[whose[0]], api.client
    job = {"command": ["true"], "team": team, "name": f"{name}-job"}
    failed = _made(maker.post("/v1/jobs", json=job))["id"]
    attempt = api.start(failed)
    api.finish(attempt, state="failed", exit_code=1)
    with api.database.writing() as connection:
        connection.execute(update(attempts).where(attempts.c.id == attempt).values(failure="unknown"))
    made = {
        "job": failed,
        "array": _made(maker.post("/v1/jobs", json=job | {"array": {"size": 2}}))["id"],
        "pipeline": _made(maker.post("/v1/pipelines", json={"name": name, "jobs": [job | {"step": "a"}]}))["id"],
        "schedule": f"{name}-schedule",
        "trigger": f"{name}-trigger",
        "window": f"{name}-window",
        "rule": f"{name}-rule",
        "family": f"{team}/default/{name}-job",
        "silence": str(_made(fleet.post("/v1/silences", json=body_of("add_silence", team)))["number"]),
        "alert": str(_alert(api, team, failed, f"{name}-alert")),
    }
    _made(fleet.put(f"/v1/schedules/{made['schedule']}", json=body_of("set_schedule", team)))
    _made(fleet.put(f"/v1/triggers/{made['trigger']}", json=body_of("set_trigger", team)))
    _made(fleet.put(f"/v1/windows/{made['window']}", json=body_of("set_window", team)))
    _made(fleet.put(f"/v1/alert-rules/{made['rule']}", json=body_of("set_alert_rule", team)))
    if whose[0] != OWN:
        made["token"] = _made(fleet.post("/v1/tokens", json={"name": f"{name}-token", "teams": {team: "viewer"}}))["id"]
    with api.database.writing() as connection:
        known = {"seconds": [60.0], "fast_failures": 0, "updated_at": datetime.now(UTC)}
        connection.execute(insert(families), {"name": made["family"], **known})
    names.update({(noun, *whose): found for noun, found in made.items()})


def _of_the_fleet(api: Api, names: dict[tuple[str, str, str], str]) -> None:
    """What belongs to no team."""
    _made(api.client.put("/v1/teams/vision", json=body_of("set_team", None)))
    _made(api.client.put("/v1/channels/ops", json=body_of("set_channel", "")))
    _made(api.client.put("/v1/windows/upgrade", json=body_of("set_window", None)))
    _made(api.client.put("/v1/pools/cpus", json=body_of("set_pool", None)))
    silence = _made(api.client.post("/v1/silences", json=body_of("add_silence", None) | {"rule": "hang"}))
    made = {
        "team": "vision",
        "node": "n1",
        "channel": "ops",
        "machine": "m1",
        "pool": "cpus",
        "revision": "1",
        "window": "upgrade",
        "rule": "hang",
        "silence": str(silence["number"]),
    }
    made["alert"] = str(_alert(api, None, None, "n1 is lost"))
    names.update({(noun, OF_FLEET, ""): found for noun, found in made.items()})


def _alert(api: Api, team: str | None, job: str | None, message: str) -> int:
    now = datetime.now(UTC)
    row = {"rule": "hang", "kind": "hang", "subject": message, "severity": "warning", "message": message, "detail": {}}
    row |= {
        "job_id": job,
        "team": team,
        "node": "n1",
        "begun_at": now,
        "seen_at": now,
        "is_silenced": False,
        "told": [],
    }
    with api.database.writing() as connection:
        return connection.execute(insert(alerts).returning(alerts.c.number), row).scalar_one()


def _made(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def body_of(operation: str, team: str | None) -> dict[str, Any]:
    job = {"command": ["true"], "team": team}
    times = {"starts": LATER, "ends": (datetime.fromisoformat(LATER) + timedelta(hours=1)).isoformat()}
    bodies: Mapping[str, dict[str, Any]] = {
        "submit_job": job,
        "submit_pipeline": {"jobs": [job | {"step": "a"}]},
        "set_node_state": {"state": "ready"},
        "set_priority": {"priority": 7},
        "set_team": {"weight": 1.0},
        "set_window": {"nodes": ["n1"], "team": team, **times},
        "set_schedule": {"cron": "0 3 * * *", "job": job},
        "set_trigger": {"when": {"event": {"type": "ready"}}, "job": job},
        "set_alert_rule": {"when": {"failure": {"team": team}}},
        "set_machine_state": {"state": "ready"},
        "poll_machine": {"version": "1", "cpus": 4, "memory_mib": 1024},
        "set_pool": {"workers": 0},
        "make_plan": {"objects": []},
        "simulate_past": {},
        "take_lock": {"id": "somebody"},
        "rerun_job": {},
        "join_machine": {"code": "none", "name": "m2"},
        "set_channel": {"webhook": {"url": "https://hooks.example.org/levare"}},
        "add_silence": {"ends_at": LATER, "reason": "It is known."} | ({"team": team} if team else {}),
        "create_token": {"name": "new", "teams": {team: "viewer"}},
        "send_event": {"specversion": "1.0", "id": "1", "source": "/here", "type": "there"},
    }
    usual = {"state": "paused"} if operation.endswith("_state") else {}
    return bodies.get(operation, usual)


def table(world: World) -> tuple[list[Row], list[str]]:
    """What the app does with each request, and the answers that told somebody what he must not know."""
    rows, leaks = [], list[str]()
    for route in world.app.state.routes:
        [method], operation = sorted(route.methods), route.name
        for relation in relations_of(operation):
            row = {"method": method, "path": route.path, "asks": RIGHTS[operation].asks, "relation": relation}
            for role in ROLES:
                answer = ask(world, route, relation, role)
                row[role] = _outcome(answer)
                if role != "fleet" and answer.is_success and SECRET in answer.text:
                    leaks.append(f"{role}: {method} {answer.url}: {answer.text}")
            rows.append(row)
    return rows, leaks


def relations_of(operation: str) -> tuple[str, ...]:
    kind = RIGHTS[operation].of
    if kind:
        return _RELATIONS[kind]
    if operation in _BY_BODY:
        return _OF_TEAMS
    return (OF_FLEET, NONE) if operation in _FLEETS else (ALL,)


def ask(world: World, route: Any, relation: str, role: str, **instead: Any) -> httpx.Response:
    """A request as somebody would send it for what he means; `instead` are options of httpx that replace some of it."""
    [method], path, operation = route.methods, route.path, route.name
    noun = "array" if operation == "read_array" else _noun(operation)
    name = world.name(noun, relation, role)
    where = path.replace("/assets/{digest}", assets.folder()).replace("{file}", "page.css")
    for parameter in ("{job_id}", "{pipeline_id}", "{token_id}", "{number}", "{name:path}", "{name}"):
        where = where.replace(parameter, name)
    options: dict[str, Any] = {"params": _parameters(world, method, operation, relation, role)}
    if path in ("/login", "/logout") or operation.endswith("_on_page"):
        options |= {"data": _form(operation, _TEAMS.get(relation))} if method == "POST" else {}
    elif method in ("POST", "PUT"):
        team = "vision" if noun in ("schedule", "trigger", "rule") else _TEAMS.get(relation)
        options["json"] = _plan(world) if operation == "apply_plan" else body_of(operation, team)
        options["headers"] = {"Content-Type": "application/cloudevents+json"} if operation == "send_event" else {}
    options |= {**instead, "headers": options.get("headers", {}) | instead.get("headers", {})}
    return _client_of(world, role, where).request(method, where, **options)


def _form(operation: str, team: str | None) -> dict[str, str]:
    forms: Mapping[str, dict[str, str]] = {
        "set_priority_on_page": {"priority": "7"},
        "set_schedule_state_on_page": {"state": "paused"},
        "set_rule_state_on_page": {"state": "paused"},
        "set_node_state_on_page": {"state": "ready"},
        "add_silence_on_page": {"hours": "2", "reason": "It is known."} | ({"team": team} if team else {}),
    }
    return forms.get(operation, {"token": "wrong"})


def _plan(world: World) -> dict[str, Any]:
    return {"plan": _made(world.clients["fleet"].post("/v1/plan", json={"objects": [], "effect": False}))}


def _client_of(world: World, role: str, where: str) -> httpx.Client:
    """Whoever has no token asks from many addresses, for one may ask so many times only."""
    if role == "nobody":
        return client_of(world.app, world.portal, None, f"10.2.{len(where)}.{hash(where) % 250}")
    return world.clients[role]


def _noun(operation: str) -> str:
    nouns = {JOB: "job", PIPELINE: "pipeline", SCHEDULE: "schedule", TRIGGER: "trigger", FAMILY: "family"}
    nouns |= {TEAM: "team", A_WINDOW: "window", ALERT: "alert", SILENCE: "silence", RULE: "rule", OWN_RULE: "rule"}
    kind = RIGHTS[operation].of
    if kind is None:
        return _FLEETS.get(operation, "")
    return "token" if kind is TOKEN else nouns[kind]


def _parameters(world: World, method: str, operation: str, relation: str, role: str) -> dict[str, str]:
    if operation in ("compare_runs", "show_compare"):
        return {"job": world.name("job", relation, role)}
    if operation == "compare_pins":
        return {"with": world.name("job", relation, role)}
    if operation == "explain_fire":
        return {"at": LATER}
    is_real = method == "GET" or operation in _ALWAYS_REAL or operation.endswith("_on_page")
    return {} if is_real else {"dry_run": "true"}


def _outcome(answer: httpx.Response) -> str:
    """`yes`, or the status that refuses; what only the state is in the way of was allowed."""
    if answer.is_success or answer.status_code in (httpx.codes.CONFLICT, httpx.codes.SEE_OTHER):
        return "yes"
    assert answer.status_code in (401, 403, 404), (answer.request, answer.text)
    return str(answer.status_code)


def written() -> list[Row]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def write(rows: list[Row]) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    with world() as found:
        rows, leaks = table(found)
    write(rows)
    sys.exit("\n".join(leaks))
