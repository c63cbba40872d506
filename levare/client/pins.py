"""What the client asks of what runs were pinned to, and to repeat them."""

from typing import Any, TypedDict
from uuid import uuid4

from levare.client.answers import Job
from levare.client.monitoring import Change
from levare.client.parts import given, part
from levare.client.wire import Wire


class Missing(TypedDict):
    """What of a run is not pinned, or could not be restored, and why."""

    what: str
    why: str


class Run(TypedDict):
    """An attempt, and how it stands."""

    job: str
    name: str
    attempt: str
    number: int
    state: str
    node: str
    started_at: str | None
    seconds: float | None
    exit_code: int | None
    missing: list[Missing]


class Pins(Run):
    """All that an attempt was pinned to."""

    command: list[str]
    cwd: str
    env: dict[str, Any]
    environment: dict[str, str]
    parameters: dict[str, Any]
    code: dict[str, Any] | None
    patch: str | None
    script: dict[str, str] | None
    locks: dict[str, str]
    packages: list[str]
    editable: list[str]
    python: str | None
    python_version: str | None
    seed: str | None
    data_id: str | None
    data: dict[str, str] | None
    driver: str | None
    kernel: str | None
    gpu_models: list[str]
    rerun: dict[str, Any] | None


class Diff(TypedDict):
    """What differs between two runs; the metrics are all that either has told."""

    before: Run
    after: Run
    changes: list[Change]
    metrics: list[dict[str, Any]]


class Repeated(TypedDict):
    """The new job, the attempt that it repeats, and what of that is not as it was."""

    job: Job
    repeats: str | None
    code_restored: bool
    missing: list[Missing]


class PinCalls:
    """The part of the client that speaks of what runs were pinned to."""

    _wire: Wire

    def pins(self, job: str, *, attempt: int | None = None, patch: bool = False) -> Pins:
        """What an attempt was pinned to, the latest by default; with `patch` its uncommitted changes too."""
        wanted = given({"attempt": attempt, "patch": "true" if patch else None})
        return self._wire.ask("GET", f"/v1/jobs/{part(job)}/pins", params=wanted)

    def diff(self, job: str, other: str, *, attempt: int | None = None) -> Diff:
        """What differs from the first to the other, a job or an attempt such as k3v9x2m1qa-1."""
        wanted = given({"with": other, "attempt": attempt})
        return self._wire.ask("GET", f"/v1/jobs/{part(job)}/diff", params=wanted)

    def rerun(
        self,
        job: str,
        *,
        attempt: int | None = None,
        pinned: bool = True,
        strict: bool = False,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Repeated:
        """
        Submit a job again, with what one of its attempts was pinned to.

        `strict` refuses what is not pinned; without `pinned` it is the request alone, with the code of now.
        """
        body = given({"attempt": attempt, "pinned": pinned, "strict": strict})
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        params = {"dry_run": "true"} if dry_run else {}
        return self._wire.ask("POST", f"/v1/jobs/{part(job)}/reruns", json=body, headers=headers, params=params)
