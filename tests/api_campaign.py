"""
Does the API keep to its OpenAPI document? `python -m tests.api_campaign --cases 20000` asks schemathesis.

A real `python -m app` over a real database, with something of each kind in it, is asked all that the document allows
and much that it does not: its examples, every limit of every value, values at random, and sequences that follow the
links. All checks are on, two of them as tests/api_checks.py has them. It ends with what was found, and fails if that
is anything or fewer cases were tried. `--database postgresql` tries that, `-- --phases stateful` only a part.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from sqlalchemy import insert

from levare.settings import load
from levare.store import jobs, migrate, pipelines, silences, tokens
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.pipelines import PipelineWish
from levare.store.tables import families
from levare.store.tables_alerts import alerts
from tests import postgresql
from tests.authorizing import LATER
from tests.end_to_end.serving import NO_REDIS, Api
from tests.fleet import eventually

ROOT = Path(__file__).parent.parent
REPLACED = "response_schema_conformance,positive_data_acceptance"
"""What tests/api_checks.py does instead."""
_JOB = {"command": ["true"]}
DECLARED = {
    "/v1/teams/vision": {"weight": 2.0},
    "/v1/windows/driver-upgrade": {"nodes": ["node-a"], "starts": "2000-01-01T00:00:00Z", "ends": LATER},
    "/v1/pools/small": {"workers": 0},
    "/v1/channels/ops": {"webhook": {"url": "https://hooks.example.org/levare"}},
    "/v1/alert-rules/hang": {"when": {"failure": {}}},
    "/v1/schedules/nightly": {"cron": "0 3 * * *", "job": _JOB},
    "/v1/triggers/new-data": {"when": {"event": {"type": "dataset.ready"}}, "job": _JOB},
    **{f"/v1/schedules/s{number}": {"cron": "0 3 * * *", "job": _JOB} for number in range(8)},
}
_ALERT = {
    "rule": "hang",
    "kind": "hang",
    "subject": "k3v9x2m1qa",
    "severity": "warning",
    "message": "It hangs.",
    "detail": {},
    "job_id": "k3v9x2m1qa",
    "team": "vision",
    "node": "n1",
    "is_silenced": False,
    "told": [],
}
CONFIGURATION = """
[checks.negative_data_rejection]  # refused, too: what is not as expected, or too large to be looked at
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429]

[[operations]]
include-operation-id = "read_log"
parameters = { follow = false }  # a stream of a job that waits ends only with the job

[[operations]]
include-operation-id = "list_events"
parameters = { follow = false }  # and one of what happens never
"""


@contextmanager
def web(home: Path, url: str) -> Iterator[Api]:
    """The process as Procfile starts it, without a limit of requests, and something of what there can be."""
    environ = {"LEVARE_HOME": str(home), "LEVARE_PORT": "0", "LEVARE_DATABASE": url, "LEVARE_REDIS": NO_REDIS}
    environ |= {"LEVARE_RATE": "0"}
    settings, database = load(environ), Database(url)
    migrate.upgrade(database)
    with (home / "web.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | environ, stdout=log, stderr=log)
    try:
        eventually((home / "address").exists)
        token = {"Authorization": f"Bearer {settings.token_file.read_text()}"}
        with httpx.Client(base_url=(home / "address").read_text(), headers=token, timeout=20) as client:
            api = Api(str(client.base_url), settings, database, client)
            fill(api)
            yield api
    finally:
        process.terminate()
        process.wait(30)
        database.dispose()


def fill(api: Api) -> None:
    """Something of each kind, by the names that the document has as examples."""
    api.join("node-a", gpus=64, cpus=65536)
    api.join()
    actor, now = Actor("", "campaign"), datetime.now(UTC)
    with api.database.writing() as connection:
        jobs.submit(connection, Submission(command=["true"], team="vision"), job_id="k3v9x2m1qa", actor=actor, now=now)
        wish = PipelineWish(name="nightly", steps=[("train", Submission(command=["true"]))])
        pipelines.submit(connection, wish, ids=["p7d2m9x4ka", "p7d2m9x4kb"], actor=actor, now=now)
        secret, said = tokens.new_secret(), {"name": "example", "role": "metrics", "expires_at": None}
        tokens.create(connection, token_id="k3v9x2m1qa", secret=secret, **said, actor=actor, now=now)
        known = {"name": "vision/imagenet/resnet-50", "seconds": [60.0], "fast_failures": 0, "updated_at": now}
        connection.execute(insert(families), known)
        silence = {"ends_at": now + timedelta(days=1), "reason": "Known.", "actor": actor, "now": now}
        for rule in ("hang", "straggler", "gpu-idle"):
            silences.add(connection, {"rule": rule}, **silence)
        connection.execute(insert(alerts), [{**_ALERT, "number": 17, "begun_at": now, "seen_at": now}])
    attempt = api.start("k3v9x2m1qa")
    api.write(attempt, (0, b"head"), (100, b"tail"))
    api.finish(attempt)
    for path, body in DECLARED.items():
        api.client.put(path, json=body).raise_for_status()
    code = api.client.post("/v1/nodes/invitations", json={}).json()["code"]
    api.client.post("/v1/nodes/join", json={"code": code, "name": "atlas"})


def ask(api: Api, home: Path, arguments: argparse.Namespace) -> tuple[int, int]:
    """The exit status of schemathesis, and how many cases it tried."""
    (home / "schemathesis.toml").write_text(CONFIGURATION)
    report = Path(arguments.report or home / "report.ndjson")
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(home / "schemathesis.toml")),
        *("run", f"{api.url}/openapi.json".replace("//openapi", "/openapi"), "--checks", "all"),
        *("--exclude-checks", REPLACED),
        *("--header", f"Authorization: {api.client.headers['Authorization']}", "--continue-on-failure"),
        *("--max-examples", str(arguments.examples), "--seed", str(arguments.seed), "--workers", "1"),
        *("--request-timeout", "30", "--report-ndjson-path", str(report)),
        *("--suppress-health-check", "filter_too_much,too_slow", *arguments.more),
    ]
    environ = os.environ | {"SCHEMATHESIS_HOOKS": "tests.api_checks"}
    status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    return status, cases_in(report)


def cases_in(report: Path) -> int:
    return sum(line.count('"status_code"') for line in report.open())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="fail if fewer were tried")
    parser.add_argument("--examples", type=int, default=150, help="at most so many of each operation in a phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--report", help="keep the events of schemathesis (NDJSON) there")
    parser.add_argument("more", nargs="*", help="for schemathesis, behind --")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Path(folder)
        if arguments.database == "sqlite":
            with web(home, f"sqlite:///{home / 'levare.db'}") as api:
                status, tried = ask(api, home, arguments)
        else:
            with postgresql.served() as url, web(home, url) as api:
                status, tried = ask(api, home, arguments)
        failed = (home / "web.log").read_text().count("request.failed")
    sys.stdout.write(f"{tried} cases on {arguments.database}, {failed} of which web could not answer.\n")
    return status or int(tried < arguments.cases or failed > 0)


if __name__ == "__main__":
    sys.exit(main())
