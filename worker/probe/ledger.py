"""
Whose each GPU is, proven by what runs on it, and believed once it has been seen twice.

Pure: what runs and what lives is given, and so is the time, in seconds of one clock that does not jump.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from levare.model import FOREIGN, FREE, ORPHAN, OURS, TAKEN, Device

ORPHANED_AFTER_SECONDS = 10.0
"""What ended an attempt is still ending its processes; what runs on so long after it was left behind."""


@dataclass(frozen=True)
class Use:
    """A process that uses a GPU, and the attempt that it is of."""

    pid: int
    start: int | None
    """In clock ticks since boot; None if the process table that we see does not have it."""
    user: str = ""
    command: str = ""
    attempt: str | None = None
    memory_mib: int = 0
    """0 where nobody tells."""


@dataclass(frozen=True)
class Ownership:
    """Whose a GPU is; of one that is taken also who uses it, and what is to be said of that."""

    state: str = FREE
    owner: tuple[Use, ...] = ()
    detail: str | None = None

    @property
    def is_taken(self) -> bool:
        return self.state in TAKEN

    def says_the_same_as(self, other: "Ownership") -> bool:
        """Whether state and processes are the same; how much memory they use changes all the time."""
        return self.state == other.state and _processes(self.owner) == _processes(other.owner)


@dataclass(frozen=True)
class Belief:
    """
    What holds of a GPU. It becomes taken, or usable again, only when that is seen twice in a row.

    For a process that is just ending still shows, and one that is just starting does not yet.
    """

    ownership: Ownership = Ownership()
    is_doubted: bool = False

    def after(self, seen: Ownership) -> "Belief":
        if self.is_doubted or seen.is_taken == self.ownership.is_taken:
            return Belief(seen)
        return Belief(self.ownership, is_doubted=True)


def judge(
    devices: Iterable[Device],
    uses: Mapping[str, Sequence[Use]],
    live: Mapping[str, Collection[str]],
    over: Collection[str] = (),
    *,
    node: str,
) -> dict[str, Ownership]:
    """
    Whose each device (by UUID) is, for those whose `uses` are known.

    `live` maps the attempts that are alive to the devices that they hold, `over` has those of this node that are not.
    A process that is not in our process table may well be of the attempt that holds the device, so there it is ours.
    """
    return {
        device.uuid: _judge(device, uses[device.uuid], live, over, node) for device in devices if device.uuid in uses
    }


def left_behind(uses: Mapping[str, Sequence[Use]], over: Collection[str]) -> dict[Use, list[str]]:
    """The processes of attempts that are over, with the devices that each uses."""
    found: dict[tuple[int, int | None], tuple[Use, list[str]]] = {}
    for uuid, on_device in uses.items():
        for use in on_device:
            if use.attempt in over and use.start is not None:
                found.setdefault((use.pid, use.start), (use, []))[1].append(uuid)
    return dict(found.values())


def over_since(before: Mapping[str, float], over: Iterable[str], now: float) -> dict[str, float]:
    """Since when each of these attempts has been seen to be over; what is not seen any more is forgotten."""
    return {attempt: before.get(attempt, now) for attempt in over}


def long_over(since: Mapping[str, float], now: float) -> set[str]:
    """Those that have been over for so long that nothing of them is still being ended."""
    return {attempt for attempt, began in since.items() if now - began >= ORPHANED_AFTER_SECONDS}


def _judge(
    device: Device, on_it: Sequence[Use], live: Mapping[str, Collection[str]], over: Collection[str], node: str
) -> Ownership:
    is_held = any(device.uuid in held for held in live.values())
    orphans = tuple(use for use in on_it if use.attempt in over)
    ours = {use for use in on_it if use.attempt in live or (is_held and use.start is None)}
    foreign = tuple(use for use in on_it if use not in ours and use not in orphans)
    used = f"GPU {device.index} of {node} is used by"
    if foreign:
        return Ownership(FOREIGN, foreign, f"{used} {_named(foreign)}, which levare did not start.")
    if orphans:
        left = f"left behind by {_attempts(orphans)}; `levare nodes reap {node}` ends it."
        return Ownership(ORPHAN, orphans, f"{used} {_named(orphans)}, {left}")
    return Ownership(OURS if ours or is_held else FREE)


def _attempts(orphans: Sequence[Use]) -> str:
    names = sorted({str(use.attempt) for use in orphans})
    return f"{'attempt' if len(names) == 1 else 'attempts'} {', '.join(names)}, now over"


def _named(uses: Sequence[Use]) -> str:
    """The one that uses most of it, and how many others there are."""
    largest = max(uses, key=lambda use: (use.memory_mib, -use.pid))
    others = len(uses) - 1
    return _described(largest) + (f" and {others} {'other' if others == 1 else 'others'}" if others else "")


def _described(use: Use) -> str:
    memory = [f"{use.memory_mib} MiB"] if use.memory_mib else []
    if use.start is None:
        return f"an unknown process ({', '.join([f'pid {use.pid} of a process table not seen here', *memory])})"
    about = ", ".join([*([use.command] if use.command else []), *memory])
    return f"process {use.pid} of {use.user}" + (f" ({about})" if about else "")


def _processes(uses: Iterable[Use]) -> set[tuple[int, int | None]]:
    return {(use.pid, use.start) for use in uses}
