"""How long a run takes: from the history of its family, and from how far it has come."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from statistics import median

from levare.model import Duration

FEW = 5
"""With fewer runs than these a percentile says nothing: the limit is promised, or twice the longest without one."""
EARLIEST = 0.05
"""From this progress on it is believed: earlier, most of the time went into starting."""
LATEST = 0.95
"""More progress than this counts as this: saving and leaving come after the last step."""
MARGIN = 1.25
"""What is left by the progress is promised with this factor; so is a run that has outlived its promise."""


def expected(seconds: Sequence[float], limit: timedelta | None) -> Duration | None:
    """
    What to expect of the next run, given how many seconds the successful ones took.

    Typical is the median, promised the 90th percentile (nearest rank), neither beyond the limit. Few runs may have
    been of something else by the same name, so then the limit is promised. Without history it is the limit, and
    None without either.
    """
    if not seconds:
        return Duration(limit, limit) if limit is not None else None
    promised = limit if limit is not None and len(seconds) < FEW else _within(_promise(sorted(seconds)), limit)
    return Duration(min(timedelta(seconds=median(seconds)), promised), promised)


def _promise(ascending: Sequence[float]) -> timedelta:
    count = len(ascending)
    return timedelta(seconds=2 * ascending[-1] if count < FEW else ascending[ceil(0.9 * count) - 1])


def corrected(
    duration: Duration | None, elapsed: timedelta, progress: float | None, limit: timedelta | None
) -> Duration | None:
    """
    How long the whole of a run will take that has run for `elapsed` and come as far as `progress` (0 to 1).

    The further it has come, the more counts what it did itself: from half on nothing else. Never less than
    `elapsed`, and beyond the limit only where it is beyond it already. None if nothing tells.
    """
    live = _by_progress(elapsed, progress)
    known = _blend(duration, live, min(1.0, 2 * (progress or 0.0)))
    if known is None:
        return Duration(max(limit, elapsed), max(limit, elapsed)) if limit is not None else None
    promised = known.promised if known.promised > elapsed else elapsed * MARGIN
    promised = max(_within(promised, limit), elapsed)
    typical = known.typical if known.typical > elapsed else elapsed + (promised - elapsed) / 2
    return Duration(min(typical, promised), promised)


def remaining(
    duration: Duration | None, elapsed: timedelta, progress: float | None, limit: timedelta | None
) -> Duration | None:
    """What `corrected` leaves after `elapsed`; never negative."""
    whole = corrected(duration, elapsed, progress, limit)
    return whole and Duration(whole.typical - elapsed, whole.promised - elapsed)


def _by_progress(elapsed: timedelta, progress: float | None) -> Duration | None:
    """What a run will take that goes on as it has gone so far; None while too little is known."""
    if progress is None or progress < EARLIEST or not elapsed:
        return None
    left = elapsed * (1 / min(progress, LATEST) - 1)
    return Duration(elapsed + left, elapsed + left * MARGIN)


def _blend(history: Duration | None, live: Duration | None, weight: float) -> Duration | None:
    if history is None or live is None:
        return history or live
    return Duration(
        live.typical * weight + history.typical * (1 - weight),
        live.promised * weight + history.promised * (1 - weight),
    )


def _within(time: timedelta, limit: timedelta | None) -> timedelta:
    return time if limit is None else min(time, limit)
