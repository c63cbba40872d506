"""Rows to start from."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from levare.model import Device, Request
from levare.store import nodes, tables
from levare.store.engine import Database
from levare.store.nodes import NodeFacts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def add_job(database: Database) -> Callable[..., str]:
    """Write a job as a submit would, any column overridden."""

    def add(job_id: str = "job", **changes: Any) -> str:
        request = Request(**{name: changes.pop(name) for name in ("gpus", "cpus", "memory_mib") if name in changes})
        row = _job(job_id) | vars(request) | {"shape": request.shape} | changes
        with database.writing() as connection:
            connection.execute(insert(tables.jobs), [row])
        return job_id

    return add


@pytest.fixture
def add_node(database: Database) -> Callable[..., str]:
    """Let a node join."""

    def add(name: str = "n1", *, gpus: int = 2, cpus: int = 8, incarnation: str = "i1") -> str:
        cards = [Device(f"{name}-{i}", i, 80 * 1024, "H100") for i in range(gpus)]
        facts = NodeFacts(name, "boot", cpus, 65536, cards, simulated=True, version="1")
        with database.writing() as connection:
            nodes.join(connection, facts, incarnation=incarnation, now=NOON)
        return name

    return add


def _job(job_id: str) -> dict[str, Any]:
    return {
        "id": job_id,
        "name": job_id,
        "team": "default",
        "project": "default",
        "user": "tester",
        "state": "waiting",
        "priority": 5,
        "command": ["true"],
        "cwd": "",
        "env": {},
        "grace_seconds": 10,
        "retries": 0,
        "on_lost": "keep",
        "attempt": 0,
        "losses": 0,
        "created_at": NOON,
    }
