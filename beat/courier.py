"""
Takes messages to their channels, apart from deciding. Each is sent at least once, always with the same id.

It is taken on in SQL before it is sent: of two beats one sends it, and if that one dies then it is sent again later. A
channel that hangs keeps its own messages waiting, and nothing else.
"""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread
from time import sleep
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from beat.channels import apprise, email, webhook
from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from beat.leader import Leader
from levare.decide.alerts.telling import TEST, Message, message
from levare.secrets import Vault
from levare.store import alerts, channels, deliveries
from levare.store.engine import Database

log = get_logger()
Row = Mapping[str, Any]

EVERY_SECONDS = 1.0
MOST_TRIES = 12
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=30)
_LEASE = timedelta(seconds=90)
"""If nobody tells how it went, it is sent again after this."""
_AT_ONCE = 8
_LONGEST_ERROR = 500


class Courier(Thread):
    def __init__(self, database: Database, leader: Leader, *, vault: Vault, networks: tuple[str, ...] = ()) -> None:
        super().__init__(name="courier", daemon=True)
        self._database, self._leader, self._vault = database, leader, vault
        self._reach = Reach(networks)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="courier")
        self._lock, self._busy = Lock(), set[str]()

    def run(self) -> None:
        while True:
            if self._leader.holds():
                self._round_safely()
            sleep(EVERY_SECONDS)

    def _round_safely(self) -> None:
        try:
            self.round(now=datetime.now(UTC))
        except SQLAlchemyError as error:
            log.warning("courier.database_unreachable", error=str(error.__cause__ or error))
        except Exception:
            log.exception("courier.failed")

    def round(self, *, now: datetime) -> None:
        """Begin to send what is due: of each channel one message at a time."""
        with self._lock:
            busy = set(self._busy)
        with self._database.reading() as connection:
            due = deliveries.due(connection, busy, now=now)
        for row in due:
            with self._lock:
                if row["channel"] in self._busy:
                    continue
                self._busy.add(row["channel"])
            self._pool.submit(self._carry_safely, row)

    def _carry_safely(self, row: Row) -> None:
        try:
            self.carry(row, now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - it is taken on: after its lease it is tried again
            log.warning("delivery.not_carried", delivery=row["id"], error=repr(error))
        finally:
            with self._lock:
                self._busy.discard(row["channel"])

    def carry(self, row: Row, *, now: datetime) -> None:
        """Send one message, and write down how that went."""
        with self._database.writing() as connection:
            if not deliveries.take(connection, row, again_at=now + _LEASE):
                return
        with self._database.reading() as connection:
            channel = channels.get(connection, row["channel"])
            taken = deliveries.one(connection, row["id"]) or row
            about = alerts.several(connection, taken["alerts"])
        error = _send(channel, taken, about, Secrets(self._vault), self._reach)
        self._settle(taken, error)

    def _settle(self, row: Row, error: Undelivered | None) -> None:
        now, tries = datetime.now(UTC), row["attempts"]
        with self._database.writing() as connection:
            if error is None:
                deliveries.sent(connection, row["id"], now=now)
                return
            is_over = error.is_final or tries >= MOST_TRIES
            again_at = None if is_over else now + max(pause(tries), min(error.pause, LONGEST_PAUSE))
            deliveries.failed(connection, row["id"], str(error)[:_LONGEST_ERROR], again_at=again_at)
        log.warning("delivery.failed", delivery=row["id"], channel=row["channel"], tries=tries, error=str(error))


def pause(tries: int) -> timedelta:
    """Until the next try: doubled each time, and never twice the same for all."""
    whole = min(FIRST_PAUSE * 2 ** min(tries - 1, 20), LONGEST_PAUSE)
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def _send(channel: Row | None, row: Row, about: list[Row], secrets: Secrets, reach: Reach) -> Undelivered | None:
    if channel is None:
        return Undelivered("The channel was removed.", is_final=True)
    said = _TRIAL if row["news"] == TEST else message(row["news"], row["rule"], about)
    definition = channel["definition"][channel["kind"]]
    try:
        match channel["kind"]:
            case "webhook":
                webhook.send(definition, said, row, secrets=secrets, reach=reach)
            case "email":
                email.send(definition, said, row, secrets=secrets, reach=reach)
            case _:
                apprise.send(definition, said, secrets=secrets)
    except Undelivered as error:
        return Undelivered(secrets.without(str(error)), is_final=error.is_final, pause=error.pause)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, it is this message's own affair
        return Undelivered(secrets.without(f"{type(error).__name__}: {error}"))
    return None


_TRIAL = Message(
    "[test] levare",
    "This channel works: levare will tell of alerts here.",
    "info",
    {"news": TEST, "rule": "test", "alerts": []},
)
