"""
Which job runs where, and why the others wait.

The order is highest priority after ageing, then longest wait, then id. A job that does not fit is
passed over by later ones that do, but not for ever: once the first that does not fit has waited
`PATIENCE`, the node where it will fit is kept for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.capacity import Room, can_ever_fit, explain_shortage
from levare.model import Decision, Node, Placement, Reason, Request, Waiting

AGEING = timedelta(minutes=10)
"""A job gains one level of priority for each of these that it has waited."""
PATIENCE = timedelta(minutes=30)


@dataclass
class _Fleet:
    """What is left of each node while one decision is made."""

    rooms: Sequence[Room]
    kept_for: str | None = None

    def fit(self, job: Waiting) -> Placement | None:
        fits = [room for room in self.rooms if room.is_open and room.devices_for(job.request) is not None]
        if not fits:
            return None
        best = min(fits, key=lambda room: room.waste(job.request))
        return Placement(job.job_id, best.name, job.request, best.take(job.request))

    def keep_a_node_for(self, job: Waiting) -> None:
        """Close the node that comes nearest to fitting to everyone behind `job`."""
        possible = [room for room in self.rooms if room.is_open and room.fits_when_empty(job.request)]
        if possible and self.kept_for is None:
            min(possible, key=lambda room: room.shortfall(job.request)).is_open = False
            self.kept_for = job.job_id


def place(waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime) -> Decision:
    """
    Choose devices for each waiting job, best first, and explain every job left waiting.

    Pure: the same inputs in any order give the same decision; the caller applies it.
    """
    fleet = _Fleet([Room(node) for node in sorted(nodes, key=lambda node: node.name)])
    placements: list[Placement] = []
    left: list[Waiting] = []
    too_big: set[str] = set()
    for job in sorted(waiting, key=lambda job: order(job, now)):
        placement = None if job.request.shape in too_big else fleet.fit(job)
        if placement:
            placements.append(placement)
            continue
        too_big.add(job.request.shape)
        left.append(job)
        if now - job.since >= PATIENCE:
            fleet.keep_a_node_for(job)
    return Decision(placements, _reasons(left, fleet, nodes))


def order(job: Waiting, now: datetime) -> tuple[float, datetime, str]:
    """The sort key of the queue: whoever has the smallest comes first."""
    levels = (now - job.since) // AGEING
    return (-(job.priority + levels), job.since, job.job_id)


def behind(ahead: int) -> list[Reason]:
    """The reason that names how many waiting jobs come first by priority and age; none for the first."""
    if not ahead:
        return []
    jobs = "1 waiting job comes" if ahead == 1 else f"{ahead} waiting jobs come"
    return [Reason("behind-others", "will-wait", f"{jobs} first by priority and age.", 0, ahead)]


def can_never_run(request: Request, nodes: Iterable[Node]) -> Reason | None:
    """Why no node of the fleet could run this even when empty; None if one could, or if no node has joined yet."""
    fleet = list(nodes)
    if not fleet or any(can_ever_fit(request, node) for node in fleet):
        return None
    shortages = explain_shortage(request, [Room.emptied(node) for node in fleet])
    return replace(shortages[0], kind="can-never-run")


def _reasons(left: Sequence[Waiting], fleet: _Fleet, nodes: Sequence[Node]) -> Mapping[str, Sequence[Reason]]:
    by_shape: dict[str, Sequence[Reason]] = {}
    reasons: dict[str, Sequence[Reason]] = {}
    for job in left:
        shape = job.request.shape
        if shape not in by_shape:
            by_shape[shape] = _why(job.request, fleet, nodes)
        reasons[job.job_id] = [*by_shape[shape], *_kept(job, fleet)]
    return reasons


def _why(request: Request, fleet: _Fleet, nodes: Sequence[Node]) -> list[Reason]:
    if not nodes:
        return [Reason("no-nodes", "will-wait", "No node has joined yet; start a worker with `levare up`.")]
    never = can_never_run(request, nodes)
    if never:
        return [never]
    return explain_shortage(request, fleet.rooms) + _unavailable(request, fleet.rooms)


def _unavailable(request: Request, rooms: Sequence[Room]) -> list[Reason]:
    """Nodes that would have room but take nothing new."""
    return [
        Reason(f"node-{room.state}", "will-wait", f"Node {room.name} has room but is {room.state}.")
        for room in rooms
        if room.state != "ready" and room.devices_for(request) is not None
    ]


def _kept(job: Waiting, fleet: _Fleet) -> list[Reason]:
    if fleet.kept_for in (None, job.job_id):
        return []
    minutes = PATIENCE // timedelta(minutes=1)
    message = f"A node is kept for {fleet.kept_for}, which has waited for more than {minutes} minutes."
    return [Reason("node-kept", "will-wait", message)]
