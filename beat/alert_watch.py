"""
Alerts: rules are looked at every few seconds in a thread of its own, so that nothing here delays a decision about jobs.

What is decided is written in one transaction that the lease of the leader fences, together with what channels are to
say. A rule that fails does not stop the others.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Thread
from time import monotonic, sleep, thread_time

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from beat.leader import Leader
from beat.observing import Observer, View
from levare.decide.alerts.deciding import Open, Outcome, Place, decide, orphaned
from levare.decide.alerts.facts import Facts
from levare.decide.alerts.rules import Rule
from levare.decide.conditions import Standing
from levare.errors import StaleLeader
from levare.pulse import Pulse
from levare.store import alert_facts, alert_rules, alerts, run_summaries
from levare.store.engine import Database

log = get_logger()

EVERY_SECONDS = 3.0
_SHARE = 0.04
"""Of a core it takes at most; where looking costs more it looks less often."""
_IDLE_SECONDS = 0.5
_NOTE_EVERY = timedelta(seconds=15)
_PRUNE_EVERY = timedelta(hours=1)


class AlertWatch(Thread):
    def __init__(
        self, database: Database, leader: Leader, pulse: Pulse, *, decided_at: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(name="alerts", daemon=True)
        self._database, self._leader, self._pulse, self._decided_at = database, leader, pulse, decided_at
        self._begin(None)
        self._pruned_at = datetime.min.replace(tzinfo=UTC)

    def run(self) -> None:
        while True:
            sleep(self._look_safely() if self._leader.holds() else _IDLE_SECONDS)

    def _look_safely(self) -> float:
        """Seconds until the next look, whatever went wrong at this one."""
        begun, again = thread_time(), False
        try:
            again = self.look(now=datetime.now(UTC))
        except StaleLeader:
            pass  # the loop that decides finds out by itself
        except SQLAlchemyError as error:
            log.warning("alerts.database_unreachable", error=str(error.__cause__ or error))
        except Exception:
            log.exception("alerts.failed")
        return 0.0 if again else max(EVERY_SECONDS, (thread_time() - begun) / _SHARE)

    def look(self, *, now: datetime) -> bool:
        """Look once, and write what begins and what ends; return whether more has ended than was looked at."""
        epoch = self._leader.epoch
        with self._database.reading() as connection:
            if epoch != self._epoch:
                self._begin(epoch)
                self._away_since = alerts.looked_at(connection)
            rules, opened = alert_rules.in_force(connection), alerts.opened(connection)
            view = self._observer.read(connection, rules, now=now)
        facts = self._observer.facts(view, rules, away_since=self._away_since, now=now)
        outcome = self._decide(rules, facts, opened)
        self._write(view, outcome, now)
        return len(view.ended) == alert_facts.MOST_ENDINGS

    def _begin(self, epoch: int | None) -> None:
        """Nothing that was remembered before another beat led is of use."""
        self._epoch = epoch
        self._observer = Observer(self._pulse, decided_at=self._decided_at)
        self._standings: Mapping[Place, Standing] = {}
        self._away_since: datetime | None = None
        self._noted_at: datetime | None = None

    def _decide(self, rules: Sequence[Rule], facts: Facts, opened: Sequence[Open]) -> Outcome:
        outcomes = [self._of_rule(rule, facts, opened) for rule in rules]
        standings = {place: standing for outcome in outcomes for place, standing in outcome.standings.items()}
        ends = [end for outcome in outcomes for end in outcome.ends] + orphaned(rules, opened)
        return Outcome([start for outcome in outcomes for start in outcome.starts], ends, standings)

    def _of_rule(self, rule: Rule, facts: Facts, opened: Sequence[Open]) -> Outcome:
        try:
            return decide([rule], facts, [alert for alert in opened if alert.rule == rule.name], self._standings)
        except Exception:
            log.exception("alert_rule.failed", rule=rule.name)
            return Outcome()

    def _write(self, view: View, outcome: Outcome, now: datetime) -> None:
        is_due = self._noted_at is None or now - self._noted_at >= _NOTE_EVERY
        if outcome.starts or outcome.ends or view.ended or is_due:
            with self._database.writing() as connection:
                epoch = self._leader.hold_in(connection)
                begun, over = alerts.write(connection, outcome.starts, outcome.ends, epoch=epoch, now=now)
                self._keep(connection, view, now)
            self._noted_at = now
            for row in begun:
                log.warning("alert.begun", alert=row["number"], rule=row["rule"], subject=row["subject"])
            for row in over:
                log.info("alert.ended", alert=row["number"], rule=row["rule"], subject=row["subject"])
        self._away_since, self._standings = None, outcome.standings
        self._observer.forget(view)

    def _keep(self, connection: Connection, view: View, now: datetime) -> None:
        """What is known of families from now on, and that somebody has looked."""
        for over in view.over:
            if over.summary is not None:
                run_summaries.keep(connection, over.job.id, over.job.family, over.summary, ended_at=over.at)
        alert_facts.forget(connection, view.job_ids)
        alerts.look(connection, now=now)
        if now - self._pruned_at >= _PRUNE_EVERY:
            alerts.prune(connection, now=now)
            self._pruned_at = now
