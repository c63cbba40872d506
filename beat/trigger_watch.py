"""
Triggers: what has happened is recorded for each that is about it, and decided in the same transaction.

A run and its job are written together under the lease of the leader, so an occurrence starts one run or none. A
trigger that fails does not stop the others: its own savepoint is undone and the problem is written down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from structlog import get_logger

from beat.leader import Leader
from beat.looking import Sight, World, concerns, look
from levare.decide.declared import Trigger, declared
from levare.decide.events import environment_of, parameters_of
from levare.decide.triggers import HELD, RUN, Verdict, decide, next_look
from levare.errors import InvalidRequest, LevareError
from levare.model import Parameters, Rules
from levare.store import activations, ended_runs, events, triggers
from levare.store.activations import Pending
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.ids import new_id
from levare.store.jobs import Intake
from levare.store.triggers import Standing
from levare.store.work import Cause, Started, start

log = get_logger()

_MOST_REFUSALS = 20
"""So many runs of one trigger are refused in one transaction; the rest comes with the next."""


class TriggerWatch:
    def __init__(
        self,
        database: Database,
        leader: Leader,
        rules: Rules,
        *,
        heartbeats: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
    ) -> None:
        self._database, self._leader, self._rules, self._heartbeats = database, leader, rules, heartbeats

    def run(self, *, now: datetime) -> bool:
        """Look once; return whether something has started or more is waiting to be looked at."""
        with self._database.reading() as connection:
            if not triggers.is_anything(connection, now=now):
                return False
        heartbeats = self._heartbeats()
        with self._database.writing() as connection:
            self._leader.renew_in(connection)
            return self._look(connection, heartbeats, now)

    def _look(self, connection: Connection, heartbeats: Mapping[str, Mapping[str, float]], now: datetime) -> bool:
        received, (ended, noted) = events.unsettled(connection), ended_runs.noted(connection)
        world = World(received, ended, heartbeats)
        concerned = [row.name for row in triggers.every(connection) if concerns(row, world, now=now)]
        started = [self._attend(connection, name, world, now) for name in concerned]
        events.settle(connection, [row["number"] for row in received])
        ended_runs.forget(connection, noted)
        is_more = len(received) == events.MOST_AT_ONCE or len(noted) == ended_runs.MOST_AT_ONCE
        return any(started) or is_more

    def _attend(self, connection: Connection, name: str, world: World, now: datetime) -> bool:
        """
        Whether a run of this trigger has started; what goes wrong is written down, and its own affair.

        What has happened stays recorded when the deciding fails.
        """
        try:
            with connection.begin_nested():
                row = triggers.locked(connection, name)
                if row is None:
                    return False
                trigger = declared(row.name, row.definition)
                sight = look(connection, trigger, row, world, now=now)
                activations.record(connection, trigger, sight.happenings, now=now)
            with connection.begin_nested():
                return self._decide(connection, trigger, row, sight, now)
        except (OperationalError, InterfaceError):  # it is the database's trouble, not the trigger's
            raise
        except Exception as error:
            log.exception("trigger.failed", trigger=name)
            triggers.mark(connection, name, f"levare failed with {type(error).__name__}: {error}.", now=now)
            return False

    def _decide(self, connection: Connection, trigger: Trigger, row: Any, sight: Sight, now: datetime) -> bool:
        judge = _Judge(connection, trigger, row, epoch=self._leader.epoch or 0, rules=self._rules, now=now)
        next_at = judge.decide()
        later = row.wakes_at if row.wakes_at is not None and row.wakes_at > now else None
        wakes_at = min((at for at in (sight.wakes_at, next_at, later) if at is not None), default=None)
        triggers.stand(connection, row.name, Standing(sight.state, wakes_at, judge.problem), now=now)
        return judge.started > 0


class _Judge:
    """Decides what waits at one trigger, and starts what is to run."""

    def __init__(
        self, connection: Connection, trigger: Trigger, row: Any, *, epoch: int, rules: Rules, now: datetime
    ) -> None:
        self._connection, self._trigger, self._row = connection, trigger, row
        self._epoch, self._rules, self._now = epoch, rules, now
        self.started = 0
        self.problem: str | None = None

    def decide(self) -> datetime | None:
        """Give every occurrence its verdict and return when to look again; after a refusal decide the rest anew."""
        for _ in range(_MOST_REFUSALS):
            waiting = activations.pending(self._connection, self._trigger.name)
            if not waiting:
                return None
            facts = activations.facts(self._connection, self._row, waiting, now=self._now)
            verdicts = decide([each.occurrence for each in waiting], facts, self._trigger.brakes, now=self._now)
            if self._carry_out(verdicts, waiting):
                return self._now if len(waiting) == activations.MOST_PENDING else next_look(verdicts)
        return self._now

    def _carry_out(self, verdicts: Sequence[Verdict], waiting: Sequence[Pending]) -> bool:
        """False as soon as a run is refused, for what follows was decided as if it had started."""
        told = {each.occurrence.key: each.reason for each in waiting}
        for verdict in verdicts:
            if verdict.outcome != RUN:
                if any(told[key] != verdict.reason for key in verdict.keys):
                    self._settle(verdict, None)
                continue
            try:
                with self._connection.begin_nested():
                    self._settle(verdict, self._start(verdict.keys))
            except LevareError as error:
                self.problem = f"Its run was refused: {error}"
                self._settle(replace(verdict, outcome=HELD, reason=self.problem), None)
                return False
            self.started += 1
        return True

    def _settle(self, verdict: Verdict, started: Started | None) -> None:
        name, epoch = self._trigger.name, self._epoch
        activations.settle(self._connection, name, verdict, started, epoch=epoch, now=self._now)

    def _start(self, keys: Sequence[str]) -> Started:
        happened = activations.events_of(self._connection, self._trigger.name, keys)
        actor = Actor("", self._row.owner, source="trigger")
        intake = Intake(self._connection, actor, now=self._now, rules=self._rules)
        cause = Cause(
            trigger=self._trigger.name,
            parameters=self._parameters(happened[-1]),
            env=environment_of(happened),
        )
        return start(intake, self._trigger.work, cause, new_id=new_id)

    def _parameters(self, event: Mapping[str, Any]) -> Parameters:
        """Those of the newest event."""
        try:
            return parameters_of(self._trigger.parameters, event)
        except KeyError as error:
            path = error.args[0]
            raise InvalidRequest(
                f"The event has no {path}, which a parameter takes its value from.", "Give the parameter a `default`."
            ) from None
