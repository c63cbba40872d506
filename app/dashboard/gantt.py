"""Bars over time: what ran, what runs and until when, what is foreseen; packed so that none hides another."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from app.dashboard.desk import View
from levare.decide.forecast import Foreseen
from levare.model import LIVE, SUCCEEDED

Row = Mapping[str, Any]

FORESEEN = "foreseen"
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_STEPS = tuple(map(timedelta, (0, 0, 0, 0, 0, 0, 0, 1), (600, 1200, 1800, 3600, 7200, 14400, 28800, 0)))
_MOST_TICKS = 9
_LEAST_PERCENT = 0.35
"""So wide is the bar of whatever was shorter, so that it is seen."""
_NAMED_PERCENT = 6.0
"""What has run for less than that has its name behind it, where it is expected to go on."""
_MOST_LANES = 12
_ROUNDING = 0.02
LANE_PIXELS = 20
_SIGNS = {SUCCEEDED: "\N{CHECK MARK}", "cancelled": "\N{CIRCLED DIVISION SLASH}", "preempted": "\N{LEFTWARDS ARROW}"}
_FAILED, _GOES_ON = "\N{HEAVY MULTIPLICATION X}", ""


@dataclass(frozen=True)
class Frame:
    """The time that is shown, to whole minutes, so that it moves once a minute."""

    begins: datetime
    now: datetime
    until: datetime

    @classmethod
    def around(cls, now: datetime, *, past: timedelta, ahead: timedelta) -> "Frame":
        whole = now.replace(second=0, microsecond=0) + _MINUTE
        return cls(whole - past, whole, whole + ahead)

    def percent(self, at: datetime) -> float:
        whole = (self.until - self.begins).total_seconds()
        return round(100 * min(max((at - self.begins).total_seconds() / whole, 0), 1), 2)

    def place(self, begins: datetime, ends: datetime) -> tuple[float, float]:
        """Where that is and how wide, wide enough to be seen."""
        left = self.percent(begins)
        return left, max(round(self.percent(ends) - left, 2), _LEAST_PERCENT)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round times, with where they are."""
        length = self.until - self.begins
        step = next((each for each in _STEPS if length / each <= _MOST_TICKS), _DAY)
        midnight = self.begins.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + step * ((self.begins - midnight) // step + 1)
        found = []
        while at < self.until:
            found.append((self.percent(at), f"{at:%b %-d}" if at.hour == at.minute == 0 else f"{at:%H:%M}"))
            at += step
        return found


@dataclass(frozen=True)
class Bar:
    """A part of a row: whose, where in percent of the time, in which state; without `href` it leads nowhere."""

    name: str
    state: str
    left: float
    width: float
    about: str
    href: str = ""
    tail: float = 0.0
    """Of what runs, how much further it is expected to go."""

    @property
    def ends(self) -> float:
        """Where the next one may begin: what was short is drawn longer than it was, and must not push others away."""
        return self.left + (self.width if self.width > _LEAST_PERCENT else 0) + self.tail

    @property
    def name_at(self) -> float:
        """Where its name begins, in percent of itself."""
        return round(100 * self.width / (self.width + self.tail), 2) if self.tail and self.width < _NAMED_PERCENT else 0

    @property
    def sign(self) -> str:
        """The state in a sign, for it is never told by a colour alone."""
        return _SIGNS.get(self.state, _GOES_ON if self.state in (*LIVE, FORESEEN) else _FAILED)


@dataclass
class Lane:
    """A row of the picture, with its bars in as few lines as keep them apart."""

    key: str
    label: str
    note: str = ""
    href: str = ""
    bars: list[Bar] = field(default_factory=list)

    @property
    def lines(self) -> list[list[Bar]]:
        found: list[list[Bar]] = []
        for bar in sorted(self.bars, key=lambda bar: (bar.left, bar.name)):
            line = next((line for line in found if line[-1].ends <= bar.left + _ROUNDING), None)
            if line is None:
                line = []
                found.append(line)
            line.append(bar)
        return found[:_MOST_LANES]

    @property
    def left_off(self) -> int:
        return len(self.bars) - sum(map(len, self.lines))


def of_span(span: Row, frame: Frame, usual_end: datetime | None) -> Bar:
    """An attempt, and of one that lives how long it still takes."""
    begun, ended = span["started_at"] or span["placed_at"], span["ended_at"] or frame.now
    of = f"{span['name']} ({span['team']})" if span["team"] else span["name"]
    what = partial(Bar, span["name"], href=f"/jobs/{span['job_id']}" if span["job_id"] else "")
    left, width = frame.place(begun, ended)
    about, tail = f"{of}: {span['state'].replace('_', ' ')}", 0.0
    if span["ended_at"] is None and usual_end and usual_end > frame.now:
        about, tail = f"{about}, usually ends at {clock(usual_end)}", frame.percent(usual_end) - left - width
    return what(span["state"], left, width, about, tail=round(max(tail, 0), 2))


def of_future(each: Foreseen, view: View, frame: Frame) -> Bar | None:
    """A job that is to start; None beyond what is shown."""
    if each.begins >= frame.until:
        return None
    job = view.outlook.waiting[each.job_id]
    is_seen = view.sees(job.team)
    name = job.family.rsplit("/", 1)[-1] if is_seen else "another team"
    end = f"until {clock(each.ends)}" if each.ends else "for nobody knows how long"
    about = f"{name}{f' ({job.team})' if is_seen else ''}: expected from {clock(each.begins)} {end}"
    place = frame.place(max(each.begins, frame.now), each.ends or frame.until)
    return Bar(name, FORESEEN, *place, about, f"/jobs/{each.job_id}" if is_seen else "")


def shown(span: Row, view: View) -> Row:
    """Of other teams only that something of theirs is there."""
    if view.sees(span["team"]):
        return span
    return {**span, "id": "", "job_id": "", "name": "another team", "team": "", "user": "", "progress": None}


def fill(lanes: Mapping[str, Lane], keys: Collection[str], bars: Iterable[Bar | None]) -> None:
    """Put these bars into each of these rows that there is."""
    found = [bar for bar in bars if bar]
    for key in keys:
        if key in lanes:
            lanes[key].bars += found


def by_gpu(nodes: Sequence[Row], spans: Sequence[Row], view: View, frame: Frame) -> list[Lane]:
    """A row for each GPU, with what is foreseen on it."""
    lanes = {
        card["uuid"]: Lane(
            f"{node['name']}.{card['index']}", node["name"], str(card["index"]), f"/nodes#{node['name']}"
        )
        for node in nodes
        for card in node["devices"]
    }
    for span in spans:
        fill(lanes, span["devices"], [of_span(shown(span, view), frame, view.outlook.ends.get(span["id"]))])
    for each in view.outlook.course:
        fill(lanes, each.devices, [of_future(each, view, frame)])
    return list(lanes.values())


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%b %-d %H:%M} UTC"
