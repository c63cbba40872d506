"""Triggers and events: what there is, what happened to them, and what they would do."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict
from uuid import uuid4

from levare.client.answers import News
from levare.client.calls import Calls
from levare.client.parts import Version, dry, instant, only, part
from levare.client.stream import follow_news
from levare.client.wire import LONG_PATIENCE

_EVENT = "application/cloudevents+json"

Definition = Mapping[str, Any]
"""`when`, and `job` or `pipeline`; `parameters`, `brakes` and `description` if there are any."""


class Trigger(TypedDict):
    """What starts what, and how it stands; `problem` is why it cannot do what it should."""

    name: str
    kind: str
    definition: dict[str, Any]
    revision: int
    owner: str
    begun_at: str
    changed_at: str
    paused_at: str | None
    paused_by: str | None
    paused_reason: str | None
    wakes_at: str | None
    state: dict[str, Any]
    problem: str | None
    problem_at: str | None
    in_flight: int
    runs_today: int
    pending: int
    last_run_at: str | None


class Activation(TypedDict):
    """Something that a trigger is about; `outcome` is `run`, `held` or `pending`, and `reason` says why."""

    number: int
    trigger: str
    key: str
    at: str
    outcome: str
    reason: str
    job: str | None
    pipeline: str | None
    event: dict[str, Any]
    decided_at: str | None


class Simulated(TypedDict):
    """What would have become of something; `run` counts the runs from 1."""

    key: str
    at: str
    outcome: str
    reason: str
    decided_at: str | None
    run: int | None


class Simulation(TypedDict):
    """What a trigger would have done; `source` says what that was taken from."""

    trigger: str
    since: str
    until: str
    source: str
    run_seconds: float
    runs: int
    occurrences: int
    totals: dict[str, int]
    items: Sequence[Simulated]


class WhyNot(TypedDict):
    """Why a trigger did, or did not, start something at a time."""

    trigger: str
    at: str
    message: str
    before: Activation | None
    after: Activation | None
    not_for_it: list[dict[str, Any]]


class Event(TypedDict):
    """An event that was received; `event` is the CloudEvent as it came."""

    number: int
    id: str
    source: str
    type: str
    subject: str | None
    event: dict[str, Any]
    received_at: str
    sender: str


class TriggerCalls(Calls):
    def triggers(self) -> Iterator[Trigger]:
        """By name; pages are fetched as they are needed."""
        return self._wire.pages("/v1/triggers", None)

    def trigger(self, name: str) -> Trigger:
        return self._get(f"/v1/triggers/{part(name)}")

    def set_trigger(
        self, name: str, definition: Definition, *, dry_run: bool = False, if_match: Version = None
    ) -> Trigger:
        """Declare a trigger, or declare it anew: a `job` or a `pipeline` to start `when` something happens."""
        path = f"/v1/triggers/{part(name)}"
        return self._wire.ask("PUT", path, params=dry(dry_run), **only(if_match), json=dict(definition))

    def pause_trigger(self, name: str, *, reason: str = "", dry_run: bool = False) -> Trigger:
        """Hold whatever happens, until `resume_trigger`."""
        body = {"state": "paused", "reason": reason}
        return self._wire.ask("PUT", f"/v1/triggers/{part(name)}/state", params=dry(dry_run), json=body)

    def resume_trigger(self, name: str, *, dry_run: bool = False) -> Trigger:
        """Let it start runs again; what was held stays held."""
        body = {"state": "active"}
        return self._wire.ask("PUT", f"/v1/triggers/{part(name)}/state", params=dry(dry_run), json=body)

    def remove_trigger(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Trigger:
        """Remove a trigger, and return what it was; its jobs and its activations stay."""
        return self._wire.ask("DELETE", f"/v1/triggers/{part(name)}", params=dry(dry_run), **only(if_match))

    def activations(
        self, trigger: str, *, outcome: str | None = None, limit: int | None = None
    ) -> Iterator[Activation]:
        """At most `limit` things that happened to a trigger and what became of them, newest first."""
        return self._wire.pages(f"/v1/triggers/{part(trigger)}/activations", limit, outcome=outcome)

    def simulate_trigger(self, name: str, *, since: str = "30d") -> Simulation:
        """What a trigger, as it is declared now, would have done with what has happened."""
        return self._get(f"/v1/triggers/{part(name)}/simulate", since=since)

    def why_trigger(self, name: str, *, at: str | datetime | None = None) -> WhyNot:
        """Why a trigger did, or did not, start something at a time, now by default."""
        return self._get(f"/v1/triggers/{part(name)}/why", at=instant(at))

    def send_event(
        self,
        type: str,  # noqa: A002  # as CloudEvents call it
        source: str,
        *,
        data: Any = None,
        dry_run: bool = False,
        **attributes: Any,
    ) -> Event:
        """
        Send a CloudEvent, with an id of its own unless one is given.

        The same source and id is the same event, and happens once however often it is sent.
        """
        event = {"specversion": "1.0", "id": uuid4().hex, "type": type, "source": source, **attributes}
        body = json.dumps(event if data is None else {**event, "data": data})
        headers = {"Content-Type": _EVENT}
        return self._wire.ask("POST", "/v1/events", params=dry(dry_run), content=body, headers=headers)

    def events(
        self,
        *,
        type: str | None = None,  # noqa: A002  # as CloudEvents call it
        source: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """At most `limit` events that were received, newest first."""
        return self._wire.pages("/v1/events", limit, type=type, source=source)

    def follow_events(
        self,
        *,
        type: str | None = None,  # noqa: A002  # as CloudEvents call it
        source: str | None = None,
        since: str | None = None,
        patience: float = LONG_PATIENCE,
    ) -> Iterator[News]:
        """What happens, as it happens, without end: from now on, or behind the event of the id `since`."""
        wanted = {name: said for name, said in (("type", type), ("source", source)) if said is not None}
        return follow_news(self._wire, wanted, since=since, patience=patience)
