"""
Clients that submit, each with a key of its own, while the API is killed again and again.

    python -m tests.submits_campaign [CLIENTS] [SUBMITS]

On SQLite and on PostgreSQL: 4 clients submit 2,000 jobs each; web gets SIGKILL two seconds after it has begun to
answer, and is started again. There must be exactly as many jobs as keys, and each answer must name the job of its key.
"""

import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from sqlalchemy import func, select

from levare.client import Client
from levare.store.engine import Database
from levare.store.tables import jobs
from tests import postgresql
from tests.end_to_end.serving import NO_REDIS
from tests.fleet import Fleet, eventually, fleet

SERVED_SECONDS = 2.0
_PATIENCE = 600.0


@dataclass
class Trial:
    """What was answered so far, by key, and how often the API was killed."""

    answered: dict[str, str] = field(default_factory=dict)
    kills: int = 0


@dataclass(frozen=True)
class Outcome:
    """What is in the database in the end."""

    jobs: int
    by_key: dict[str, str]
    """Each job has its key for a name."""


def campaign(
    home: Path, database: str, *, clients: int, submits: int, is_due: Callable[[Trial, float], bool]
) -> tuple[Trial, Outcome]:
    """`is_due` says by the trial and the seconds for which the API has answered whether it is to be killed now."""
    trial, port = Trial(), _free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"LEVARE_DATABASE": database, "LEVARE_REDIS": NO_REDIS, "LEVARE_PORT": str(port)}
    with fleet(home, **settings) as deployment, ThreadPoolExecutor(clients) as threads:
        _serve(deployment, url)
        token = (home / "admin.token").read_text().strip()
        work = [threads.submit(_submit, trial, url, token, str(number), submits) for number in range(clients)]
        _kill_until_done(deployment, url, trial, work, is_due)
        for each in work:
            each.result()
    return trial, _outcome(database)


def _submit(trial: Trial, url: str, token: str, name: str, count: int) -> None:
    with Client(url, token, patience=_PATIENCE) as client:
        for number in range(count):
            key = f"{name}-{number}"
            trial.answered[key] = client.submit(["true"], name=key, idempotency_key=key)["id"]


def _kill_until_done(
    deployment: Fleet, url: str, trial: Trial, work: list[Future[None]], is_due: Callable[[Trial, float], bool]
) -> None:
    up_since = time.monotonic()
    while not all(each.done() for each in work):
        if is_due(trial, time.monotonic() - up_since):
            deployment.kill("web")
            trial.kills += 1
            _serve(deployment, url)
            up_since = time.monotonic()
        time.sleep(0.005)


def _serve(deployment: Fleet, url: str) -> None:
    deployment.start("web")
    eventually(lambda: _answers(url), within=120)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _outcome(url: str) -> Outcome:
    database = Database(url)
    with database.reading() as connection:
        count = connection.execute(select(func.count()).select_from(jobs)).scalar_one()
        named = {row.name: row.id for row in connection.execute(select(jobs.c.name, jobs.c.id))}
    database.dispose()
    return Outcome(count, named)


def main() -> None:
    clients, submits = [*map(int, sys.argv[1:]), *(4, 2000)[len(sys.argv) - 1 :]]
    for backend in ("sqlite", "postgresql"):
        with ExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory(prefix="levare-")))
            url = stack.enter_context(postgresql.served()) if backend == "postgresql" else f"sqlite:///{home}/l.db"
            begun = time.monotonic()
            trial, outcome = campaign(
                home, url, clients=clients, submits=submits, is_due=lambda _, served: served >= SERVED_SECONDS
            )
            is_right = outcome == Outcome(clients * submits, trial.answered)
            print(  # noqa: T201  # it is run by hand
                f"{backend}: {len(trial.answered)} keys, {outcome.jobs} jobs, {trial.kills} kills in "
                f"{time.monotonic() - begun:.0f} s: {'right' if is_right else 'WRONG'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
