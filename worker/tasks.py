"""The one Celery task: take an attempt, wait for its end, say how it went."""

from typing import Any

from celery import Celery
from celery.exceptions import Ignore
from celery.worker.control import control_command
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.broker import RUN
from levare.model import CANCELLED, PREEMPTED, SUCCEEDED
from levare.store.audit import Actor
from worker import pool
from worker.herald import Herald
from worker.runner import Runner
from worker.watch import Watch

log = get_logger()

FLOWER = Actor(token_id="", name="flower", source="redis")
"""Who wishes a cancel when somebody presses Terminate in Flower."""


class AttemptFailed(Exception):
    """How Celery and Flower learn that an attempt did not succeed."""


def register(app: Celery, runner: Runner, herald: Herald) -> None:
    """Add `levare.run`, which takes an attempt id and nothing that could be run."""
    pool.when_stopping(runner.detach)

    @app.task(name=RUN, throws=(AttemptFailed,), shared=False)
    def run(attempt_id: str) -> None:
        watch = _take(runner, attempt_id)
        if watch is None or not watch.attend():
            raise Ignore  # stale, repeated, or somebody waits for it already: a normal answer
        try:
            herald.announce(watch)
        finally:
            watch.follow()
        if watch.outcome is None:
            raise Ignore  # this worker goes away, the training does not
        if watch.outcome.state in (CANCELLED, PREEMPTED):
            herald.over(watch)  # Celery says so only of what it revoked itself
            raise Ignore
        if watch.outcome.state != SUCCEEDED:
            raise AttemptFailed(watch.outcome.reason)


def _take(runner: Runner, attempt_id: str) -> Watch | None:
    """Without the database nothing is claimed; beat sends again what nobody has claimed."""
    try:
        return runner.take(attempt_id)
    except SQLAlchemyError as error:
        log.warning("attempt.not_claimed", attempt=attempt_id, error=str(error.__cause__ or error))
        return None


def obey_terminate(runner: Runner) -> None:
    """Let `revoke` with terminate, which is Flower's button, be a wish to cancel, recorded like any other."""

    @control_command(name="revoke", variadic="task_id", args=[("terminate", bool), ("signal", str)])
    def revoke(_state: Any, task_id: Any, terminate: bool = False, **_: Any) -> dict[str, str]:
        ids = task_id if isinstance(task_id, list) else [task_id]
        if not terminate:
            return {"error": "Only terminate is obeyed; cancel what has not started with `levare cancel`."}
        for attempt_id in ids:
            runner.wish_cancel(str(attempt_id), actor=FLOWER)
        return {"ok": f"{len(ids)} attempts are asked to end"}
