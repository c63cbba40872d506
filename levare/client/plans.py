"""Plans, revisions and the lock: what the API answers about them, and one method per endpoint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from levare.client.parts import dry, given
from levare.client.wire import Wire
from levare.model import DeclaredKind

_PAGE = 200


class Object(TypedDict):
    """What is declared under a name."""

    kind: DeclaredKind
    name: str
    document: Mapping[str, Any]


class DeclaredAll(TypedDict):
    """All that is declared, and the revision that declared it so."""

    revision: int
    digest: str
    objects: list[Object]


class FieldChange(TypedDict):
    path: str
    before: Any
    after: Any


class Origin(TypedDict):
    revision: int
    by: str
    at: str


class PlannedChange(TypedDict):
    """`action` is `create`, `update` or `remove`; `last` says who made the object what it is now."""

    kind: str
    name: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    fields: list[FieldChange]
    last: Origin | None


class Plan(TypedDict):
    """As `Client.apply_plan` takes it; `effect` has `fires`, `shifts`, `touched` and `over_quota`."""

    version: int
    base: int
    digest: str
    in_flight: str
    rollback_to: int | None
    declared_before: str
    declared_after: str
    made_at: str
    made_by: str
    counts: dict[str, int]
    changes: list[PlannedChange]
    left_paused: list[dict[str, str]]
    warnings: list[str]
    effect: dict[str, Any] | None
    code: NotRequired[dict[str, Any] | None]
    """The `commit` of the manifest, and whether its checkout was `dirty`: who applies the plan says so then."""


class RevisionOfAll(TypedDict):
    """`origin` is `edit`, `apply` or `rollback`."""

    number: int
    at: str
    by: str
    source: str
    reason: str
    origin: str
    plan: str | None
    commit: str | None
    dirty: bool | None
    digest: str
    created: int
    updated: int
    removed: int


class RevisionWithChanges(RevisionOfAll):
    changes: list[PlannedChange]


class Applied(TypedDict):
    revision: int
    digest: str
    created: int
    updated: int
    removed: int


class Lock(TypedDict):
    """All None if nobody has it."""

    id: str | None
    owner: str | None
    reason: str | None
    since: str | None
    until: str | None


class PlanCalls:
    """The part of the client that speaks of all that is declared."""

    _wire: Wire

    def plan(
        self, objects: Sequence[Object], *, in_flight: str = "keep", prune: bool = True, effect: bool = True
    ) -> Plan:
        """What has to change so that these objects, and nothing else, are declared; nothing is changed."""
        wanted = {"objects": list(objects), "in_flight": in_flight, "prune": prune, "effect": effect}
        return self._wire.ask("POST", "/v1/plan", json=wanted)

    def plan_rollback(self, revision: int, *, in_flight: str = "keep", effect: bool = True) -> Plan:
        """What has to change so that all is declared as it was at a revision."""
        wanted = {"rollback_to": revision, "in_flight": in_flight, "effect": effect}
        return self._wire.ask("POST", "/v1/plan", json=wanted)

    def apply_plan(
        self,
        plan: Plan,
        *,
        reason: str = "",
        commit: str | None = None,
        dirty: bool | None = None,
        lock: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """
        Apply a plan as it is; raise StalePlan if anything was declared since it was made.

        The same plan again, right after it was applied, gives the same answer, so this is repeated like a read.
        """
        code = {"commit": commit, "dirty": dirty} if commit else None
        body = given({"plan": plan, "reason": reason, "code": code, "lock": lock})
        return self._wire.ask("POST", "/v1/revisions", params=dry(dry_run), json=body)

    def revisions(self, *, limit: int | None = None) -> Iterator[RevisionOfAll]:
        """Of all that is declared, newest first, at most `limit`; pages are fetched as they are needed."""
        return self._wire.pages("/v1/revisions", limit)

    def last_applied(self) -> RevisionOfAll | None:
        """The last revision that a plan has made."""
        found = self._wire.ask("GET", "/v1/revisions", params={"applied": "true"})["items"]
        return found[0] if found else None

    def revision(self, number: int) -> RevisionWithChanges:
        return self._wire.ask("GET", f"/v1/revisions/{number}")

    def declared(self, revision: int | None = None) -> DeclaredAll:
        """All that is declared now, or was when a revision was the last."""
        return self._wire.ask("GET", "/v1/declared", params=given({"revision": revision}))

    def lock(self) -> Lock:
        """Who has the lock."""
        return self._wire.ask("GET", "/v1/lock")

    def take_lock(self, lock_id: str, *, seconds: int = 300, reason: str = "", dry_run: bool = False) -> Lock:
        """Let nobody else apply a plan for a time; the same id keeps it for longer. Raise Locked if it is taken."""
        body = {"id": lock_id, "seconds": seconds, "reason": reason}
        return self._wire.ask("PUT", "/v1/lock", params=dry(dry_run), json=body)

    def release_lock(self, *, dry_run: bool = False) -> Lock:
        """Give the lock back, or take it away from whoever has it; return who had it."""
        return self._wire.ask("DELETE", "/v1/lock", params=dry(dry_run))
