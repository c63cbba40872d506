"""What each team is owed, has had and holds; and whose turn it was when its jobs started."""

from collections.abc import Mapping
from typing import Any

from app.dashboard.desk import View
from app.receipts import start_told
from levare.model import Sharing
from levare.store import decisions, sharing, teams

Row = Mapping[str, Any]

_MOST_STARTS = 25
_LIMITS = (("gpus", "GPUs", "gpus"), ("running", "running jobs", "running"), ("queued", "waiting jobs", "queued"))


def load(view: View) -> dict[str, Any]:
    rows = _rows(view)
    return {"teams": [{**row, "limits": limits(row)} for row in rows], "most": _most(rows)}


def load_one(view: View) -> dict[str, Any]:
    call, name = view.call, view.names["name"]
    with call.database.reading() as connection:
        shared = sharing.load(connection, now=call.now, rules=call.rules)
        row = teams.one(connection, name, shared, now=call.now)
        starts = decisions.of_team(connection, name, limit=_MOST_STARTS)
    return {
        "title": f"Team {name}",
        "team": {**row, "limits": limits(row)},
        "most": _most([row]),
        "accounts": _accounts(shared, row),
        "starts": [
            {**start_told(start, call.actor), "job": start["job_id"], "name": start["name"]} for start in starts
        ],
    }


def _rows(view: View) -> list[Row]:
    call = view.call
    with call.database.reading() as connection:
        shared = sharing.load(connection, now=call.now, rules=call.rules)
        rows = teams.find(connection, shared, now=call.now)
    return [row for row in rows if view.sees(row["name"])]


def _most(rows: list[Row]) -> float:
    """What the longest bar stands for."""
    return max([1.0, *(max(row["entitled_percent"], row["used_percent"]) for row in rows)])


def limits(row: Row) -> list[tuple[str, float, float]]:
    """What its quota bounds: its name, what is used, and what there is."""
    quota = row["quota"]
    found = [(name, row[used], quota[key]) for key, name, used in _LIMITS if quota[key] is not None]
    if quota["gpu_hours"] is not None:
        days = quota["period_seconds"] / 86400
        found.append((f"GPU-hours of {days:g} days", row["period_gpu_hours"], quota["gpu_hours"]))
    return found


def _accounts(shared: Sharing, row: Row) -> list[dict[str, Any]]:
    """Its projects and users, by what they have used."""
    name, quotas = row["name"], {**{f"/{each}": quota for each, quota in row["projects"].items()}}
    quotas |= {f":{each}": quota for each, quota in row["users"].items()}
    found = {
        account.name.removeprefix(name): account
        for account in shared.accounts.values()
        if account.name.startswith((f"{name}/", f"{name}:"))
    }
    return sorted(
        (
            {
                "kind": "project" if key[0] == "/" else "user",
                "name": key[1:],
                "gpu_hours": found[key].use / 3600 if key in found else 0.0,
                "quota": quotas.get(key),
            }
            for key in {*found, *quotas}
        ),
        key=lambda each: (-each["gpu_hours"], each["kind"], each["name"]),
    )
