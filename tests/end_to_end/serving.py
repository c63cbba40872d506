"""The API on a real port over a real database, and what other processes would have written there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import uvicorn
from sqlalchemy import func, select, update

from app.__main__ import configuration, listen, prepare, url_of
from levare.model import Device, Placement, Request
from levare.settings import Settings, load
from levare.store import attempts, nodes, shipping, tables
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.nodes import NodeFacts
from tests.fleet import eventually

NO_REDIS = "redis://127.0.0.1:1/0"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Api:
    """A served API and its database."""

    url: str
    settings: Settings
    database: Database
    client: httpx.Client
    stopping: Event = field(default_factory=Event)

    def submit(self, *command: str, **wish: Any) -> str:
        answer = self.client.post("/v1/jobs", json={"command": list(command) or ["true"], **wish})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def count(self, table: str) -> int:
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one()

    def join(self, name: str = "n1", *, gpus: int = 2, cpus: int = 8, **offers: Any) -> None:
        """What a worker writes when it starts."""
        cards = [Device(f"{name}-{i}", i, 81920, "H100") for i in range(gpus)]
        facts = NodeFacts(name, "boot", cpus, 65536, cards, simulated=True, version="1", **offers)
        with self.database.writing() as connection:
            nodes.join(connection, facts, incarnation="i1", now=NOON)

    def start(self, job_id: str) -> str:
        """What beat and a worker write until the job runs; its attempt."""
        with self.database.writing() as connection:
            [message] = attempts.place(connection, [Placement(job_id, "n1", Request())], {}, now=NOON)
            attempt = message.attempt_id
            assert attempts.claim(connection, attempt, node="n1", incarnation="i1", at=NOON)
            assert attempts.started(connection, attempt, at=NOON)
        return attempt

    def write(self, attempt: str, *pieces: tuple[int, bytes], size: int | None = None) -> None:
        """What a worker ships of a log."""
        end = max(offset + len(data) for offset, data in pieces)
        with self.database.writing() as connection:
            shipping.append_log(connection, attempt, pieces, size=end if size is None else size)

    def finish(self, attempt: str, *, state: str = "succeeded", exit_code: int = 0, settle: bool = True) -> None:
        """What a worker writes when the process has ended, and what beat makes of it."""
        with self.database.writing() as connection:
            size = shipping.log_position(connection, attempt)
            outcome = Outcome(state, f"Exited with code {exit_code}.", exit_code, log_bytes=size)
            assert attempts.finish(connection, attempt, outcome)
        if settle:
            self.settle(attempt, state=state, exit_code=exit_code)

    def settle(self, attempt: str, *, state: str, exit_code: int) -> None:
        values = {"state": state, "exit_code": exit_code, "reason": "It ended.", "finished_at": NOON}
        with self.database.writing() as connection:
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == attempt.split("-", maxsplit=1)[0]).values(**values)
            )
            connection.execute(update(tables.attempts).where(tables.attempts.c.id == attempt).values(settled=True))


@contextmanager
def serving(home: Path, database_url: str, redis: str = NO_REDIS, **environ: str) -> Iterator[Api]:
    """Serve in a thread until the end of the block."""
    names = {"LEVARE_HOME": str(home), "LEVARE_PORT": "0", "LEVARE_DATABASE": database_url, "LEVARE_REDIS": redis}
    settings, stopping = load(names | environ), Event()
    prepare(settings)
    listener = listen(settings)
    server = uvicorn.Server(configuration(settings, stopping))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    eventually(lambda: server.started)
    database, url = Database(database_url), url_of(listener)
    headers = {"Authorization": f"Bearer {settings.token_file.read_text()}"}
    with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
        try:
            yield Api(url, settings, database, client, stopping)
        finally:
            stopping.set()
            server.should_exit = True
            thread.join(20)
            database.dispose()
    assert not thread.is_alive()


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, which must be complete."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "code", "next_step", "errors"}
    assert (problem["code"], problem["type"], problem["status"]) == (code, f"urn:levare:problem:{code}", status)
    assert all(problem[name] for name in ("title", "detail", "next_step", "instance"))
    return problem
