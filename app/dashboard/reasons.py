"""Reasons for a wait, in a sentence."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.dashboard.desk import View
from levare.model import Reason
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
