"""Runs beside each other: their curves in one picture, what they were given, and what they came to."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.dashboard.desk import View
from levare.errors import NotFound
from levare.store import comparing, ownership, pinned

Row = Mapping[str, Any]

MOST_RUNS = 20
_MOST_DIGITS = 9
MOST_CURVES = 6
"""So many are drawn, the last of them; so many colours can be told apart."""


def load(view: View) -> dict[str, Any]:
    wanted = [each for each in view.params.get("job", "").replace(",", " ").split() if each][-MOST_RUNS:]
    family, schedule = view.params.get("family") or None, view.params.get("schedule") or None
    with view.call.database.reading() as connection:
        if wanted:
            ownership.refuse_hidden(connection, [each.partition("-")[0] for each in wanted], view.call.seen)
            found = comparing.of_jobs(connection, [_attempt(each) for each in wanted])
        elif family or schedule:
            found = comparing.of_work(connection, schedule=schedule, family=family, most=MOST_RUNS, seen=view.call.seen)
        else:
            found = []
        told = comparing.compared(connection, found, stage=None, name=None, goals=None)
        differs = _differs(connection, found)
    return {
        "runs": told.runs,
        "metrics": told.metrics,
        "given": _given(told.runs),
        "differs": differs,
        "drawn": [run["attempt"] for run in told.runs if run["attempt"]][-MOST_CURVES:],
        "wanted": " ".join(wanted),
        "family": family or "",
        "schedule": schedule or "",
    }


def _attempt(wanted: str) -> tuple[str, int | None]:
    job, dash, number = wanted.partition("-")
    return job, int(number) if dash and number.isdecimal() and len(number) <= _MOST_DIGITS else None


def _given(runs: Sequence[Row]) -> list[dict[str, Any]]:
    """Each parameter with its value in each run; those that differ come first."""
    all_of = [{**run["parameters"], **run["params"]} for run in runs]
    names = dict.fromkeys(name for each in all_of for name in each)
    rows = [{"name": name, "values": [each.get(name) for each in all_of]} for name in names]
    found = [{**row, "differs": len({repr(value) for value in row["values"]}) > 1} for row in rows]
    return sorted(found, key=lambda row: (not row["differs"], row["name"]))


def _differs(connection: Any, runs: Sequence[Row]) -> Row | None:
    """Of two runs all that they were pinned to and that is not the same."""
    pair = [run["attempt"].rpartition("-") for run in runs if run["attempt"]]
    if len(runs) != 2 or len(pair) != 2:  # noqa: PLR2004  # a difference is between two
        return None
    try:
        return pinned.between(connection, *((job, int(number)) for job, _, number in pair))
    except NotFound:
        return None
