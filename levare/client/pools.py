"""Pools, the machines that they run on, and how machines come in."""

from collections.abc import Mapping
from typing import Any, TypedDict

from levare.client.parts import Version, dry, given, only, part
from levare.client.wire import Wire


class PoolWorker(TypedDict):
    name: str
    machine: str
    state: str
    """`starting`, `ready`, `draining`, `stopping` or `lost`."""
    attempts: int
    since: str
    reason: str
    note: str | None


class Pool(TypedDict):
    name: str
    definition: dict[str, Any]
    revision: int
    owner: str
    changed_at: str
    wanted: int
    why: str
    decided_at: str | None
    workers: list[PoolWorker]


class Machine(TypedDict):
    name: str
    state: str
    """`ready`, `draining`, or `away`: it has not asked for half a minute."""
    seen_at: str | None
    joined_at: str
    invited_by: str
    draining_by: str | None
    version: str
    labels: dict[str, str]
    cpus: int
    memory_mib: int
    scratch_mib: int
    gpus: list[dict[str, Any]]
    workers: list[str]


class Invitation(TypedDict):
    code: str | None
    machine: str | None
    expires_at: str


class Joined(TypedDict):
    """All of it is secret."""

    machine: str
    token: str
    database: str
    redis: str
    lost_after_seconds: int


class PoolCalls:
    _wire: Wire

    def pools(self) -> list[Pool]:
        return self._wire.ask("GET", "/v1/pools")["items"]

    def pool(self, name: str) -> Pool:
        return self._wire.ask("GET", f"/v1/pools/{part(name)}")

    def set_pool(
        self, name: str, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: Version = None
    ) -> Pool:
        """Declare a pool, or declare it anew; docs/pools.md says what belongs into a definition."""
        return self._wire.ask(
            "PUT", f"/v1/pools/{part(name)}", params=dry(dry_run), **only(if_match), json=dict(definition)
        )

    def remove_pool(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Pool:
        """Its workers drain, and end when nothing runs on them any more."""
        return self._wire.ask("DELETE", f"/v1/pools/{part(name)}", params=dry(dry_run), **only(if_match))

    def machines(self) -> list[Machine]:
        return self._wire.ask("GET", "/v1/machines")["items"]

    def machine(self, name: str) -> Machine:
        return self._wire.ask("GET", f"/v1/machines/{part(name)}")

    def set_machine_state(self, name: str, state: str, *, dry_run: bool = False) -> Machine:
        """`draining` lets all its workers go, each when nothing runs on it any more; `ready` takes some again."""
        path = f"/v1/machines/{part(name)}/state"
        return self._wire.ask("PUT", path, params=dry(dry_run), json={"state": state})

    def forget_machine(self, name: str, *, dry_run: bool = False) -> Machine:
        """Of one that has no workers, or is away: its token opens nothing any more."""
        return self._wire.ask("DELETE", f"/v1/machines/{part(name)}", params=dry(dry_run))

    def invite_machine(
        self, *, machine: str | None = None, expires_in_seconds: int | None = None, dry_run: bool = False
    ) -> Invitation:
        """Make a code by which one machine may join, once, soon; a known one comes back only by one for its name."""
        body = given({"machine": machine, "expires_in_seconds": expires_in_seconds})
        path = "/v1/nodes/invitations"
        return self._wire.ask("POST", path, params=dry(dry_run), json=body, repeatable=False)

    def join_machine(self, code: str, name: str, *, dry_run: bool = False) -> Joined:
        """Bring a machine in; the code is used up."""
        wish = {"code": code, "name": name}
        return self._wire.ask("POST", "/v1/nodes/join", params=dry(dry_run), json=wish, repeatable=False)

    def poll_machine(self, name: str, report: Mapping[str, Any], *, dry_run: bool = False) -> list[dict[str, Any]]:
        """Say what a machine has and runs, with its own token, and hear what it is to run."""
        said = self._wire.ask("POST", f"/v1/machines/{part(name)}/poll", params=dry(dry_run), json=dict(report))
        return said["workers"]
