"""Reasons for a wait, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from app.dashboard.desk import View
from levare.decide.lineup import Stand
from levare.model import BLOCKED, FINAL, WAITING, Reason
from levare.store import ownership

_ORDER = ("misconfigured", "can-never-run", "will-wait")


def in_words(reasons: Sequence[Reason]) -> str:
    """The worst of them; of what only waits the first, which is the decision's own."""
    if not reasons:
        return "Starts at the next decision."
    return min(reasons, key=lambda reason: _ORDER.index(reason.kind)).message


def hidden_jobs(connection: Connection, view: View) -> set[str]:
    """Jobs that wait and that this reader must not know of, for reasons name jobs by their ids."""
    return ownership.hidden_jobs(connection, list(view.stands), view.call.seen) if view.stands else set()


def told_reason(row: Mapping[str, Any], stand: Stand | None, blocked: Mapping[str, Sequence[Reason]]) -> str:
    """Why a job has not begun; of others what is known of them."""
    if row["cancel_requested_at"] and row["state"] not in FINAL:
        return "Is being cancelled."
    if stand:
        return in_words(stand.reasons)
    if row["state"] == BLOCKED:
        return in_words(blocked.get(row["id"], ())) if blocked.get(row["id"]) else "Is about to be looked at."
    if row["state"] == WAITING:
        return "Stands behind others like it, or has just come."
    return row["reason"] or ""
