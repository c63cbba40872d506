"""What beat remembers of each attempt from one look to the next; all of it can be read again from SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from levare.decide.alerts.course import Course
from levare.decide.alerts.facts import Activity, Live, Summary
from levare.decide.patterns import first_match
from levare.store import alert_facts
from levare.store.alert_facts import MOST_OF_A_RUN, MOST_POINTS, Running

_LONGEST_LINE = 4000


class Trace:
    def __init__(self) -> None:
        self.course = Course()
        self.log_at: datetime | None = None
        self.activity: Activity | None = None
        self.asked_at: datetime | None = None
        self._points, self._offset = 0, -1
        self._log_bytes, self._log_offset, self._rest = 0, -1, ""
        self._unread_before: datetime | None = None
        self._watched_since: datetime | None = None
        self._is_new = True

    def read(self, connection: Connection, run: Running, *, now: datetime) -> None:
        """What it has told since the last look."""
        if run.log_bytes != self._log_bytes:
            self._note_log(run.log_bytes, now)
        if run.points != self._points:
            self._read_points(connection, run, now)
        self._is_new = False

    def _note_log(self, size: int, now: datetime) -> None:
        """At the first look nobody knows when it grew."""
        self._log_bytes = size
        if self._is_new:
            self._watched_since = now
        else:
            self.log_at = now

    def _read_points(self, connection: Connection, run: Running, now: datetime) -> None:
        news = alert_facts.points(connection, run.attempt, after=self._offset)
        if len(news) == MOST_POINTS:
            self._unread_before = news[0][1].at
        self.course.add((point for _, point in news), now=None if self._is_new else now)
        self._points = run.points
        self._offset = news[-1][0] if news else self._offset
        last = self.course.pace.seen_at
        if last is not None and last > now:  # the clock of a node may be ahead of ours
            self.course.pace.seen_at = now

    def lines(self, connection: Connection, run: Running, patterns: Mapping[str, str]) -> dict[str, str]:
        """Rule -> the first new line that its pattern matches; a bounded part of the log at each look."""
        if not patterns or (self._log_bytes == 0 and run.log_bytes == 0):
            return {}
        pieces = alert_facts.log_pieces(connection, run.attempt, after=self._log_offset)
        if not pieces:
            return {}
        self._log_offset = pieces[-1][0]
        told = self._told(b"".join(data for _, data in pieces))
        matches = {rule: first_match(pattern, told) for rule, pattern in patterns.items()}
        return {rule: line for rule, line in matches.items() if line is not None}

    def _told(self, data: bytes) -> list[str]:
        """Whole lines, and the begun one, which is looked at again when there is more of it."""
        text = self._rest + data.decode(errors="replace")
        whole, _, rest = text.rpartition("\n")
        self._rest = rest[-_LONGEST_LINE:]
        return [line[:_LONGEST_LINE] for line in (*whole.splitlines(), rest) if line]

    def summary(self, connection: Connection, run: Running) -> Summary:
        """What the run came to; read again from SQL if not all of it was seen."""
        if self._unread_before is None:
            return self.course.summary(run.started_at)
        course = Course()
        found = alert_facts.points(connection, run.attempt, after=-1, most=MOST_OF_A_RUN)
        course.add((point for _, point in found), now=None)
        return course.summary(run.started_at)

    def live(
        self, run: Running, *, gpu_percent: float | None, lines: Mapping[str, str], ended_at: datetime | None = None
    ) -> Live:
        return Live(
            job=run.job,
            attempt=run.attempt,
            node=run.node,
            started_at=run.started_at,
            pace=self.course.pace,
            gpus=len(run.devices),
            log_at=self.log_at,
            watched_since=self._watched_since,
            saved_at=run.saved_at,
            activity=self.activity,
            points=self.course.recent,
            unread_before=self._unread_before,
            gpu_percent=gpu_percent,
            lines=lines,
            is_over=ended_at is not None,
            ended_at=ended_at,
        )


def busy_percent(
    run: Running, cards: Mapping[str, object], heartbeats: Mapping[str, Mapping[str, float]]
) -> float | None:
    """How busy the GPUs of an attempt are, on average; None where nobody knows."""
    sample = heartbeats.get(run.node, {})
    numbers: Sequence[int] = [cards[uuid].index for uuid in run.devices if uuid in cards]  # pyright: ignore[reportAttributeAccessIssue]
    known = [sample[name] for number in numbers if (name := f"gpu{number}_utilisation_percent") in sample]
    return sum(known) / len(known) if known else None
