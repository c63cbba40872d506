"""One method per endpoint."""

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
    Health,
    Job,
    Log,
    LogEvent,
    Pipeline,
    Receipt,
    Samples,
    Step,
    Wish,
)
from levare.client.fleet import FleetCalls
from levare.client.metrics import Direction, MetricCalls, Metrics, ways
from levare.client.monitoring import MonitoringCalls
from levare.client.parts import dry, given, instant, part, span
from levare.client.pins import PinCalls
from levare.client.plans import PlanCalls
from levare.client.pools import PoolCalls
from levare.client.schedules import ScheduleCalls
from levare.client.stream import follow_attempt
from levare.client.tokens import TokenCalls
from levare.client.triggers import TriggerCalls
from levare.client.why import DryRun, Why
from levare.client.wire import LONG_PATIENCE, Wire
from levare.model import FINAL

_FIRST_LOOK, _LONGEST_LOOK = 0.1, 1.0


class Client(
    ScheduleCalls,
    TriggerCalls,
    MetricCalls,
    AlertCalls,
    MonitoringCalls,
    FleetCalls,
    PoolCalls,
    PlanCalls,
    PinCalls,
    TokenCalls,
):
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
        return self._wire.pages("/v1/jobs", limit, **wanted)

    def job(self, job: str) -> Job:
        return self._get(f"/v1/jobs/{part(job)}")

    def array(self, job: str) -> ArrayWish:
        """What tells the elements of an array apart, as `submit` takes it."""
        return given(self._get(f"/v1/jobs/{part(job)}/array"))  # pyright: ignore[reportReturnType]

    def cancel(self, job: str, *, dry_run: bool = False) -> Job:
        """Wish that a job be cancelled; to wish it again, or for a final job, changes nothing."""
        return self._wire.ask("DELETE", f"/v1/jobs/{part(job)}", params=dry(dry_run))

    def set_priority(self, job: str, priority: int, *, dry_run: bool = False) -> Job:
        """Let a job that has not begun come earlier (up to 9) or later (down to 0)."""
        return self._wire.ask("PUT", f"/v1/jobs/{part(job)}/priority", params=dry(dry_run), json={"priority": priority})

    def wait(self, job: str, *, timeout: float | None = None, patience: float = LONG_PATIENCE) -> Job:
        """
        The job once it is final, however long that takes; TimeoutError after `timeout` seconds.

        The API may be silent for `patience` seconds at a time, as when it is restarted.
        """
        return self._until_final(f"/v1/jobs/{part(job)}", f"Job {job}", timeout, patience)

    def submit_pipeline(self, jobs: Sequence[Step], *, name: str = "", idempotency_key: str | None = None) -> Pipeline:
        """Submit several jobs at once, all or none; each has a `step`, and `needs` may name steps."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self._wire.ask("POST", "/v1/pipelines", json=_steps(name, jobs), headers=headers)

    def dry_run_pipeline(self, jobs: Sequence[Step], *, name: str = "") -> Pipeline:
        """What `submit_pipeline` would make; nothing changes."""
        return self._wire.ask("POST", "/v1/pipelines", json=_steps(name, jobs), params={"dry_run": "true"})

    def pipelines(self, *, limit: int | None = None) -> Iterator[Pipeline]:
        """At most `limit` pipelines, newest first."""
        return self._wire.pages("/v1/pipelines", limit)

    def pipeline(self, pipeline: str) -> Pipeline:
        return self._get(f"/v1/pipelines/{part(pipeline)}")

    def wait_pipeline(
        self, pipeline: str, *, timeout: float | None = None, patience: float = LONG_PATIENCE
    ) -> Pipeline:
        """The pipeline once all its steps are final; the rest is as in `wait`."""
        return self._until_final(f"/v1/pipelines/{part(pipeline)}", f"Pipeline {pipeline}", timeout, patience)

    def cancel_pipeline(self, pipeline: str, *, dry_run: bool = False) -> Pipeline:
        """Wish that all jobs of a pipeline be cancelled; those that are over stay as they are."""
        return self._wire.ask("DELETE", f"/v1/pipelines/{part(pipeline)}", params=dry(dry_run))

    def attempts(self, job: str) -> list[Attempt]:
        return self._get(f"/v1/jobs/{part(job)}/attempts")["items"]

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
        response = self._wire.checked("GET", f"/v1/jobs/{part(job)}/logs", params=given(params))
        return _log(response)

    def follow(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int = 0,
        offset: int | None = None,
        patience: float = LONG_PATIENCE,
    ) -> Iterator[LogEvent]:
        """
        What an attempt writes, as it writes it, up to its end; without `attempt`, of all attempts from the latest on.

        Broken connections are made again where they broke; `patience` is as in `wait`.
        """
        if attempt is not None:
            yield from follow_attempt(self._wire, part(job), attempt, rank=rank, offset=offset, patience=patience)
            return
        number = 0
        while number := self._attempt_after(job, number, patience):
            yield from follow_attempt(self._wire, part(job), number, rank=rank, offset=offset, patience=patience)
            offset = None

    def metrics(
        self,
        job: str,
        *,
        attempt: int | None = None,
        rank: int | None = None,
        stage: str | None = None,
        name: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        points: int | None = None,
        best: Mapping[str, Direction] | None = None,
    ) -> Metrics:
        """
        Points, and a summary per stage of all; `next_cursor` is the `cursor` of the next page.

        So is the offset of a point: what comes is beyond it.

        With `points` curves in at most so many points each, instead. `best` is as in `compare`.
        """
        params = {"attempt": attempt, "rank": rank, "stage": stage, "name": name, "cursor": cursor, "limit": limit}
        params |= {"points": points, "best": ways(best)}
        return self._get(f"/v1/jobs/{part(job)}/metrics", **params)

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
        params = {"attempt": attempt, "rank": rank, "step": step, "limit": limit, **span(since, until)}
        return self._get(f"/v1/jobs/{part(job)}/samples", **params)

    def why(self, job: str) -> Why:
        """Why a job waits, when it will start, who comes first, and what would start it now."""
        return self._get(f"/v1/jobs/{part(job)}/why")

    def receipt(self, job: str, *, before: str | None = None) -> Receipt:
        """Why a job started when it did, and, with `before`, why that other job did not start before it."""
        return self._get(f"/v1/jobs/{part(job)}/receipt", before=before)

    def health(self) -> Health:
        """What stands behind the API, whether it is well or not; asks once, without patience."""
        response = self._wire.send("GET", "/readyz", patience=0)
        health: Health = self._wire.document(response)
        return {**health, "ready": response.is_success, "skew_seconds": _skew(response)}

    def gauges(self) -> str:
        """What Prometheus is told, in its own format."""
        return self._wire.checked("GET", "/metrics").text

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] | Mapping[str, Any] = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """
        What answers any request: its JSON, or its text; for what a newer API has and this client has no method for.

        It is repeated only where it changes nothing, or carries an `Idempotency-Key`.
        """
        told = {name.lower() for name in headers or {}}
        options: dict[str, Any] = {"params": params, "headers": headers, "json": body}
        is_safe = method == "GET" or "idempotency-key" in told
        response = self._wire.checked(method, path, repeatable=is_safe, **options)
        if not response.content:
            return {}
        is_json = "json" in response.headers.get("content-type", "")
        return self._wire.document(response) if is_json else response.text

    def _attempt_after(self, job: str, number: int, patience: float) -> int:
        """The job's latest attempt once it is beyond `number`, or 0 when the job is final without one."""
        pause = _FIRST_LOOK
        while True:
            found = self._get_patiently(f"/v1/jobs/{part(job)}", patience)
            if found["attempt"] > number:
                return found["attempt"]
            if found["state"] in FINAL:
                return 0
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)

    def _until_final(self, path: str, what: str, timeout: float | None, patience: float) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK
        while (found := self._get_patiently(path, patience))["state"] not in FINAL:
            if until and time.monotonic() + pause > until:
                raise TimeoutError(f"{what} is still {found['state']} after {timeout:g} s.")
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)
        return found

    def _get_patiently(self, path: str, patience: float) -> Any:
        return self._wire.ask("GET", path, patience=patience)


def _body(command: Sequence[str], wish: Wish) -> dict[str, Any]:
    instants = {name: instant(wish.get(name)) for name in ("start_after", "deadline")}
    return {"command": list(command), **wish, **given(instants)}


def _steps(name: str, jobs: Sequence[Step]) -> dict[str, Any]:
    plain = [
        {key: instant(value) if isinstance(value, datetime) else value for key, value in job.items()} for job in jobs
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
