"""The machines: what they are, what is free on them, and what they say."""

from typing import Any

from app import veil
from app.dashboard.desk import View
from levare.store import views


def load(view: View) -> dict[str, Any]:
    call = view.call
    with call.database.reading() as connection:
        rows = veil.nodes(connection, views.find_nodes(connection), call.seen)
    may_act = call.actor.access.is_fleet
    return {"may_set_state": may_act, "nodes": [{**row, "beat": view.beats.get(row["name"], {})} for row in rows]}
