"""A beat that looks after triggers at times of the test's choosing, and what happens to them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert, select, update

from beat.leader import Leader
from beat.trigger_watch import TriggerWatch
from levare.model import FINAL, Rules
from levare.store import activations, events, shipping, triggers
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Intake
from levare.store.shipping import Point, Points
from levare.store.tables import attempts, jobs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = Actor("t1", "ada")
JOB = {"command": ["train"], "name": "retrain"}
SECOND = timedelta(seconds=1)


class Watched:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.leader = Leader(database)
        assert self.leader.leads()
        self.heartbeats: dict[str, dict[str, float]] = {}
        self.watch = TriggerWatch(database, self.leader, Rules(), heartbeats=lambda: self.heartbeats)
        self._ids = count()

    def declare(self, name: str = "t", *, now: datetime = NOON, **definition: Any) -> Mapping[str, Any]:
        work = {} if "pipeline" in definition else {"job": JOB}
        with self.database.writing() as connection:
            return triggers.put(
                connection, name, {**work, **definition}, intake=Intake(connection, ADA, now=now, rules=Rules())
            )

    def send(self, at: datetime = NOON, **event: Any) -> bool:
        whole = {"specversion": "1.0", "id": f"e{next(self._ids)}", "source": "/tests", "type": "data.ready", **event}
        with self.database.writing() as connection:
            return events.receive(connection, whole, actor=ADA, now=at)[1]

    def look(self, now: datetime = NOON) -> bool:
        return self.watch.run(now=now)

    def happened(self, name: str = "t") -> list[Mapping[str, Any]]:
        """Oldest first."""
        with self.database.reading() as connection:
            return list(activations.find(connection, name, limit=500))[::-1]

    def outcomes(self, name: str = "t") -> list[str]:
        return [row["outcome"] for row in self.happened(name)]

    def jobs(self) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(select(jobs).order_by(jobs.c.created_at, jobs.c.id)))

    def end(self, job_id: str, state: str = "succeeded", *, at: datetime = NOON) -> None:
        """What the tick of a beat does when a job ends."""
        with self.database.writing() as connection:
            of_it = update(jobs).where(jobs.c.id == job_id, jobs.c.state.not_in(FINAL))
            assert connection.execute(of_it.values(state=state, finished_at=at, reason="It ended.")).rowcount
            triggers.note_endings(connection, [job_id])

    def tell(self, job_id: str, *, at: datetime = NOON, stage: str | None = None, **values: float | str) -> None:
        """A line of metrics of the only attempt of a job."""
        attempt = f"{job_id}-1"
        with self.database.writing() as connection:
            if not connection.execute(select(attempts.c.id).where(attempts.c.id == attempt)).first():
                connection.execute(insert(attempts), _an_attempt(job_id, at))
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(attempt=1))
            begin, _ = shipping.metrics_position(connection, attempt)
            point = Point(begin, at, stage, None, None, values)
            assert shipping.append_points(connection, attempt, Points(begin, begin + 1, [point]))


def _an_attempt(job_id: str, at: datetime) -> dict[str, Any]:
    plain = {"number": 1, "rank": 0, "state": "succeeded", "node": "n1", "queue": "cpu.n1", "devices": {}, "cpus": 1}
    none = dict.fromkeys(("memory_mib", "scratch_mib", "log_bytes", "metrics_offset", "points", "points_dropped"), 0)
    return {"id": f"{job_id}-1", "job_id": job_id, "placed_at": at, "resources": {}, "settled": True, **plain, **none}
