"""Machines: invited by a code, joined by it once, and then asking what runs on them."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection, make_url
from starlette.responses import Response

from app.answers import answer, listed
from app.call import Asked, Call, DryRun, Parts, trying
from app.document import refusals
from app.machine_bodies import (
    Gpu,
    Invitation,
    InvitationRequest,
    Joined,
    JoinRequest,
    Machine,
    Machines,
    Poll,
    PollRequest,
    WantedMachineState,
    WantedWorker,
)
from app.once import Hidden, OnceOnly
from app.pages import fields_of, picked, selected
from levare.errors import Conflict, Forbidden
from levare.manifest.pools import MachineName
from levare.pulse import beat_bell
from levare.settings import Settings
from levare.store import machines, tokens, versions
from levare.store.ids import new_id
from levare.store.machines import Report

router = APIRouter(tags=["pools"])

PathName = Annotated[MachineName, Path(description="The name of a machine.", examples=["atlas"])]
MachineFields = Annotated[str | None, fields_of(Machine)]
_FIELDS = tuple(Machine.model_fields)
_GPU, _WANTED = tuple(Gpu.model_fields), tuple(WantedWorker.model_fields)
_CODE = Hidden("code", "lvj_")
_INVITING: Any = {200: {"model": Invitation, "description": "A dry run: nothing was made."}}


@router.post("/v1/nodes/invitations", status_code=HTTPStatus.CREATED, response_model=Invitation, responses=_INVITING)
def invite_machine(body: InvitationRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """Make a code by which one machine may join, once; `levare node join` takes it there."""
    code = once.secret(_CODE.prefix)
    return once.answer(lambda connection: _invited(connection, body, call, code, dry_run), dry_run=dry_run, hides=_CODE)


def _invited(connection: Connection, body: InvitationRequest, call: Call, code: str, dry_run: bool) -> Response:
    expires_at = call.now + timedelta(seconds=body.expires_in_seconds)
    machines.invite(connection, code, machine=body.machine, expires_at=expires_at, actor=call.actor, now=call.now)
    shown = {"code": None if dry_run else code, "machine": body.machine, "expires_at": expires_at}
    return answer(shown, HTTPStatus.OK if dry_run else HTTPStatus.CREATED)


@router.post(
    "/v1/nodes/join",
    status_code=HTTPStatus.CREATED,
    response_model=Joined,
    responses={200: {"model": Joined, "description": "A dry run: the code is not used up."}}
    | refusals(Forbidden, Conflict),
)
def join_machine(body: JoinRequest, request: Request, dry_run: DryRun = False) -> Response:
    """
    Bring a machine in by a code instead of a token. The code is used up; the answer holds what the machine needs.

    The answer is secret, so it goes over HTTPS, or over HTTP to this machine and private networks only.
    """
    parts: Parts = request.app.state.parts
    source = request.client.host if request.client else ""
    _refuse_in_public(request.url.scheme, source)
    given = _given(parts.settings, is_here=_is_loopback(source))
    secret = tokens.new_secret()
    with trying(parts.database, dry_run=dry_run) as connection:
        made = {"token_id": new_id(), "secret": secret, "source": source, "now": datetime.now(UTC)}
        machines.join(connection, body.code, body.name, **made)
    if dry_run:
        return answer({"machine": body.name, "token": None, **given, "database": None, "redis": None})
    return answer({"machine": body.name, "token": secret, **given}, HTTPStatus.CREATED)


@router.get("/v1/machines", response_model=Machines)
def list_machines(call: Asked, fields: MachineFields = None) -> Response:
    """List the machines by name."""
    names = selected(Machine, fields)
    with call.database.reading() as connection:
        rows = machines.every(connection, now=call.now)
    return listed([picked(_shown(row), names) for row in rows])


@router.get("/v1/machines/{name}", response_model=Machine)
def read_machine(name: PathName, call: Asked, fields: MachineFields = None) -> Response:
    """Look at a machine."""
    names = selected(Machine, fields)
    with call.database.reading() as connection:
        row = machines.shown(connection, name, now=call.now)
        version = versions.of(connection, versions.MACHINE, name)
    return call.conditions.told(picked(_shown(row), names), version)


@router.post("/v1/machines/{name}/poll", response_model=Poll)
def poll_machine(name: PathName, body: PollRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """Say what a machine has and runs, and hear what it is to run. `levare node run` asks every second."""
    report = body.report()
    rows = _unchanged(call, name, report)
    if rows is None:
        with call.writing(dry_run=dry_run) as connection:
            rows = machines.report(connection, name, report, actor=call.actor, now=call.now)
    return answer({"workers": [_wanted(row) for row in rows]})


@router.put("/v1/machines/{name}/state", response_model=Machine)
def set_machine_state(name: PathName, body: WantedMachineState, call: Asked, dry_run: DryRun = False) -> Response:
    """Drain a machine: all its workers go, each when nothing runs on it any more. Or have it take some again."""
    is_draining = body.state == "draining"
    with call.writing(dry_run=dry_run) as connection:
        machines.set_draining(connection, name, draining=is_draining, actor=call.actor, now=call.now)
        row = machines.shown(connection, name, now=call.now)
    if not dry_run:
        call.pulse.ring(beat_bell())
    return answer(picked(_shown(row), _FIELDS))


@router.delete("/v1/machines/{name}", response_model=Machine, responses=refusals(Conflict))
def forget_machine(name: PathName, call: Asked, dry_run: DryRun = False) -> Response:
    """Forget a machine that has no workers, or is away: its token opens nothing any more."""
    with call.writing(dry_run=dry_run) as connection:
        row = machines.forget(connection, name, actor=call.actor, now=call.now)
    return answer(picked(_shown(row), _FIELDS))


def _unchanged(call: Call, name: str, report: Report) -> list[machines.Row] | None:
    """What is wanted, where the report is no news: most polls are none, and none of those is written."""
    with call.database.reading() as connection:
        return machines.reply_if_unchanged(connection, name, report, actor=call.actor, now=call.now)


def _wanted(row: machines.Row) -> dict[str, Any]:
    share = row["share"]
    return picked({**share, "name": row["name"], "state": row["state"], "labels": dict(share["labels"])}, _WANTED)


def _shown(row: machines.Row) -> dict[str, Any]:
    return {**row, "gpus": [picked(gpu, _GPU) for gpu in row["gpus"]]}


def _given(settings: Settings, *, is_here: bool) -> dict[str, Any]:
    """What a machine's workers get; raise Conflict where it could not reach that."""
    database, redis = settings.node_database or settings.database, settings.node_redis or settings.redis_url
    if not is_here:
        _refuse_local("LEVARE_NODE_DATABASE", "database", make_url(database).host)
        _refuse_local("LEVARE_NODE_REDIS", "Redis", None if redis.startswith("unix:") else make_url(redis).host)
    return {"database": database, "redis": redis, "lost_after_seconds": int(settings.lost_after.total_seconds())}


def _refuse_local(variable: str, what: str, host: str | None) -> None:
    if not host or host == "localhost" or _is_loopback(host):
        raise Conflict(
            f"The {what} of this deployment can be reached from its own machine only ({host or 'a file or a socket'}).",
            f"Set {variable} of web to the URL by which other machines reach it.",
        )


def _refuse_in_public(scheme: str, source: str) -> None:
    if scheme != "https" and not _is_private(source):
        raise Forbidden(
            f"What a machine needs is secret, and does not go over {scheme.upper()} to {source}.",
            "Put the API behind HTTPS, or join from a private network.",
        )


def _is_loopback(host: str) -> bool:
    return _is(host, "is_loopback")


def _is_private(host: str) -> bool:
    return _is(host, "is_private")


def _is(host: str, kind: str) -> bool:
    try:
        return bool(getattr(ip_address(host), kind))
    except ValueError:
        return False
