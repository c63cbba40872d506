"""What was asked for and what was used, what failed, and what to ask for instead."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.dashboard.desk import View
from app.report import reported
from levare.model.failures import FAILURE_CLASSES

DAYS = (1, 7, 30, 90)
_USUAL = 30
_MOST = 100


def load(view: View) -> dict[str, Any]:
    said, team = view.params.get("days", ""), view.params.get("team", "").strip()
    days = int(said) if said in map(str, DAYS) else _USUAL
    now = view.call.now
    found = view.kept(
        f"report {days} {team}", lambda: reported(view.call, now - timedelta(days=days), now, team=team or None)
    )
    return {
        "report": found,
        "families": found["families"][:_MOST],
        "proposals": _by_family(found["proposals"]),
        "days": days,
        "choices": DAYS,
        "team": team,
        "titles": {name: each.title for name, each in FAILURE_CLASSES.items()},
        "is_cut": len(found["families"]) > _MOST,
    }


def _by_family(proposals: list[dict[str, Any]]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in proposals:
        found.setdefault(each["family"], []).append(each)
    return found
