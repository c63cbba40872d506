"""What is measured: databases with many jobs and a long log, and the processes that answer over them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Connection, insert, update

from levare.model import SUCCEEDED, Placement, Request
from levare.store import attempts, migrate, nodes, shipping, tables
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission, new_row, submit
from levare.store.nodes import NodeFacts
from tests import postgresql
from tests.fleet import ROOT, eventually, fleet

_BATCH, _PIECE = 5000, 64 * 1024
_LINE = b"step 1234 loss 0.31415 accuracy 0.9271 lr 0.0003 samples/s 812.4 " + b"." * 34 + b"\n"


@dataclass
class Stage:
    """One database, levare's API over it, and the bare route."""

    url: str
    token: str
    web: psutil.Process
    bare_url: str
    bare: psutil.Process
    jobs: list[str]
    logged: str
    log_bytes: int


@contextmanager
def staged(folder: Path, backend: str, *, jobs: int, log_mib: int) -> Iterator[Stage]:
    """Without beat and workers: nothing but what asks uses the machine."""
    home = folder / backend
    home.mkdir()
    with ExitStack() as stack:
        url = f"sqlite:///{home / 'levare.db'}"
        if backend == "postgresql":
            url = stack.enter_context(postgresql.served())
        ids, size = fill(url, jobs, log_mib << 20)
        settings = {"LEVARE_DATABASE": url, "LEVARE_RATE": "0"}
        deployment = stack.enter_context(fleet(home, **settings))
        deployment.start("redis", "web")
        address = home / "bare"
        bare = stack.enter_context(_process("benchmarks.api.bare", url, str(address)))
        eventually(lambda: (home / "address").exists() and address.exists(), within=120)
        yield Stage(
            (home / "address").read_text(),
            (home / "admin.token").read_text().strip(),
            psutil.Process(deployment.processes["web"].pid),
            address.read_text(),
            psutil.Process(bare.pid),
            ids,
            ids[-1],
            size,
        )


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def fill(url: str, count: int, log_bytes: int) -> tuple[list[str], int]:
    """Jobs that have ended, and after them one with a log; their ids, oldest first, and the bytes of the log."""
    database = Database(url)
    migrate.upgrade(database)
    actor, now = Actor("", "levare"), datetime.now(UTC)
    rows = [_row(number, count, actor, now) for number in range(count)]
    with database.writing() as connection:
        for begin in range(0, count, _BATCH):
            connection.execute(insert(tables.jobs), rows[begin : begin + _BATCH])
        _analyse(connection)
        job = _run(connection, actor, now)
        size = _write_log(connection, f"{job}-1", log_bytes)
        attempts.finish(connection, f"{job}-1", Outcome(SUCCEEDED, "Exited with code 0.", 0, log_bytes=size))
        ended = {"state": SUCCEEDED, "exit_code": 0, "finished_at": now}
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job).values(**ended))
        connection.execute(update(tables.attempts).values(settled=True))
    database.dispose()
    return [*(str(row["id"]) for row in rows), job], size


def _analyse(connection: Connection) -> None:
    """PostgreSQL does it by itself, but only some time after so many rows have come at once."""
    connection.exec_driver_sql("ANALYZE")


def _run(connection: Connection, actor: Actor, now: datetime) -> str:
    """A job that runs on a node."""
    nodes.join(connection, NodeFacts("n1", "boot", 8, 65536, [], simulated=True, version="1"), incarnation="i", now=now)
    submit(connection, Submission(command=["python", "train.py"]), job_id="logged0000", actor=actor, now=now)
    attempts.place(connection, [Placement("logged0000", "n1", Request())], {}, now=now)
    attempts.claim(connection, "logged0000-1", node="n1", incarnation="i", at=now)
    attempts.started(connection, "logged0000-1", at=now)
    return "logged0000"


def _write_log(connection: Connection, attempt: str, size: int) -> int:
    piece = _LINE * (_PIECE // len(_LINE))
    pieces = [(offset, piece) for offset in range(0, size, len(piece))]
    shipping.append_log(connection, attempt, pieces, size=len(pieces) * len(piece))
    return len(pieces) * len(piece)


def _row(number: int, count: int, actor: Actor, now: datetime) -> dict[str, object]:
    wish = Submission(
        command=["python", "train.py", "--lr", "0.1", "--seed", str(number)],
        name=f"train-{number % 200}",
        team=f"team-{number % 10}",
        gpus=1,
        env={"SEED": str(number)},
    )
    at = now - timedelta(seconds=count - number)
    row = new_row(wish, f"b{number:09d}", SUCCEEDED, actor, at)
    ended = {"started_at": at, "finished_at": at, "exit_code": 0, "reason": "Exited with code 0.", "attempt": 1}
    return row | ended
