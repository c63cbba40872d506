"""Who had what, has it, and is to have it: a row for each GPU, node or team."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app import veil
from app.calendar import look_ahead, names_seen
from app.dashboard import gantt
from app.dashboard.desk import View
from app.dashboard.gantt import Bar, Frame, Lane
from levare.decide.outlook import Start
from levare.store import board, views

Row = Mapping[str, Any]

BY = ("gpu", "node", "team")
TIMES: Mapping[str, tuple[str, timedelta, timedelta]] = {
    "hour": ("2 hours", timedelta(hours=1), timedelta(hours=1)),
    "day": ("a day", timedelta(hours=16), timedelta(hours=8)),
    "week": ("a week", timedelta(days=5), timedelta(days=2)),
}
_MOST_SPANS = 1500


def load(view: View) -> dict[str, Any]:
    by, time = view.params.get("by", "gpu"), view.params.get("time", "hour")
    by, time = by if by in BY else "gpu", time if time in TIMES else "hour"
    _, past, ahead = TIMES[time]
    frame = Frame.around(view.call.now, past=past, ahead=ahead)
    with view.call.database.reading() as connection:
        nodes = veil.nodes(connection, views.find_nodes(connection), view.call.seen)
        spans = board.spans(connection, since=frame.begins, most=_MOST_SPANS + 1)
    rows = {"gpu": gantt.by_gpu, "node": _by_node, "team": _by_team}[by](nodes, spans[-_MOST_SPANS:], view, frame)
    return {
        "by": by,
        "time": time,
        "times": [(name, TIMES[name][0]) for name in TIMES],
        "frame": frame,
        "lanes": rows,
        "due": _due(view, frame),
        "is_cut": len(spans) > _MOST_SPANS,
    }


def _by_node(nodes: Sequence[Row], spans: Sequence[Row], view: View, frame: Frame) -> list[Lane]:
    lanes = {node["name"]: Lane(node["name"], node["name"], "", f"/nodes#{node['name']}") for node in nodes}
    for span in spans:
        gantt.fill(
            lanes, [span["node"]], [gantt.of_span(gantt.shown(span, view), frame, view.outlook.ends.get(span["id"]))]
        )
    for each in view.outlook.course:
        gantt.fill(lanes, [each.node], [gantt.of_future(each, view, frame)])
    return list(lanes.values())


def _by_team(_nodes: Sequence[Row], spans: Sequence[Row], view: View, frame: Frame) -> list[Lane]:
    """Teams of which this reader sees nothing are one row."""
    lanes: dict[str, Lane] = {}
    for span in spans:
        bar = gantt.of_span(gantt.shown(span, view), frame, view.outlook.ends.get(span["id"]))
        _of_team(lanes, span["team"], view).bars.append(bar)
    for each in view.outlook.course:
        bar = gantt.of_future(each, view, frame)
        if bar:
            _of_team(lanes, view.outlook.waiting[each.job_id].team, view).bars.append(bar)
    return [lanes[name] for name in sorted(lanes, key=lambda name: (not name, name))]


def _of_team(lanes: dict[str, Lane], team: str, view: View) -> Lane:
    key = team if view.sees(team) else ""
    return lanes.setdefault(key, Lane(key or "others", key or "other teams", "", f"/teams/{key}" if key else ""))


def _due(view: View, frame: Frame) -> Lane:
    """What schedules are going to start."""
    ahead = view.desk.kept(f"due {frame.until - frame.now}", lambda: look_ahead(view.call, frame.until))
    names = names_seen(view.call, ahead.rows)
    bars = [_of_start(start, frame) for start in ahead.starts if start.plan.name in names and start.at < frame.until]
    return Lane("due", "schedules", "", "/schedules", bars)


def _of_start(start: Start, frame: Frame) -> Bar:
    name, place = start.plan.name, frame.place(max(start.at, frame.now), start.at + start.plan.taken.typical)
    return Bar(name, gantt.FORESEEN, *place, f"{name} is due at {gantt.clock(start.at)}", f"/schedules/{name}")
