"""Why a job waits although no rule of its team forbids it to start: what the fleet lacks, and what of it is closed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, licences_short, without_licences
from levare.decide.shortage import shortages
from levare.model import TAKEN, Device, Reason, Request, Waiting, Window


def obstacles(job: Waiting, fleet: Fleet, now: datetime) -> list[Reason]:
    """What keeps a job from starting that the fleet could run if it were empty."""
    request = without_licences(job.request, fleet.licences)
    licences = [licence(*short) for short in licences_short(job.request, fleet.licences)]
    return [*licences, *shortages(request, list(fleet.rooms.values())), *_closed(job, request, fleet, now)]


def licence(name: str, asked: int, left: int) -> Reason:
    return Reason("licence-busy", "will-wait", f"Asks for {asked} {name}; the fleet has {left} left.", asked, left)


def off_hours(job: Waiting, now: datetime) -> list[Reason]:
    hours, utc = job.only_between, now.astimezone(UTC)
    if hours is None or hours.contains(utc.hour * 60 + utc.minute):
        return []
    return [Reason("off-hours", "will-wait", f"Starts only between {hours}; it is {utc:%H:%M} UTC.")]


def behind(ahead: int) -> list[Reason]:
    jobs = "1 job like it comes" if ahead == 1 else f"{ahead} jobs like it come"
    return [Reason("behind-others", "will-wait", f"{jobs} first by age.", 0, ahead)] if ahead else []


def _closed(job: Waiting, request: Request, fleet: Fleet, now: datetime) -> Iterator[Reason]:
    """Nodes that have room which the job may not use."""
    for room in fleet.rooms.values():
        if not (room.suits(request) and room.fits(request)):
            yield from _blocked_devices(room, request)
        elif reason := _closure(room, job, fleet, now):
            yield reason


def _closure(room: Room, job: Waiting, fleet: Fleet, now: datetime) -> Reason | None:
    state, note = room.node.state, room.node.note
    if state != "ready":
        return Reason(f"node-{state}", "will-wait", f"Node {room.name} has room but is {state}.")
    if note:
        return Reason("node-excluded", "will-wait", f"Node {room.name} has room but is excluded: {note}")
    if room.name in job.shunned:
        return Reason("node-shunned", "will-wait", f"Node {room.name} has room, but the job has failed there.")
    if window := fleet.window_in_the_way(room, job):
        return _kept_for(window, room.name, now)
    if (kept := fleet.kept.get(room.name)) and kept.job_id != job.job_id:
        return Reason("node-kept", "will-wait", f"Node {room.name} is kept for {kept.job_id}{_by_when(kept.at)}.")
    return None


def _kept_for(window: Window, node: str, now: datetime) -> Reason:
    ends, kept = f"{window.ends:%Y-%m-%d %H:%M} UTC", f"Node {node} is kept for the window {window.name!r}"
    if window.starts <= now:
        return Reason("window", "will-wait", f"{kept} until {ends}.")
    span = f"from {window.starts:%Y-%m-%d %H:%M} to {ends}"
    return Reason("window", "will-wait", f"{kept} {span}, and this could run into it.")


def _blocked_devices(room: Room, request: Request) -> Iterator[Reason]:
    """GPUs that cannot be used, and without which there are too few, now or even if nothing ran."""
    blocked = [device for device in room.node.devices if device.blocked]
    if room.is_open and blocked and request.gpus:
        empty = replace(room.node, held=())
        if any(not Room(node).fits(request) and Room.unblocked(node).fits(request) for node in (room.node, empty)):
            for device in blocked:
                yield Reason(f"gpu-{_taken_by(device)}", "will-wait", device.blocked)


def _taken_by(device: Device) -> str:
    return device.ownership if device.ownership in TAKEN else "excluded"


def _by_when(at: datetime | None) -> str:
    return f", which starts there by {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else ""
