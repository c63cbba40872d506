"""The first page: who has which GPU, what waits and why, open alerts, the last hour and the next ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app import veil
from app.dashboard import gantt
from app.dashboard.desk import View
from app.dashboard.gantt import Frame
from app.dashboard.reasons import hidden_jobs, in_words
from levare.decide.lineup import Stand
from levare.model import BLOCKED, FAILED, FINAL, FOREIGN, LIVE, ORPHAN, WAITING
from levare.store import alerts, board, views
from levare.store.alerts import AlertFilter

Row = Mapping[str, Any]

HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_AHEAD = timedelta(hours=2)
_FIRST = 8
"""So many of those that wait are shown here."""


def load(view: View) -> dict[str, Any]:
    call = view.call
    with call.database.reading() as connection:
        nodes = veil.nodes(connection, views.find_nodes(connection), call.seen)
        spans = board.spans(connection, since=call.now - HOUR)
        counts = board.counts(connection, call.seen, since=call.now - _DAY)
        opened = alerts.find(connection, AlertFilter(is_open=True, seen=call.seen), limit=20)
        hidden = hidden_jobs(connection, view)
    frame = Frame.around(call.now, past=HOUR, ahead=_AHEAD)
    lanes = gantt.by_gpu(nodes, spans, view, frame)
    spans = [gantt.shown(span, view) for span in spans]
    shown = [_node(node, spans, view) for node in nodes]
    return {
        "nodes": shown,
        "figures": _figures(Counter(gpu["use"] for node in shown for gpu in node["gpus"]), Counter(counts), opened),
        "alerts": opened,
        "waits": [_waits(stand, hidden) for stand in view.stands.values() if view.sees(stand.job.team)][:_FIRST],
        "reasons": _reasons(view),
        "frame": frame,
        "lanes": lanes,
    }


def _figures(gpus: Counter[str], jobs: Counter[str], opened: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """What comes first: a name, a number, what there is to say of it, and where more is."""
    others = gpus[FOREIGN] + gpus[ORPHAN]
    urgent = sum(alert["severity"] == "critical" for alert in opened)
    running, over = sum(jobs[state] for state in LIVE), sum(jobs[state] for state in FINAL)
    blocked = f"and {jobs[BLOCKED]} blocked" if jobs[BLOCKED] else ""
    not_ours = f", {others} not ours" if others else ""
    return [
        (
            "GPUs in use",
            f"{gpus['busy'] + gpus['shared']} of {gpus.total()}",
            f"{gpus['free']} free{not_ours}",
            "/nodes",
        ),
        ("Running", f"{running}", "", "/queue?state=running"),
        ("Waiting", f"{jobs[WAITING]}", blocked, "/queue?state=waiting"),
        ("Ended in 24 h", f"{over}", f"{jobs[FAILED]} failed" if jobs[FAILED] else "", "/queue?state=ended"),
        ("Open alerts", f"{len(opened)}", f"{urgent} critical" if urgent else "", "/alerts"),
    ]


def _node(node: Row, spans: Sequence[Row], view: View) -> dict[str, Any]:
    beat = view.beats.get(node["name"], {})
    here = [span for span in spans if span["node"] == node["name"]]
    return {
        "name": node["name"],
        "state": node["state"],
        "note": node["excluded_reason"] or "",
        "cpu": beat.get("cpu_percent"),
        "memory": beat.get("memory_used_mib"),
        "memory_total": node["memory_mib"],
        "cpus": node["cpus"],
        "is_silent": not beat,
        "renewed_at": node["renewed_at"],
        "gpus": [_gpu(card, here, node, beat, view.call.now) for card in node["devices"]],
        "jobs": [span for span in here if span["state"] in LIVE and not span["devices"]],
    }


def _gpu(card: Row, spans: Sequence[Row], node: Row, beat: Mapping[str, float], now: datetime) -> dict[str, Any]:
    own = [span for span in spans if card["uuid"] in span["devices"]]
    holders = [span for span in own if span["state"] in LIVE]
    joined = [node["joined_at"]] if node["joined_at"] > now - HOUR else []
    ends = [*joined, *(span["ended_at"] for span in own if span["ended_at"])]

    def told(name: str) -> float | None:
        return beat.get(f"gpu{card['index']}_{name}")

    return {
        **card,
        "use": _use(card, holders, now),
        "holders": holders,
        "utilisation": told("utilisation_percent"),
        "memory": told("memory_used_mib"),
        "temperature": told("temperature_celsius"),
        "power": told("power_watts"),
        "free_since": max(ends, default=None),
    }


def _use(card: Row, holders: Sequence[Row], now: datetime) -> str:
    if card["ownership"] in (FOREIGN, ORPHAN):
        return card["ownership"]
    if holders:
        return "busy" if card["free_mib"] <= 0 else "shared"
    return "excluded" if card["excluded_until"] and card["excluded_until"] > now else "free"


def _waits(stand: Stand, hidden: set[str]) -> dict[str, Any]:
    return {"stand": stand, "job": stand.job, "reason": veil.without(in_words(stand.reasons), hidden)}


def _reasons(view: View) -> list[tuple[str, int]]:
    """How many wait for what, most first."""
    codes = Counter(
        stand.reasons[0].code if stand.reasons else "starts now"
        for stand in view.stands.values()
        if view.sees(stand.job.team)
    )
    return [(code.replace("-", " ").replace("gpu", "GPU"), number) for code, number in codes.most_common(5)]
