"""What the client asks of failures, reports and the audit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from levare.client.parts import given, part
from levare.client.plans import Object
from levare.client.wire import Wire

_PAGE = 200
_LONGEST_SIMULATION_SECONDS = 180


class ReplayTally(TypedDict):
    """What came of a time; a job that still waited at its end counts with the wait up to then."""

    jobs: int
    waiting: int
    wait_p50_seconds: float | None
    wait_p95_seconds: float | None
    preemptions: int
    gpu_hours: float
    cost: float | None


class ReplayTallies(TypedDict):
    all: ReplayTally
    teams: dict[str, ReplayTally]
    used_percent: float | None


class Replay(TypedDict):
    """The same jobs as it really went, played again as things are declared, and with the changes."""

    since: str
    until: str
    played_from: str
    jobs: int
    untold: int
    currency: str
    changes: list[str]
    actual: ReplayTallies
    declared: ReplayTallies
    changed: ReplayTallies


class Evidence(TypedDict):
    """A line that speaks for a class; `source` is log, kernel, metrics or ending."""

    source: str
    text: str
    offset: int | None


class Change(TypedDict):
    """Something that was otherwise in the last good run; None is what was not there."""

    kind: str
    name: str
    before: str | None
    after: str | None


class Dossier(TypedDict):
    """All that is known of a failure."""

    job: str
    name: str
    family: str
    attempt: str
    number: int
    rank: int
    state: str
    node: str
    reason: str | None
    exit_code: int | None
    signal: int | None
    started_at: str | None
    ended_at: str | None
    peak_memory_mib: int | None
    gpu_memory_mib: int | None
    gpu_utilisation_percent: float | None
    failure: str
    title: str
    exception: str | None
    evidence: list[Evidence]
    next_step: str
    last_lines: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    samples: list[dict[str, float]]
    last_good: dict[str, Any] | None
    changes: list[Change]
    provenance: dict[str, Any]
    submitted_code: dict[str, Any] | None
    same_failures: dict[str, int]


class AuditRow(TypedDict):
    """Who did what, when, from where; `place` and `hash` are None until beat has sealed it."""

    id: int
    at: str
    actor: str
    action: str
    object: str
    source: str
    detail: dict[str, Any]
    place: int | None
    hash: str | None


class AuditVerdict(TypedDict):
    """What a look at the whole chain has found."""

    ok: bool
    sealed: int
    open: int
    open_since: str | None
    head: str
    broken: dict[str, Any] | None
    message: str


class MonitoringCalls:
    """The part of the client that speaks of what went wrong, what was used, and who changed what."""

    _wire: Wire

    def failure(self, job: str, *, attempt: int | None = None, rank: int | None = None) -> Dossier:
        """Why a job has failed: its last attempt that did, unless another is named."""
        return self._wire.ask("GET", f"/v1/jobs/{part(job)}/failure", params=given({"attempt": attempt, "rank": rank}))

    def report(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        team: str | None = None,
        family: str | None = None,
    ) -> dict[str, Any]:
        """Asked against used, what stood idle, failures by class, waits and right sizes; of 30 days by default."""
        wanted = {"since": since, "until": until, "team": team, "family": family}
        return self._wire.ask("GET", "/v1/report", params=given(wanted))

    def simulate(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        objects: Sequence[Object] = (),
        nodes: Mapping[str, int] | None = None,
    ) -> Replay:
        """
        The jobs of the past, of 30 days by default, played again as things are declared and with these teams and pools.

        `nodes` says of a node how many like it there would be. It takes up to minutes.
        """
        asked = given({"since": since, "until": until, "objects": list(objects), "nodes": dict(nodes or {})})
        return self._wire.ask("POST", "/v1/simulations", json=asked, timeout=_LONGEST_SIMULATION_SECONDS)

    def family_runs(
        self, family: str, *, since: str | None = None, schedule: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """How the runs of a family went, the newest first."""
        wanted = given({"since": since, "schedule": schedule, "limit": limit})
        return self._wire.ask("GET", f"/v1/families/{part(family)}/history", params=wanted)["items"]

    def audit(
        self,
        *,
        object: str | None = None,  # noqa: A002  # as the rows call it
        actor: str | None = None,
        action: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditRow]:
        """Who changed what, newest first, at most `limit`; pages are fetched as they are needed."""
        wanted = {"object": object, "actor": actor, "action": action, "since": since}
        return self._wire.pages("/v1/audit", limit, **wanted)

    def verify_audit(self, *, anchor: str | None = None) -> AuditVerdict:
        """Whether nobody has changed the audit; `anchor` is the `PLACE:HASH` of an earlier look."""
        return self._wire.ask("GET", "/v1/audit/verification", params=given({"anchor": anchor}))
