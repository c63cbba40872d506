"""
The conductor, as a scheduler of `celery beat`.

It keeps nothing in memory: each tick reads SQL. It waits for the doorbell inside its own tick,
because beat's sleep between ticks cannot be woken, and returns at least once a second.
"""

import gc
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from celery.beat import Scheduler
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from beat.alert_watch import AlertWatch
from beat.bell import Bell
from beat.courier import Courier
from beat.forgetting import Forgetting
from beat.gauges import Gauges
from beat.intake import Intake
from beat.leader import RENEW_EVERY, Leader
from beat.meter import Meter
from beat.pool_watch import PoolWatch
from beat.sealer import Sealer
from beat.sender import Sender
from beat.tick import Tick
from beat.timekeeper import Timekeeper
from beat.trigger_watch import TriggerWatch
from beat.waker import Waker
from levare import settings
from levare.errors import StaleLeader
from levare.pulse import Pulse
from levare.secrets import Vault
from levare.store.engine import Database
from levare.store.sharing import rules_of
from levare.store.watches import BEAT
from levare.watching import Watcher

log = get_logger()

_POLL_SECONDS = 0.8
_REST_SECONDS = 0.004  # between two decisions, so that what comes in a burst is decided in one
_AFTER_TROUBLE_SECONDS = 1.0


class Conductor(Scheduler):
    def __init__(self, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self._begun = self._is_frozen = False
        super().__init__(*args, lazy=lazy, **kwargs)

    _patience = _POLL_SECONDS
    """Until it looks by itself: no longer than until the next schedule is due."""
    schedule = property(lambda _self: {})  # nothing of Celery's own; the schedules live in SQL

    def setup_schedule(self) -> None:
        """Called once, by the instance that will tick."""
        configured = settings.load()
        self._database = Database(configured.database)
        self._leader = Leader(self._database)
        self._waker = Waker(configured.redis_url)
        self._timekeeper = Timekeeper(self._database, self._leader, rules_of(configured))
        self._tick = Tick(self._database, self._leader, rules_of(configured), wake=self._waker.wake)
        self._pools = PoolWatch(self._database, self._leader)
        self._gauges = Gauges(configured.redis_url)
        self._meter = Meter(configured.redis_url, self._leader.holds)
        self._triggers = TriggerWatch(
            self._database, self._leader, rules_of(configured), heartbeats=self._gauges.latest
        )
        self._forgetting = Forgetting(self._database, self._leader)
        self._decided_at = monotonic()
        self._alerts = AlertWatch(
            Database(configured.database),
            self._leader,
            Pulse(configured.redis_url),
            decided_at=lambda: self._decided_at,
        )
        self._courier = Courier(
            Database(configured.database),
            self._leader,
            vault=Vault(configured.secrets, "beat"),
            networks=configured.channel_networks,
        )
        self._bell = Bell(configured.redis_url)
        self._sender = Sender(self.app)
        self._sealer = Sealer(self._database, active=self._leader.holds)
        self._watcher = Watcher(self._database, BEAT, tell=self._bell.ring, active=self._leader.holds)
        self._intake = Intake(configured, tell=self._bell.ring)
        self._intake.start()
        self._bell.start()
        self._sender.start()
        self._waker.start()
        self._gauges.start()
        self._meter.start()
        self._watcher.start()
        self._alerts.start()
        self._courier.start()
        self._sealer.start()
        self._begun = True

    def tick(self, *_: Any, **__: Any) -> float:
        """Wait for the doorbell, then decide if we lead. Returns the seconds that beat should sleep: none."""
        try:
            return self._conduct()
        except StaleLeader:
            self._leader.stale()
        except SQLAlchemyError as error:
            log.warning("database.unreachable", error=str(error.__cause__ or error))
            return _AFTER_TROUBLE_SECONDS
        return 0

    def _conduct(self) -> float:
        if not self._leader.leads():
            return RENEW_EVERY.total_seconds() / 2
        self._bell.wait(self._patience, rest=_REST_SECONDS)
        with self._meter.ticking():
            self._decide()
        self._freeze_once()
        self._forgetting.run(now=datetime.now(UTC))
        return 0

    def _freeze_once(self) -> None:
        """Spare the garbage collector what is there after a decision and stays: a look at all of it takes 0.1 s."""
        if not self._is_frozen:
            gc.collect()
            gc.freeze()
            self._is_frozen = True

    def _decide(self) -> None:
        until_due = self._timekeeper.run(now=datetime.now(UTC))
        self._patience = _POLL_SECONDS if until_due is None else min(until_due.total_seconds(), _POLL_SECONDS)
        messages, again = self._tick.run(now=datetime.now(UTC))
        self._sender.hand_over(messages)
        self._meter.sent(len(messages))
        self._decided_at = monotonic()
        self._pools.run(self._tick.without_room, now=datetime.now(UTC))
        if self._look_after_triggers() or again:
            self._bell.ring()

    def _look_after_triggers(self) -> bool:
        """Whether to decide again at once; whatever is wrong there, jobs are scheduled."""
        try:
            return self._triggers.run(now=datetime.now(UTC))
        except (StaleLeader, SQLAlchemyError):
            raise
        except Exception:
            log.exception("triggers.failed")
            return False

    def close(self) -> None:
        """Give the lease up, so that another beat need not wait for it to run out."""
        if self._begun:
            try:
                self._leader.release()
            except SQLAlchemyError as error:
                log.warning("leadership.not_released", error=str(error))
