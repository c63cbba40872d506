"""
Ending what ended attempts have left behind: each process pinned, proven once more, then TERM, grace, KILL.

A pidfd pins the process before it is looked at, so that nobody else can have its number by the time it is signalled.
"""

import os
import select
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic

from levare.store.reaping import Orphan, Reaped
from worker import proc

GRACE_SECONDS, KILLING_SECONDS = 10.0, 5.0


def reap(
    orphans: Sequence[Orphan], *, is_over: Callable[[str], bool], grace_seconds: float = GRACE_SECONDS
) -> list[Reaped]:
    """End these, and only what can be proven at this moment; `is_over` says whether an attempt is."""
    pinned = {orphan: pidfd for orphan in orphans if (pidfd := _pin(orphan)) is not None}
    try:
        proven = {orphan: pidfd for orphan, pidfd in pinned.items() if _is_proven(orphan, is_over)}
        outcomes = dict.fromkeys(pinned, "spared") | _end(proven, grace_seconds)
    finally:
        for pidfd in pinned.values():
            os.close(pidfd)
    return [Reaped(orphan, outcomes.get(orphan, "gone")) for orphan in orphans]


def _end(proven: Mapping[Orphan, int], grace_seconds: float) -> dict[Orphan, str]:
    _signal(proven.values(), signal.SIGTERM)
    stubborn = _await_ends(proven, grace_seconds)
    _signal(stubborn.values(), signal.SIGKILL)
    remaining = _await_ends(stubborn, KILLING_SECONDS)
    return dict.fromkeys(proven, "ended") | dict.fromkeys(stubborn, "killed") | dict.fromkeys(remaining, "remains")


def _pin(orphan: Orphan) -> int | None:
    """A pidfd of this very process, or None if it has ended."""
    try:
        pidfd = os.pidfd_open(orphan.pid)
    except OSError:
        return None
    with suppress(OSError, IndexError):
        if proc.start_of(orphan.pid) == orphan.start and not _ended([pidfd], 0):
            return pidfd
    os.close(pidfd)
    return None


def _is_proven(orphan: Orphan, is_over: Callable[[str], bool]) -> bool:
    return is_over(orphan.attempt) and proc.is_marked(orphan.pid, orphan.attempt)


def _signal(pidfds: Iterable[int], number: int) -> None:
    for pidfd in pidfds:
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, number)


def _await_ends(processes: Mapping[Orphan, int], seconds: float) -> dict[Orphan, int]:
    """Those that have not ended by then."""
    until, left = monotonic() + seconds, dict(processes)
    while left and (patience := until - monotonic()) > 0:
        ended = _ended(left.values(), patience)
        left = {orphan: pidfd for orphan, pidfd in left.items() if pidfd not in ended}
    return left


def _ended(pidfds: Iterable[int], seconds: float) -> set[int]:
    """Those that have ended as soon as one has, or when the time is out."""
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    return {pidfd for pidfd, _ in poll.poll(seconds * 1000)}
