"""The past played again, over the API and the command line."""

import json
from datetime import UTC, datetime, timedelta

from click.testing import CliRunner
from sqlalchemy import update

from levare.cli import levare as command_line
from levare.client import Client
from levare.model import Placement, Request
from levare.store import attempts, jobs, tables
from levare.store.audit import Actor
from levare.store.jobs import Submission
from tests.end_to_end.serving import Api, refused

HOUR = timedelta(hours=1)
BEGAN = datetime.now(UTC) - 48 * HOUR
ADA = Actor("t1", "ada")


def levare(api: Api, *args: str, code: int = 0, notes: bool = False) -> str:
    with Client(api.url, api.settings.token_file.read_text()) as client:
        done = CliRunner().invoke(command_line, args, obj=client)
    assert done.exit_code == code, (args, done.output[-2000:])
    return done.stderr if code or notes else done.stdout


def ran(api: Api, job_id: str, team: str, *, came: timedelta, began: timedelta, hours: float) -> None:
    """A job of one whole GPU that has run."""
    wish = Submission(command=["true"], name=job_id, team=team, gpus=1)
    with api.database.writing() as connection:
        jobs.submit(connection, wish, job_id=job_id, actor=ADA, now=BEGAN + came)
        [message] = attempts.place(
            connection, [Placement(job_id, "n1", Request(gpus=1), {"n1-0": 81920})], {}, now=BEGAN + began
        )
        end = {"state": "succeeded", "ended_at": BEGAN + began + hours * HOUR}
        connection.execute(update(tables.attempts).where(tables.attempts.c.id == message.attempt_id).values(**end))
        over = {"state": "succeeded", "started_at": BEGAN + began, "finished_at": end["ended_at"]}
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(**over))


def a_busy_day(api: Api) -> None:
    """Two GPUs; vision takes both at once, four times, and speech comes just after."""
    api.join("n1", gpus=2, price=2.0)
    for number in range(4):
        ran(api, f"v{number}", "vision", came=number * timedelta(minutes=1), began=(number // 2) * HOUR, hours=1)
    ran(api, "s0", "speech", came=timedelta(minutes=10), began=2 * HOUR, hours=1)


def test_a_smaller_quota_would_have_let_others_go_first(api: Api):
    a_busy_day(api)
    since = (BEGAN - HOUR).isoformat()

    found = json.loads(
        levare(api, "simulate", "--since", since, "--set", "teams.vision.quota.gpus=1",
               "--set", "teams.vision.quota.borrow=false", "--json")
    )  # fmt: skip

    assert found["changes"] == ["team vision: quota.gpus (none) -> 1", "team vision: quota.borrow (none) -> false"]
    waits = {way: found[way]["teams"]["speech"]["wait_p50_seconds"] for way in ("actual", "declared", "changed")}
    assert waits["actual"] == 6600
    assert waits["declared"] > 0
    assert waits["changed"] == 0
    assert (
        found["changed"]["teams"]["vision"]["wait_p95_seconds"]
        > found["declared"]["teams"]["vision"]["wait_p95_seconds"]
    )
    assert found["changed"]["all"]["gpu_hours"] == found["actual"]["all"]["gpu_hours"] == 5
    assert found["changed"]["all"]["cost"] == 5
    assert api.get("/v1/declared")["objects"] == []


def test_one_node_more_would_have_let_all_start_at_once(api: Api):
    a_busy_day(api)

    shown = levare(api, "simulate", "--since", "3d", "--nodes", "n1=3")

    assert "5 jobs from " in shown
    assert "nodes like n1: 1 -> 3" in shown
    rows = {line.split()[-9]: line.split() for line in shown.splitlines() if "declared " in line or "changed " in line}
    assert rows["changed"][-7] == "0s"


def test_what_cannot_be_played_is_refused_with_what_can(api: Api):
    body = {
        "objects": [{"kind": "schedule", "name": "s", "document": {"cron": "0 3 * * *", "job": {"command": ["a"]}}}]
    }
    schedule = refused(api.client.post("/v1/simulations", json=body), 422, "contradiction")
    assert schedule["errors"][0]["limit"] == "team, pool"

    lost = refused(api.client.post("/v1/simulations", json={"nodes": {"n9": 2.0}}), 404, "not-found")
    assert "n9" in lost["detail"]

    times = {"since": "2030-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"}
    assert (
        refused(api.client.post("/v1/simulations", json=times), 422, "contradiction")["errors"][0]["field"] == "since"
    )

    assert "teams and pools can" in levare(api, "simulate", "--set", "windows.repair.nodes=1", code=2)
    assert "teams.vision.quota.gpus=6" in levare(api, "simulate", "--set", "vision", code=2)
    wrong = levare(api, "simulate", "--set", "teams.vision.quota.gpu=6", code=1)
    assert "team.vision.quota.gpu is no field of this request; did you mean gpus?" in wrong
    assert "Team visoin had no job then" in levare(api, "simulate", "--set", "teams.visoin.quota.gpus=6", notes=True)
