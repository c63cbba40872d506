"""A watch over a process that a test plays."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from levare.model import Placement, Request
from levare.store import attempts
from levare.store.attempts import Mine
from levare.store.engine import Database
from levare.store.tables import attempts as attempts_table
from tests.fleet import eventually
from worker import files
from worker.heart import Usage
from worker.hold import Hold
from worker.rundir import RunDir, Spec
from worker.watch import Watch

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def watch(database: Database, add_job, add_node, tmp_path: Path, process: subprocess.Popen[bytes]) -> Iterator[Watch]:
    """Of an attempt that has been claimed and whose command does not run yet."""
    add_node()
    add_job()
    with database.writing() as connection:
        attempts.place(connection, [Placement("job", "n1", Request())], {}, now=NOON)
        attempts.claim(connection, "job-1", node="n1", incarnation="i1", at=NOON)
    run = RunDir(tmp_path / "job-1")
    run.write_spec(
        Spec("job-1", ["true"], {"LEVARE_CHECKPOINTS": str(tmp_path)}, "/", 1, None, 1, 1, None, None, None, 1)
    )
    watch = Watch(
        run,
        Mine("job-1", "starting", "cpu.n1", {}),
        Hold(os.pidfd_open(process.pid)),
        database=database,
        usage=lambda _: Usage(),
        over=lambda _: None,
        release=Hold.close,
        adopted=False,
    )
    threading.Thread(target=watch.follow, daemon=True).start()
    yield watch
    process.send_signal(signal.SIGKILL)
    assert watch.done.wait(20)


def state_of(database: Database) -> str:
    with database.reading() as connection:
        return connection.execute(select(attempts_table.c.state)).scalar_one()


def test_a_command_that_takes_its_time_to_start_is_running_in_the_end(
    database: Database, watch: Watch, process: subprocess.Popen[bytes]
):
    assert not watch.done.wait(0.3)  # the first look has found nothing
    assert state_of(database) == "starting"

    state = {"supervisor_pid": process.pid, "supervisor_start": 0, "pid": 0, "start": 0, "boot_id": "", "cgroup": None}
    files.put(str(watch.run_dir.path / "state.json"), {**state, "started_at": NOON.timestamp()})

    eventually(lambda: state_of(database) == "running")
