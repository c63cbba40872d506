"""All that is not over, in the order in which it starts, with why it waits; or what has ended lately."""

from collections.abc import Mapping, Sequence
from typing import Any

from app import veil
from app.dashboard.desk import View
from app.dashboard.reasons import hidden_jobs, told_reason
from levare.decide.lineup import FORESEEN
from levare.model import BLOCKED, FINAL, LIVE, WAITING, Reason
from levare.model.failures import FAILURE_CLASSES as FAILURES
from levare.store import explain, job_lists, trends
from levare.store.job_lists import JobFilter

Row = Mapping[str, Any]

MOST = 200
SHOWN: Mapping[str, Sequence[str]] = {
    "open": (WAITING, BLOCKED, *LIVE),
    "waiting": (WAITING,),
    "blocked": (BLOCKED,),
    "running": LIVE,
    "ended": FINAL,
    **{state: (state,) for state in FINAL},
}
"""What a filter by state stands for."""
FILTERS = ("team", "project", "user", "name")


def load(view: View) -> dict[str, Any]:
    call, params = view.call, view.params
    state = params.get("state", "open")
    state = state if state in SHOWN else "open"
    said = {name: params.get(name, "").strip() for name in FILTERS}
    failure = params.get("failure", "")
    failures = (failure,) if failure in FAILURES else ()
    wanted = JobFilter(
        SHOWN[state],
        **{name: value or None for name, value in said.items()},
        failures=failures,
        seen=call.seen,
    )
    with call.database.reading() as connection:
        rows = job_lists.find(connection, wanted, limit=MOST + 1, newest_first=state in ("ended", *FINAL))
        rows = trends.with_left(connection, rows, now=call.now)
        blocked = explain.blockers(connection, [row for row in rows if row["state"] == BLOCKED])
        hidden = hidden_jobs(connection, view)
    jobs = [_row(row, view, blocked, hidden) for row in rows[:MOST]]
    if state not in ("ended", *FINAL):
        jobs.sort(key=_place)
    return {
        "jobs": jobs,
        "is_cut": len(rows) > MOST,
        "state": state,
        "states": list(SHOWN),
        "said": said,
        "failure": failure,
        "failures": sorted(FAILURES),
        "is_filtered": bool(state != "open" or failures or any(said.values())),
        "final": FINAL,
        "steps": any(job["state"] in (WAITING, BLOCKED) and job["may_act"] for job in jobs),
        "waits_total": len(view.stands),
    }


def _row(row: Row, view: View, blocked: Mapping[str, Sequence[Reason]], hidden: set[str]) -> dict[str, Any]:
    stand = view.stands.get(row["id"]) if row["state"] == WAITING else None
    return {
        **row,
        "stand": stand,
        "reason_told": veil.without(told_reason(row, stand, blocked), hidden),
        "estimate": stand.estimate if stand else None,
        "may_act": view.may_act(row["team"]),
        "help": _help(view, row) if stand and stand.position <= FORESEEN else "",
    }


def _help(view: View, row: Row) -> str:
    """What would start it now, of the first in the queue: to find that out costs much of all the others."""

    def told() -> str:
        with view.call.database.reading() as connection:
            change = explain.load(connection, row["id"], now=view.call.now, rules=view.call.rules).tell().get("change")
        return change.message if change else ""

    return view.desk.kept(f"help {row['id']}", told)


def _place(row: Mapping[str, Any]) -> tuple[int, int, Any]:
    """Those that wait by their position, then what is blocked, then what runs, each oldest first."""
    group = 0 if row["state"] == WAITING else 1 if row["state"] == BLOCKED else 2
    return group, row["stand"].position if row["stand"] else 1 << 30, row["created_at"]
