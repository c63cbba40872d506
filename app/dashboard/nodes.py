"""The machines: what they are, what is free on them, and what they say."""

from typing import Any

from app import veil
from app.dashboard.desk import View
from levare.store import views


def load(view: View) -> dict[str, Any]:
    call = view.call
    with call.database.reading() as connection:
        rows = veil.nodes(connection, views.find_nodes(connection), call.seen)
    return {"nodes": [{**row, "beat": view.beats.get(row["name"], {})} for row in rows]}
