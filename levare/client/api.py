"""One method per endpoint."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import uuid4

import httpx

from levare.client import address
from levare.client.alerts import AlertCalls
from levare.client.answers import (
    ArrayWish,
    Attempt,
    Family,
    Health,
    Job,
    Log,
    LogEvent,
    Node,
    Pipeline,
    Reap,
    Receipt,
    Samples,
    Step,
    Team,
    Token,
    Window,
    Wish,
)
from levare.client.metrics import Direction, MetricCalls, Metrics, ways
from levare.client.monitoring import MonitoringCalls
from levare.client.parts import dry as _dry
from levare.client.parts import given as _given
from levare.client.parts import instant as _instant
from levare.client.parts import part as _part
from levare.client.parts import span as _span
from levare.client.pins import PinCalls
from levare.client.plans import PlanCalls
from levare.client.pools import PoolCalls
from levare.client.schedules import ScheduleCalls
from levare.client.stream import follow_attempt
from levare.client.triggers import Activation, Definition, Event, Simulation, Trigger, WhyNot
from levare.client.why import DryRun, Why
from levare.client.wire import Wire
from levare.model import FINAL

_LONG_PATIENCE = 600.0
_FIRST_LOOK, _LONGEST_LOOK = 0.1, 1.0
_PAGE = 200
_EVENT = "application/cloudevents+json"


class Client(ScheduleCalls, MetricCalls, AlertCalls, MonitoringCalls, PoolCalls, PlanCalls, PinCalls):
    """
    A client of levare's API, usable from several threads and as a context manager.

    Without arguments it finds the API by LEVARE_URL and LEVARE_TOKEN, else by the nearest state
    directory. A request that is safe to repeat is repeated for `patience` seconds while the API
    does not answer; a submit carries a key of its own, so that it makes one job however often it
    is sent. What the API refuses, and that it cannot be reached, is a levare.errors.LevareError.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30,
        patience: float = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = address.find(url, token)
        self._wire = Wire(self.address, timeout=timeout, patience=patience, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; the client is not usable afterwards."""
        self._wire.close()

    def submit(self, command: Sequence[str], *, idempotency_key: str | None = None, **wish: Unpack[Wish]) -> Job:
        """
        Submit a command and return its job.

        Give `idempotency_key` where a program that starts again must not make a second job.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self._wire.ask("POST", "/v1/jobs", json=_body(command, wish), headers=headers)

    def dry_run(self, command: Sequence[str], **wish: Unpack[Wish]) -> DryRun:
        """What `submit` with the same arguments would do; nothing changes."""
        params = {"dry_run": "true"}
        return self._wire.ask("POST", "/v1/jobs", json=_body(command, wish), params=params)

    def jobs(
        self,
        *,
        state: str | Sequence[str] | None = None,
        team: str | None = None,
        project: str | None = None,
        name: str | None = None,
        user: str | None = None,
        array: str | None = None,
        failure: str | Sequence[str] | None = None,
        order: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """
        At most `limit` jobs, newest first unless `order` says otherwise; pages are fetched as they are needed.

        An array is one job here. Its elements are listed with `array`, and where a `state` or a `failure` is asked for.
        """
        wanted = {"state": state, "team": team, "project": project, "name": name, "user": user}
        wanted |= {"array": array, "failure": failure, "order": order}
        return self._pages("/v1/jobs", limit, **wanted)

    def _pages(self, path: str, limit: int | None, **wanted: Any) -> Iterator[Any]:
        return self._wire.pages(path, limit, **wanted)

    def job(self, job: str) -> Job:
        return self._get(f"/v1/jobs/{_part(job)}")

    def array(self, job: str) -> ArrayWish:
        """What tells the elements of an array apart, as `submit` takes it."""
        return _given(self._get(f"/v1/jobs/{_part(job)}/array"))  # pyright: ignore[reportReturnType]

    def cancel(self, job: str) -> Job:
        """Wish that a job be cancelled; to wish it again, or for a final job, changes nothing."""
        return self._wire.ask("DELETE", f"/v1/jobs/{_part(job)}")

    def set_priority(self, job: str, priority: int) -> Job:
        """Let a job that has not begun come earlier (up to 9) or later (down to 0)."""
        return self._wire.ask("PUT", f"/v1/jobs/{_part(job)}/priority", json={"priority": priority})

    def wait(self, job: str, *, timeout: float | None = None, patience: float = _LONG_PATIENCE) -> Job:
        """
        The job once it is final, however long that takes; TimeoutError after `timeout` seconds.

        The API may be silent for `patience` seconds at a time, as when it is restarted.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK
        while (found := self._get_patiently(f"/v1/jobs/{_part(job)}", patience))["state"] not in FINAL:
            if until and time.monotonic() + pause > until:
                raise TimeoutError(f"Job {job} is still {found['state']} after {timeout:g} s.")
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)
        return found

    def submit_pipeline(self, jobs: Sequence[Step], *, name: str = "", idempotency_key: str | None = None) -> Pipeline:
        """Submit several jobs at once, all or none; each has a `step`, and `needs` may name steps."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self._wire.ask("POST", "/v1/pipelines", json=_steps(name, jobs), headers=headers)

    def dry_run_pipeline(self, jobs: Sequence[Step], *, name: str = "") -> Pipeline:
        """What `submit_pipeline` would make; nothing changes."""
        return self._wire.ask("POST", "/v1/pipelines", json=_steps(name, jobs), params={"dry_run": "true"})

    def pipelines(self, *, limit: int | None = None) -> Iterator[Pipeline]:
        """At most `limit` pipelines, newest first."""
        return self._pages("/v1/pipelines", limit)

    def pipeline(self, pipeline: str) -> Pipeline:
        return self._get(f"/v1/pipelines/{_part(pipeline)}")

    def cancel_pipeline(self, pipeline: str) -> Pipeline:
        """Wish that all jobs of a pipeline be cancelled; those that are over stay as they are."""
        return self._wire.ask("DELETE", f"/v1/pipelines/{_part(pipeline)}")

    def attempts(self, job: str) -> list[Attempt]:
        return self._get(f"/v1/jobs/{_part(job)}/attempts")["items"]

    def log(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Log:
        """
        The log of an attempt, the latest by default, from `offset` on (from the end if negative); of a gang its `rank`.

        Without `offset` and `limit` it is the whole kept log, with a line where something is cut.
        """
        params = {"attempt": attempt, "rank": rank, "offset": offset, "limit": limit}
        response = self._wire.checked("GET", f"/v1/jobs/{_part(job)}/logs", params=_given(params))
        return _log(response)

    def follow(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int = 0,
        offset: int | None = None,
        patience: float = _LONG_PATIENCE,
    ) -> Iterator[LogEvent]:
        """
        What an attempt writes, as it writes it, up to its end; without `attempt`, of all attempts from the latest on.

        Broken connections are made again where they broke; `patience` is as in `wait`.
        """
        if attempt is not None:
            yield from follow_attempt(self._wire, _part(job), attempt, rank=rank, offset=offset, patience=patience)
            return
        number = 0
        while number := self._attempt_after(job, number, patience):
            yield from follow_attempt(self._wire, _part(job), number, rank=rank, offset=offset, patience=patience)
            offset = None

    def metrics(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int | None = None,
        stage: str | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int | None = None,
        points: int | None = None,
        best: Mapping[str, Direction] | None = None,
    ) -> Metrics:
        """
        Points beyond the offset `after`, and a summary per stage of all; `next` is the `after` of the next page.

        With `points` curves in at most so many points each, instead. `best` is as in `compare`.
        """
        params = {"attempt": attempt, "rank": rank, "stage": stage, "name": name, "after": after, "limit": limit}
        params |= {"points": points, "best": ways(best)}
        return self._get(f"/v1/jobs/{_part(job)}/metrics", **params)

    def samples(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        step: int | None = None,
        limit: int | None = None,
    ) -> Samples:
        """
        What an attempt used, oldest first: second by second, at most the newest `limit`.

        With a time or a `step` in seconds it is down-sampled, and goes back as far as samples are kept.
        """
        params = {"attempt": attempt, "rank": rank, "step": step, "limit": limit, **_span(since, until)}
        return self._get(f"/v1/jobs/{_part(job)}/samples", **params)

    def why(self, job: str) -> Why:
        """Why a job waits, when it will start, who comes first, and what would start it now."""
        return self._get(f"/v1/jobs/{_part(job)}/why")

    def receipt(self, job: str, *, before: str | None = None) -> Receipt:
        """Why a job started when it did, and, with `before`, why that other job did not start before it."""
        return self._get(f"/v1/jobs/{_part(job)}/receipt", before=before)

    def nodes(self) -> list[Node]:
        return self._get("/v1/nodes")["items"]

    def node(self, name: str) -> Node:
        return self._get(f"/v1/nodes/{_part(name)}")

    def node_samples(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: int | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """What a node measured of itself, oldest first, as `samples` gives it of an attempt."""
        params = {"step": step, "limit": limit, **_span(since, until)}
        return self._get(f"/v1/nodes/{_part(name)}/samples", **params)["items"]

    def set_node_state(self, name: str, state: str) -> Node:
        """
        `draining` takes no new attempts and lets those that run end.

        `ready` takes them again, also on what was excluded for failing.
        """
        return self._wire.ask("PUT", f"/v1/nodes/{_part(name)}/state", json={"state": state})

    def reap(self, name: str, *, dry_run: bool = False) -> Reap:
        """Have a node end what ended attempts left behind on its GPUs; `last_reap` tells when that is done."""
        params = {"dry_run": "true"} if dry_run else {}
        return self._wire.ask("POST", f"/v1/nodes/{_part(name)}/reap", params=params)

    def last_reap(self, name: str) -> Reap:
        """What is left behind on the GPUs of a node, and what became of what was last to be ended."""
        return self._get(f"/v1/nodes/{_part(name)}/reap")

    def teams(self) -> list[Team]:
        return self._get("/v1/teams")["items"]

    def team(self, name: str) -> Team:
        return self._get(f"/v1/teams/{_part(name)}")

    def set_team(self, name: str, *, dry_run: bool = False, **declared: Any) -> Team:
        """
        Declare `weight`, `quota`, `projects` and `users` of a team.

        What is left out, in a quota too, goes back to its default.
        """
        return self._wire.ask("PUT", f"/v1/teams/{_part(name)}", params=_dry(dry_run), json=declared)

    def remove_team(self, name: str, *, dry_run: bool = False) -> Team:
        """Forget what was declared of a team, and return what that was; its jobs and its use stay."""
        return self._wire.ask("DELETE", f"/v1/teams/{_part(name)}", params=_dry(dry_run))

    def windows(self) -> list[Window]:
        """Those that are not over."""
        return self._get("/v1/windows")["items"]

    def window(self, name: str) -> Window:
        return self._get(f"/v1/windows/{_part(name)}")

    def set_window(
        self,
        name: str,
        nodes: Sequence[str],
        *,
        starts: str | datetime,
        ends: str | datetime,
        team: str | None = None,
        user: str | None = None,
        reason: str = "",
        dry_run: bool = False,
    ) -> Window:
        """Keep nodes for a team, or for one user of it, or, without a team, for maintenance."""
        times = {"starts": _instant(starts), "ends": _instant(ends)}
        body = {"nodes": list(nodes), **times, "team": team, "user": user, "reason": reason}
        return self._wire.ask("PUT", f"/v1/windows/{_part(name)}", params=_dry(dry_run), json=body)

    def remove_window(self, name: str, *, dry_run: bool = False) -> Window:
        """Give the nodes of a window back."""
        return self._wire.ask("DELETE", f"/v1/windows/{_part(name)}", params=_dry(dry_run))

    def families(self, *, held: bool = False) -> Iterator[Family]:
        """Families of jobs by name, or only those that are held now; pages are fetched as they are needed."""
        after = ""
        while after is not None:
            page = self._get("/v1/families", held="true" if held else None, after=after or None, limit=_PAGE)
            yield from page["items"]
            after = page["next"]

    def family(self, name: str) -> Family:
        """What is known of the jobs of one `team/project/name`."""
        return self._get(f"/v1/families/{_part(name)}")

    def release_family(self, name: str) -> Family:
        """Let the jobs of a held family start again."""
        return self._wire.ask("DELETE", f"/v1/families/{_part(name)}/hold")

    def triggers(self) -> Iterator[Trigger]:
        """By name; pages are fetched as they are needed."""
        after = ""
        while after is not None:
            page = self._get("/v1/triggers", after=after or None, limit=_PAGE)
            yield from page["items"]
            after = page["next"]

    def trigger(self, name: str) -> Trigger:
        return self._get(f"/v1/triggers/{_part(name)}")

    def set_trigger(self, name: str, definition: Definition, *, dry_run: bool = False) -> Trigger:
        """Declare a trigger, or declare it anew: a `job` or a `pipeline` to start `when` something happens."""
        path = f"/v1/triggers/{_part(name)}"
        return self._wire.ask("PUT", path, params=_dry(dry_run), json=dict(definition))

    def pause_trigger(self, name: str, *, reason: str = "") -> Trigger:
        """Hold whatever happens, until `resume_trigger`."""
        return self._wire.ask("PUT", f"/v1/triggers/{_part(name)}/state", json={"state": "paused", "reason": reason})

    def resume_trigger(self, name: str) -> Trigger:
        """Let it start runs again; what was held stays held."""
        return self._wire.ask("PUT", f"/v1/triggers/{_part(name)}/state", json={"state": "active"})

    def remove_trigger(self, name: str, *, dry_run: bool = False) -> Trigger:
        """Remove a trigger, and return what it was; its jobs and its activations stay."""
        return self._wire.ask("DELETE", f"/v1/triggers/{_part(name)}", params=_dry(dry_run))

    def activations(
        self, trigger: str, *, outcome: str | None = None, limit: int | None = None
    ) -> Iterator[Activation]:
        """At most `limit` things that happened to a trigger and what became of them, newest first."""
        return self._pages(f"/v1/triggers/{_part(trigger)}/activations", limit, outcome=outcome)

    def simulate_trigger(self, name: str, *, since: str = "30d") -> Simulation:
        """What a trigger, as it is declared now, would have done with what has happened."""
        return self._get(f"/v1/triggers/{_part(name)}/simulate", since=since)

    def why_trigger(self, name: str, *, at: str | datetime | None = None) -> WhyNot:
        """Why a trigger did, or did not, start something at a time, now by default."""
        return self._get(f"/v1/triggers/{_part(name)}/why", at=_instant(at))

    def send_event(self, type: str, source: str, *, data: Any = None, **attributes: Any) -> Event:  # noqa: A002  # as CloudEvents call it
        """
        Send a CloudEvent, with an id of its own unless one is given.

        The same source and id is the same event, and happens once however often it is sent.
        """
        event = {"specversion": "1.0", "id": uuid4().hex, "type": type, "source": source, **attributes}
        body = json.dumps(event if data is None else {**event, "data": data})
        return self._wire.ask("POST", "/v1/events", content=body, headers={"Content-Type": _EVENT})

    def events(
        self,
        *,
        type: str | None = None,  # noqa: A002  # as CloudEvents call it
        source: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """At most `limit` events that were received, newest first."""
        return self._pages("/v1/events", limit, type=type, source=source)

    def tokens(self) -> list[Token]:
        return self._get("/v1/tokens")["items"]

    def create_token(
        self,
        name: str,
        *,
        role: str | None = None,
        teams: Mapping[str, str] | None = None,
        expires_at: str | datetime | None = None,
    ) -> Token:
        """
        The new token, with its role in each of its `teams`; without teams and role it may everything.

        The answer is the only place where its secret is ever shown, so it is never sent twice.
        """
        body = _given({"name": name, "role": role, "teams": teams or None, "expires_at": _instant(expires_at)})
        return self._wire.ask("POST", "/v1/tokens", repeatable=False, json=body)

    def revoke_token(self, token_id: str) -> None:
        self._wire.checked("DELETE", f"/v1/tokens/{_part(token_id)}")

    def health(self) -> Health:
        """What stands behind the API, whether it is well or not; asks once, without patience."""
        response = self._wire.send("GET", "/readyz", patience=0)
        health: Health = self._wire.document(response)
        return {**health, "ready": response.is_success, "skew_seconds": _skew(response)}

    def _attempt_after(self, job: str, number: int, patience: float) -> int:
        """The job's latest attempt once it is beyond `number`, or 0 when the job is final without one."""
        pause = _FIRST_LOOK
        while True:
            found = self._get_patiently(f"/v1/jobs/{_part(job)}", patience)
            if found["attempt"] > number:
                return found["attempt"]
            if found["state"] in FINAL:
                return 0
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)

    def _get(self, path: str, **params: Any) -> Any:
        return self._wire.ask("GET", path, params=_given(params))

    def _get_patiently(self, path: str, patience: float) -> Any:
        return self._wire.ask("GET", path, patience=patience)


def _body(command: Sequence[str], wish: Wish) -> dict[str, Any]:
    instants = {name: _instant(wish.get(name)) for name in ("start_after", "deadline")}
    return {"command": list(command), **wish, **_given(instants)}


def _steps(name: str, jobs: Sequence[Step]) -> dict[str, Any]:
    plain = [
        {key: _instant(value) if isinstance(value, datetime) else value for key, value in job.items()} for job in jobs
    ]
    return {"name": name, "jobs": plain}


def _log(response: httpx.Response) -> Log:
    headers, data = response.headers, response.content
    offset, size = int(headers.get("Levare-Offset", 0)), int(headers.get("Levare-Size", len(data)))
    start, _, end = headers.get("Levare-Cut", "").partition("-")
    return Log(
        data=data,
        offset=offset,
        next_offset=int(headers.get("Levare-Next-Offset", size)),
        size=size,
        cut=(int(start), int(end)) if end else None,
        complete=headers.get("Levare-Complete") == "true",
    )


def _skew(response: httpx.Response) -> float | None:
    if "Date" not in response.headers:
        return None
    told = parsedate_to_datetime(response.headers["Date"]) + timedelta(seconds=0.5)  # it leaves out fractions
    return (told - datetime.now(UTC)).total_seconds()
