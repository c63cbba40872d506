"""The calls about alerts, their rules, silences and channels, and what the API answers of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from levare.client.parts import Version, dry, given, instant, only, part
from levare.client.wire import Wire


class Alert(TypedDict):
    """Something that is not as it should be; `state` is `open` or `ended`."""

    number: int
    rule: str
    kind: str
    subject: str
    severity: str
    state: str
    message: str
    detail: dict[str, Any]
    job: str | None
    node: str | None
    team: str | None
    family: str | None
    begun_at: str
    seen_at: str
    ended_at: str | None
    ended_reason: str | None
    is_silenced: bool
    told: list[str]
    acknowledged_at: str | None
    acknowledged_by: str | None
    acknowledged_note: str | None


class AlertRule(TypedDict):
    """What is worth an alert; `is_default` where nobody has declared it."""

    name: str
    kind: str
    severity: str
    definition: dict[str, Any]
    is_default: bool
    revision: int | None
    owner: str | None
    changed_at: str | None
    paused_at: str | None
    paused_by: str | None
    paused_reason: str | None


class Silence(TypedDict):
    """For a time nobody is told of alerts that fit all that is said."""

    number: int
    rule: str | None
    job: str | None
    team: str | None
    node: str | None
    reason: str
    created_by: str
    created_at: str
    ends_at: str


class Firing(TypedDict):
    """An alert that would have begun."""

    at: str
    ended_at: str | None
    subject: str
    job: str | None
    message: str
    preceded_failure: bool | None


class BackTest(TypedDict):
    """What a rule would have done with what is recorded, and what that was worth."""

    rule: str
    since: str
    until: str
    source: str
    jobs: int
    failures: int
    firings: int
    true_firings: int
    precision: float | None
    recall: float | None
    note: str
    items: Sequence[Firing]


class Channel(TypedDict):
    """A way to tell people; of secrets only the names."""

    name: str
    kind: str
    definition: dict[str, Any]
    revision: int
    owner: str
    changed_at: str


class Delivery(TypedDict):
    """A message of a channel; `state` is `pending`, `sent` or `failed`."""

    id: str
    channel: str
    rule: str
    news: str
    alerts: list[int]
    state: str
    attempts: int
    next_at: str
    created_at: str
    sent_at: str | None
    last_error: str | None


class AlertCalls:
    """A part of `Client`."""

    _wire: Wire

    def alerts(
        self,
        *,
        state: str | None = None,
        rule: str | None = None,
        severity: str | None = None,
        job: str | None = None,
        node: str | None = None,
        team: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Alert]:
        """At most `limit` alerts, newest first: those that are `open`, unless `state` is `ended` or `any`."""
        wanted: dict[str, Any] = {"state": state, "rule": rule, "severity": severity}
        wanted |= {"job": job, "node": node, "team": team}
        return self._wire.pages("/v1/alerts", limit, **wanted)

    def alert(self, number: int) -> Alert:
        return self._wire.ask("GET", f"/v1/alerts/{number}")

    def acknowledge_alert(self, number: int, *, note: str = "", dry_run: bool = False) -> Alert:
        """Say that you look after an open alert."""
        path = f"/v1/alerts/{number}/acknowledgement"
        return self._wire.ask("PUT", path, params=dry(dry_run), json={"note": note})

    def alert_rules(self) -> list[AlertRule]:
        """The defaults, and what was declared instead of or besides them, by name."""
        return self._wire.ask("GET", "/v1/alert-rules")["items"]

    def alert_rule(self, name: str) -> AlertRule:
        return self._wire.ask("GET", f"/v1/alert-rules/{part(name)}")

    def set_alert_rule(
        self, name: str, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: Version = None
    ) -> AlertRule:
        """Declare a rule, or declare it anew: `when` with one kind; `severity`, `channels` and `description`."""
        path = f"/v1/alert-rules/{part(name)}"
        return self._wire.ask("PUT", path, params=dry(dry_run), **only(if_match), json=dict(definition))

    def pause_alert_rule(self, name: str, *, reason: str = "", dry_run: bool = False) -> AlertRule:
        """Switch a rule off, a default too; its open alerts end."""
        body = {"state": "paused", "reason": reason}
        return self._wire.ask("PUT", f"/v1/alert-rules/{part(name)}/state", params=dry(dry_run), json=body)

    def resume_alert_rule(self, name: str, *, dry_run: bool = False) -> AlertRule:
        path = f"/v1/alert-rules/{part(name)}/state"
        return self._wire.ask("PUT", path, params=dry(dry_run), json={"state": "active"})

    def remove_alert_rule(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> AlertRule:
        """Remove what was declared; a default of this name is then in force again."""
        return self._wire.ask("DELETE", f"/v1/alert-rules/{part(name)}", params=dry(dry_run), **only(if_match))

    def try_alert_rule(self, name: str, *, since: str = "30d") -> BackTest:
        """What a rule would have done with what is recorded, and which of it preceded a failure."""
        return self._wire.ask("GET", f"/v1/alert-rules/{part(name)}/test", params={"since": since})

    def silences(self) -> list[Silence]:
        """Those that have not ended, by their end."""
        return self._wire.ask("GET", "/v1/silences")["items"]

    def silence(self, number: int) -> Silence:
        return self._wire.ask("GET", f"/v1/silences/{number}")

    def add_silence(
        self,
        *,
        ends_at: str | datetime,
        reason: str,
        rule: str | None = None,
        job: str | None = None,
        team: str | None = None,
        node: str | None = None,
        dry_run: bool = False,
    ) -> Silence:
        """Have nobody told of alerts that fit all that is said, until then."""
        said = given({"rule": rule, "job": job, "team": team, "node": node})
        body = {**said, "ends_at": instant(ends_at), "reason": reason}
        return self._wire.ask("POST", "/v1/silences", params=dry(dry_run), json=body, repeatable=False)

    def remove_silence(self, number: int, *, dry_run: bool = False) -> Silence:
        """End a silence now."""
        return self._wire.ask("DELETE", f"/v1/silences/{number}", params=dry(dry_run))

    def channels(self) -> list[Channel]:
        return self._wire.ask("GET", "/v1/channels")["items"]

    def channel(self, name: str) -> Channel:
        return self._wire.ask("GET", f"/v1/channels/{part(name)}")

    def set_channel(
        self, name: str, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: Version = None
    ) -> Channel:
        """Declare a channel, or declare it anew: one of `webhook`, `email` and `apprise`, and `routes`."""
        return self._wire.ask(
            "PUT", f"/v1/channels/{part(name)}", params=dry(dry_run), **only(if_match), json=dict(definition)
        )

    def remove_channel(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Channel:
        """Remove a channel; what it was still to say is never said."""
        return self._wire.ask("DELETE", f"/v1/channels/{part(name)}", params=dry(dry_run), **only(if_match))

    def try_channel(self, name: str, *, dry_run: bool = False) -> Delivery:
        """Have a channel say that it works; `deliveries` tells whether it did."""
        return self._wire.ask("POST", f"/v1/channels/{part(name)}/test", params=dry(dry_run), repeatable=False)

    def deliveries(self, channel: str, *, limit: int | None = None) -> Iterator[Delivery]:
        """At most `limit` messages of a channel, newest first, and what became of them."""
        return self._wire.pages(f"/v1/channels/{part(channel)}/deliveries", limit)
