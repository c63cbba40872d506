"""A run that a job repeats, as its worker needs it: the code to restore, and what may not differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.differences import Difference, Ran, differences
from levare.errors import Conflict
from levare.store import provenance, views
from levare.store.provenance import Found
from levare.store.tables import attempts

_MOST_TOLD = 5


@dataclass(frozen=True)
class Rerun:
    """Without `code` no code is restored; where it is `strict` nothing may differ. GPU models: then, and now."""

    attempt_id: str
    pinned: Mapping[str, Any]
    patch: bytes | None
    code: Mapping[str, Any] | None
    strict: bool
    gpu_models: tuple[Sequence[str], Sequence[str]]


def rerun_of(connection: Connection, wish: Mapping[str, Any], *, devices: Mapping[str, int]) -> Rerun:
    """What `jobs.rerun` asks for, with all that is known of that run, for an attempt that holds these devices."""
    attempt = wish["attempt"]
    pinned = provenance.of_attempt(connection, attempt)
    code = pinned.get("code") if wish["code"] else None
    patch = provenance.patch_of(connection, attempt) if code else None
    held = connection.execute(_DEVICES, {"attempt": attempt}).scalar() or {}
    models = views.models_of(connection, held), views.models_of(connection, devices)
    return Rerun(attempt, pinned, patch, code, wish["strict"], models)


def refuse_deviations(rerun: Rerun, found: Found) -> None:
    """Raise Conflict if the node would run it with other packages, data, interpreter, driver or GPUs."""
    then, now = rerun.gpu_models
    before = Ran("", gpu_models=then, found=_without_environment(rerun.pinned))
    deviations = differences(before, Ran("", gpu_models=now, found=_without_environment(found.told())))
    if deviations:
        told = "; ".join(map(_told, deviations[:_MOST_TOLD]))
        more = f"; and {len(deviations) - _MOST_TOLD} more" if len(deviations) > _MOST_TOLD else ""
        raise Conflict(
            f"It would not be as {rerun.attempt_id} was: {told}{more}.", "Without --strict it runs all the same."
        )


def _without_environment(found: Mapping[str, Any]) -> dict[str, Any]:
    """The job has been given what it needs of that."""
    return {name: value for name, value in found.items() if name != "environment"}


def _told(each: Difference) -> str:
    return f"{each.kind} {each.name} is {each.after or 'missing'}, was {each.before or 'missing'}"


_DEVICES = select(attempts.c.devices).where(attempts.c.id == bindparam("attempt"))
