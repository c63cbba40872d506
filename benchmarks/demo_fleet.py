"""A fleet as teams have it, for pictures: what runs, waits and fails is real; the days before are copies of it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
from sqlalchemy import Connection, insert, select, update

from levare.settings import load
from levare.store.engine import Database
from levare.store.ids import new_id
from levare.store.tables import attempts, families, jobs
from levare.store.tables_time import fires
from tests.fleet import ROOT, Fleet, eventually

_DIGITS = [sys.executable, str(ROOT / "examples/digits/train.py")]
_TRAINING = """
import levare, math, random, sys, time
rate, seed, steps, pause = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
random.seed(seed)
levare.params(learning_rate=rate, seed=seed, batch_size=64)
for step in range(1, steps + 1):
    loss = 2.2 * math.exp(-step * rate / 12) + 0.2 + random.gauss(0, 0.03)
    levare.log(step=step, stage="train", loss=loss, learning_rate=rate * 0.99 ** step)
    if step % 20 > 15:
        levare.log(step=step, stage="val", loss=loss * 1.12 + 0.04, accuracy=1 - loss / 3.2)
    levare.progress(step, steps)
    print(f"\\x1b[2mstep {step:4}\\x1b[0m loss \\x1b[32m{loss:.4f}\\x1b[0m", flush=True)
    time.sleep(pause)
"""
_BROKEN = "print('loading'); raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')"
_SKIPPED = 3


def fill(deployment: Fleet) -> dict[str, str]:
    """Declare, submit, wait, and copy into the past; the pages that are worth a picture by their names."""
    script = deployment.home / "bin" / "train.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!{sys.executable}\n{_TRAINING}")
    script.chmod(0o755)
    _declare(deployment.client)
    ended = _ended(deployment)
    _wait_for_fires(deployment)  # while there are GPUs
    pages = _running(deployment) | _waiting(deployment, ended)
    deployment.client.post("/v1/silences", json=_silence()).raise_for_status()
    database = Database(load({"LEVARE_HOME": str(deployment.home)}).database)
    with database.writing() as connection:
        _past(connection)
    database.dispose()
    return pages | {
        "timeline": "/timeline?time=day",
        "teams-timeline": "/timeline?by=team",
        "schedules": "/schedules",
        "schedule": "/schedules/nightly-eval",
        "pipelines": "/pipelines",
        "alerts": "/alerts",
        "rule": "/alerts/rules/failure?test=7d",
        "teams": "/teams",
        "team": "/teams/vision",
        "revisions": "/revisions",
        "revision": "/revisions/2",
        "rollback": "/revisions/2/rollback",
        "report": "/report",
        "compare": f"/compare?job={','.join(ended['compared'])}",
        "job": f"/jobs/{ended['trained']}",
        "failed": f"/jobs/{ended['failed']}",
    }


def _declare(client: httpx.Client) -> None:
    """In four revisions."""
    vision = {"weight": 2.0, "quota": {"gpus": 4, "gpu_hours": 400}, "projects": {"imagenet": {"gpus": 3}}}
    found = [_team("vision", vision), _team("speech", {"weight": 1.0, "quota": {"gpus": 2, "queued": 20}})]
    _apply(client, found, "Two teams share the fleet.")
    found += [_team("nlp", {"weight": 1.0, "quota": {"gpus": 2}})]
    _apply(client, found, "The language group joins.")
    found += [_schedule(name, each) for name, each in _SCHEDULES.items()]
    _apply(client, found, "What ran by cron until now.")
    found[1] = _team("speech", {"weight": 1.5, "quota": {"gpus": 2, "queued": 20}})
    hot = {"when": {"metric": {"metric": "loss", "stage": "val", "above": 3.0}}, "severity": "warning"}
    _apply(
        client, [*found, {"kind": "alert_rule", "name": "val-loss", "document": hot}], "Speech pays for half a node."
    )
    paused = {"state": "paused", "reason": "The disk is being moved until Friday."}
    client.put("/v1/schedules/archive/state", json=paused).raise_for_status()


def _train(rate: float, seed: int, steps: int, pause: float) -> list[str]:
    """It finds the script where the processes of the fleet were told to look for programs."""
    return ["train.py", *map(str, (rate, seed, steps, pause))]


_EVAL = {"command": _train(0.3, 7, 40, 0.02), "team": "vision", "name": "eval", "gpus": 1, "project": "imagenet"}
_STEPS = [
    {"step": "fetch", "command": ["true"], "team": "nlp"},
    {"step": "tokenise", "command": ["true"], "team": "nlp", "needs": ["fetch"]},
    {"step": "train", "command": _train(0.5, 3, 60, 0.02), "team": "nlp", "gpus": 1, "needs": ["tokenise"]},
    {"step": "evaluate", "command": ["true"], "team": "nlp", "needs": ["train"]},
    {"step": "publish", "command": ["true"], "team": "nlp", "needs": ["evaluate"]},
    {"step": "clean-up", "command": ["true"], "team": "nlp", "needs": [{"job": "train", "on": "always"}]},
]
_SCHEDULES: Mapping[str, dict[str, Any]] = {
    "nightly-eval": {"every_seconds": 5, "job": _EVAL, "overlap": "forbid"},
    "weekly-retrain": {"cron": "0 2 * * MON", "zone": "Europe/Berlin", "pipeline": {"name": "retrain", "jobs": _STEPS}},
    "ingest": {"cron": "30 */4 * * *", "job": {"command": ["true"], "team": "speech", "name": "ingest"}},
    "distil": {"cron": "0 20 * * MON-FRI", "job": {**_EVAL, "name": "distil", "gpus": 4, "timeout_seconds": 14400}},
    "archive": {"cron": "15 1 * * *", "job": {"command": ["true"], "team": "speech", "name": "archive"}},
}


def _team(name: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "team", "name": name, "document": document}


def _schedule(name: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "schedule", "name": name, "document": document}


def _apply(client: httpx.Client, objects: Sequence[dict[str, Any]], reason: str) -> None:
    plan = client.post("/v1/plan", json={"objects": list(objects), "effect": False}).raise_for_status().json()
    answer = client.post("/v1/revisions", json={"plan": plan, "reason": reason, "code": {"commit": "3f2a9c1d0b7e"}})
    assert answer.is_success, answer.text


def _silence() -> dict[str, Any]:
    ends = datetime.now(UTC) + timedelta(hours=6)
    return {"node": "hera", "ends_at": ends.isoformat(), "reason": "A new driver is being installed."}


def _ended(deployment: Fleet) -> dict[str, Any]:
    vision = {"team": "vision", "project": "imagenet"}
    compared = [
        deployment.submit(*_train(rate, seed, 60, 0.03), name="resnet-50", gpus=1, **vision)
        for seed, rate in enumerate((0.2, 0.35, 0.6))
    ]
    trained = deployment.submit(*_DIGITS, name="digits", gpus=1, team="vision")
    failed = deployment.python(_BROKEN, name="unet", gpus=1, team="vision", gpu_memory_mib=20480)
    broken = deployment.python("import nowhere", name="wav2vec", team="speech")
    others = [
        deployment.submit(*_train(0.4, 1, 20, 0.02), name=name, gpus=1, team=team)
        for name, team in (("bert", "nlp"), ("whisper", "speech"), ("diffusion", "vision"))
    ]
    done = deployment.client.post("/v1/pipelines", json={"name": "retrain", "jobs": _STEPS}).raise_for_status().json()
    deployment.await_end(*compared, trained, failed, broken, *others, *(step["job"] for step in done["steps"]))
    again = deployment.submit(*_DIGITS, "--seed", "3", name="digits", gpus=1, team="vision")
    deployment.await_end(again)
    return {"compared": compared, "trained": again, "failed": failed}


def _running(deployment: Fleet) -> dict[str, str]:
    long = 100_000
    wanted = (
        ("resnet-50", "vision", 1, None, 0.01),
        ("diffusion", "vision", 1, None, 0.02),
        ("whisper", "speech", 1, 20480, 0.05),
    )
    found = {}
    for name, team, gpus, memory, rate in wanted:
        project = "imagenet" if name == "resnet-50" else "default"
        wishes = {"gpus": gpus, "gpu_memory_mib": memory, "team": team, "project": project, "timeout_seconds": 7200}
        found[name] = deployment.submit(
            *_train(rate, 2, long, 0.4), name=name, **{k: v for k, v in wishes.items() if v}
        )
        deployment.await_state(found[name], "running")
    return {"running": f"/jobs/{found['resnet-50']}"}


def _waiting(deployment: Fleet, _ended: Mapping[str, Any]) -> dict[str, str]:
    llm = deployment.submit("sleep", "600", name="llm", gpus=4, team="nlp", priority=8, timeout_seconds=5400)
    deployment.submit("sleep", "60", name="llm-eval", team="nlp", needs=[llm])
    for name, team in (("bert", "nlp"), ("bert", "nlp"), ("diffusion", "vision"), ("whisper", "speech")):
        deployment.submit("sleep", "600", name=name, gpus=3, team=team, timeout_seconds=2700)
    steps = [dict(step) for step in _STEPS]
    steps[2] |= {"gpus": 3, "command": ["sleep", "900"], "timeout_seconds": 1800}
    steps[1] |= {"needs": ["fetch"]}
    steps.insert(2, {"step": "check", "command": ["false"], "team": "nlp", "needs": ["fetch"]})
    made = deployment.client.post("/v1/pipelines", json={"name": "retrain", "jobs": steps}).raise_for_status().json()
    deployment.await_end(*(step["job"] for step in made["steps"] if step["step"] in ("fetch", "tokenise", "check")))
    return {"waiting": f"/jobs/{llm}", "pipeline": f"/pipelines/{made['id']}"}


def _wait_for_fires(deployment: Fleet) -> None:
    """Until a schedule has run some times; then it is due once in a night, as its name says."""

    def run() -> bool:
        found = deployment.client.get("/v1/schedules/nightly-eval/fires?outcome=run").raise_for_status().json()["items"]
        return sum(each["state"] == "succeeded" for each in found) >= 4

    eventually(run, within=120)
    nightly = {"cron": "0 3 * * *", "zone": "Europe/Berlin", "job": _EVAL, "overlap": "forbid"}
    deployment.client.put("/v1/schedules/nightly-eval", json=nightly).raise_for_status()


def _past(connection: Connection) -> None:
    """Each run that has ended once more on days before, as long as such runs are."""
    rows = connection.execute(select(jobs).where(jobs.c.finished_at.is_not(None), jobs.c.attempt > 0)).mappings().all()
    copies = [(dict(row), number) for row in rows for number in range(1, 1 + (6 if row["schedule"] else 14))]
    past = _Past(connection, datetime.now(UTC))
    past.random.shuffle(copies)
    for job, number in copies:
        past.copy(job, number)
    for name, each in _SECONDS.items():
        for family in (
            connection.execute(select(families.c.name).where(families.c.name.like(f"%/{name}"))).scalars().all()
        ):
            spread = [each * past.random.uniform(0.9, 1.15) for _ in range(20)]
            connection.execute(update(families).where(families.c.name == family).values(seconds=spread))


_SECONDS = {"resnet-50": 5400, "diffusion": 3600, "bert": 2700, "whisper": 1800, "eval": 1500, "distil": 9000}


@dataclass
class _Past:
    """One run after the other on each GPU, going back in time; `ends` is by when the next one has to have ended."""

    connection: Connection
    now: datetime
    random: Random = field(default_factory=lambda: Random(4))
    ends: dict[str, datetime] = field(default_factory=dict)

    def copy(self, job: dict[str, Any], number: int) -> None:
        old = self.connection.execute(select(attempts).where(attempts.c.job_id == job["id"])).mappings().all()
        place = next(iter(old[-1]["devices"]), "")
        begun, ended = self._night(number) if job["schedule"] else self._slot(place or job["name"], is_long=bool(place))
        job_id = new_id()
        waited = timedelta(minutes=self.random.uniform(0, 30))
        times = {"created_at": begun - waited, "started_at": begun, "finished_at": ended}
        self.connection.execute(insert(jobs), job | times | {"id": job_id, "pipeline": None, "step": None})
        if job["schedule"]:
            _fire(self.connection, job["id"], job_id, begun, is_skipped=number == _SKIPPED)
        moved = {"placed_at": begun, "started_at": begun, "ended_at": ended, "job_id": job_id}
        rows = [{**row, **moved, "id": f"{job_id}-{row['number']}"} for row in old]
        self.connection.execute(insert(attempts), rows)

    def _night(self, number: int) -> tuple[datetime, datetime]:
        begun = (self.now - timedelta(days=number)).replace(hour=2, minute=0, second=2)
        return begun, begun + timedelta(minutes=self.random.uniform(20, 40))

    def _slot(self, place: str, *, is_long: bool) -> tuple[datetime, datetime]:
        lasted = timedelta(minutes=self.random.uniform(12, 95) if is_long else self.random.uniform(1, 5))
        ended = self.ends.get(place, self.now - timedelta(minutes=self.random.uniform(4, 20)))
        self.ends[place] = ended - lasted - timedelta(minutes=self.random.choice((3, 8, 25, 90)))
        return ended - lasted, ended


def _fire(connection: Connection, old: str, job_id: str, begun: datetime, *, is_skipped: bool) -> None:
    due_at = begun.replace(second=0, microsecond=0)
    row = connection.execute(select(fires).where(fires.c.job_id == old)).mappings().first()
    if row is None or connection.execute(select(fires.c.due_at).where(fires.c.due_at == due_at)).first():
        return
    said = {"outcome": "skipped", "reason": "The run of the night before was still going on.", "job_id": None}
    moved = {"due_at": due_at, "decided_at": due_at, "job_id": job_id} | (said if is_skipped else {})
    connection.execute(insert(fires), {**row, **moved})
