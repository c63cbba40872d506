"""
Whom a secret stands for. SQL is asked at most every 0.4 s for each secret that is used, so that what is revoked
opens nothing within a second, and a request costs a look into a dictionary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog
from anyio import Event, sleep, to_thread
from sqlalchemy import Connection

from levare.model.access import TEAM, Access
from levare.store import revisions, sessions, teams, tokens
from levare.store.engine import Database

FRESH_SECONDS = 0.4
NOTE_EVERY_SECONDS = 30
_FORGET_AFTER_SECONDS = 600

log = structlog.get_logger()


@dataclass(frozen=True)
class Holder:
    """Who was let in: by which token, and what he may. `asked_at` is monotonic, of when SQL said so."""

    token_id: str
    name: str
    access: Access
    expires_at: datetime | None
    asked_at: float


class Keys:
    """The secrets that opened something lately, by their digests, and when their tokens were used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[str, Holder] = {}
        self._used: dict[str, datetime] = {}
        self._asking: dict[str, Event] = {}
        self._members: tuple[int, Mapping[str, Mapping[str, str]]] | None = None

    def at_hand(self, secret: str) -> Holder | None:
        """The holder of a secret, if SQL has been asked just now."""
        held = self._held.get(tokens.digest_of(secret))
        if held is None or monotonic() - held.asked_at > FRESH_SECONDS or _is_over(held):
            return None
        return self._note(held)

    def is_known(self, secret: str) -> bool:
        """Whether it opened something lately."""
        return tokens.digest_of(secret) in self._held

    async def look_up(self, secret: str, *, is_cookie: bool) -> Holder:
        """
        The holder of a secret, from SQL; raise Unauthorized if it opens nothing, or nothing any more.

        Of many who ask at the same time, as all tabs of a reader do, one asks SQL for all.
        """
        digest = tokens.digest_of(secret)
        asked = self._asking.get(digest)
        if asked:
            await asked.wait()
            held = self.at_hand(secret)
            return held or self._note(await to_thread.run_sync(self._ask, secret, is_cookie))
        self._asking[digest] = Event()
        try:
            return self._note(await to_thread.run_sync(self._ask, secret, is_cookie))
        finally:
            self._asking.pop(digest).set()

    def forget(self) -> None:
        """Something was revoked: ask anew for everything."""
        self._held.clear()

    def _ask(self, secret: str, is_cookie: bool) -> Holder:
        asked_at, digest = monotonic(), tokens.digest_of(secret)
        verify = sessions.verify if is_cookie else tokens.verify
        try:
            with self._database.reading() as connection:
                row = verify(connection, secret, now=datetime.now(UTC))
                access = self._access(connection, row)
        except BaseException:
            self._held.pop(digest, None)
            raise
        held = self._held[digest] = Holder(row["id"], row["name"], access, row["expires_at"], asked_at)
        return held

    def _access(self, connection: Connection, row: Mapping[str, Any]) -> Access:
        """A token that was made for one team says itself what it may; of a person's it is the teams that say so."""
        if row["role"] != TEAM or row["teams"]:
            return Access(row["role"], row["teams"])
        revision = revisions.read(connection).revision
        if self._members is None or self._members[0] != revision:
            self._members = revision, teams.members(connection)
        return Access(TEAM, self._members[1].get(row["name"], {}))

    def _note(self, held: Holder) -> Holder:
        self._used[held.token_id] = datetime.now(UTC)
        return held

    async def keep_notes(self) -> None:
        """Write down from time to time which tokens were used, for as long as the process lives."""
        while True:
            await sleep(NOTE_EVERY_SECONDS)
            await to_thread.run_sync(self.write_notes)

    def write_notes(self) -> None:
        """Write down which tokens were used when; what cannot be written now is written later."""
        used, self._used = self._used, {}
        self._tidy()
        try:
            if used:
                with self._database.writing() as connection:
                    tokens.note_use(connection, used)
        except Exception as error:  # noqa: BLE001  # a database that is away must not end the loop
            self._used = used | self._used
            log.warning("token_use.unwritten", error=type(error).__name__)

    def _tidy(self) -> None:
        now = monotonic()
        held = self._held.copy()
        self._held = {key: each for key, each in held.items() if now - each.asked_at < _FORGET_AFTER_SECONDS}


def _is_over(held: Holder) -> bool:
    return held.expires_at is not None and held.expires_at <= datetime.now(UTC)
