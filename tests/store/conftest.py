"""Rows to start from."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from levare.model import Device
from levare.store import nodes, tables
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission, lane_of, new_row
from levare.store.nodes import NodeFacts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def add_job(database: Database) -> Callable[..., str]:
    """Write a job as a submit would, any column overridden."""

    def add(job_id: str = "job", **changes: Any) -> str:
        wish = Submission(command=["true"], name=job_id)
        row = new_row(wish, job_id, "waiting", Actor("tester", "token"), NOON) | changes
        row["lane"] = lane_of(row)
        with database.writing() as connection:
            connection.execute(insert(tables.jobs), [row])
        return job_id

    return add


@pytest.fixture
def add_node(database: Database) -> Callable[..., str]:
    """Let a node join."""

    def add(
        name: str = "n1", *, gpus: int = 2, cpus: int = 8, incarnation: str = "i1", price: float | None = None
    ) -> str:
        cards = [Device(f"{name}-{i}", i, 80 * 1024, "H100") for i in range(gpus)]
        facts = NodeFacts(name, "boot", cpus, 65536, cards, simulated=True, version="1", price=price)
        with database.writing() as connection:
            nodes.join(connection, facts, incarnation=incarnation, now=NOON)
        return name

    return add
