"""When schedules are due: pure arithmetic over rules, calendars and the clocks of time zones."""

from levare.decide.times.calendars import ALWAYS, WEEK, Calendar, Window, weekdays
from levare.decide.times.cron import Cron
from levare.decide.times.lint import Finding, Lint, lint
from levare.decide.times.rules import (
    Interval,
    Once,
    Rule,
    before,
    between,
    count,
    fires_at,
    latest,
    next_after,
    previous,
)
from levare.decide.times.zones import zone_named

__all__ = [
    "ALWAYS",
    "WEEK",
    "Calendar",
    "Cron",
    "Finding",
    "Interval",
    "Lint",
    "Once",
    "Rule",
    "Window",
    "before",
    "between",
    "count",
    "fires_at",
    "latest",
    "lint",
    "next_after",
    "previous",
    "weekdays",
    "zone_named",
]
