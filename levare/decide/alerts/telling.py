"""Who is told of an alert, and what: channels by their routes, silences, and many alerts of one rule as one message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from levare.decide.alerts.rules import SEVERITIES
from levare.decide.alerts.words import moment, span

BEGIN, RECOVERY, TEST = "begin", "recovery", "test"
NEWS = (BEGIN, RECOVERY, TEST)
MOST_SHOWN = 20


@dataclass(frozen=True)
class Channel:
    name: str
    at_least: str = "info"
    teams: Sequence[str] = ()
    """Only alerts about these teams; empty for all."""

    def takes(self, severity: str, team: str | None) -> bool:
        is_grave = SEVERITIES.index(severity) >= SEVERITIES.index(self.at_least)
        return is_grave and (not self.teams or team in self.teams)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Alerts that fit all that is said are recorded, but nobody is told."""

    number: int
    ends_at: datetime
    rule: str | None = None
    job: str | None = None
    team: str | None = None
    node: str | None = None

    def covers(self, about: "About", *, now: datetime) -> bool:
        said = {name: value for name in _SAID if (value := getattr(self, name)) is not None}
        return now < self.ends_at and all(getattr(about, name) == value for name, value in said.items())


_SAID = ("rule", "job", "team", "node")


@dataclass(frozen=True)
class About:
    rule: str
    job: str | None = None
    team: str | None = None
    node: str | None = None


def recipients(wanted: Sequence[str], channels: Sequence[Channel], severity: str, team: str | None) -> list[str]:
    """The channels that a rule names and that there are; of a rule that names none all whose routes take it."""
    if wanted:
        return [channel.name for channel in channels if channel.name in wanted]
    return [channel.name for channel in channels if channel.takes(severity, team)]


@dataclass(frozen=True)
class Message:
    """What a channel says: a line, and the text below it."""

    title: str
    text: str
    severity: str
    data: Mapping[str, Any] = field(default_factory=dict)


def message(news: str, rule: str, alerts: Sequence[Mapping[str, Any]]) -> Message:
    """Of one alert or of several of one rule; `alerts` are rows."""
    severity = max((alert["severity"] for alert in alerts), key=SEVERITIES.index, default="info")
    word = severity if news == BEGIN else news
    if len(alerts) == 1:
        [alert] = alerts
        title = f"[{word}] {rule}: {alert['subject'].partition(':')[2] or alert['subject']}"
        return Message(title, _text(news, alert), severity, _data(news, rule, alerts))
    shown = [f"- {_text(news, alert)}" for alert in alerts[:MOST_SHOWN]]
    more = [f"- and {len(alerts) - MOST_SHOWN} more: `levare alerts`"] if len(alerts) > MOST_SHOWN else []
    return Message(
        f"[{word}] {rule}: {len(alerts)} alerts", "\n".join([*shown, *more]), severity, _data(news, rule, alerts)
    )


def _text(news: str, alert: Mapping[str, Any]) -> str:
    if news == RECOVERY:
        lasted = span(alert["ended_at"] - alert["begun_at"])
        return f"{alert['ended_reason']} It was otherwise from {moment(alert['begun_at'])} on, for {lasted}."
    return str(alert["message"])


def _data(news: str, rule: str, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("number", "subject", "severity", "message", "job", "node", "team", "family", "detail", "ended_reason")
    times = ("begun_at", "ended_at")
    plain = [
        {name: alert.get(name) for name in names}
        | {name: at.isoformat() if (at := alert.get(name)) else None for name in times}
        for alert in alerts
    ]
    return {"news": news, "rule": rule, "alerts": plain}
