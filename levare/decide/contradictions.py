"""Wishes whose parts are each valid and yet cannot hold together."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from levare.errors import Contradiction, Fault


class Wish(Protocol):
    """What a job that is asked for says of itself."""

    @property
    def deadline(self) -> datetime | None: ...
    @property
    def start_after(self) -> datetime | None: ...
    @property
    def only_between(self) -> str | None: ...
    @property
    def avoid(self) -> Mapping[str, str]: ...
    @property
    def require(self) -> Mapping[str, str]: ...
    @property
    def warning_seconds(self) -> int: ...
    @property
    def warning_signal(self) -> str | None: ...
    @property
    def retry_on(self) -> Sequence[str]: ...


def refuse_contradictions(wish: Wish, *, now: datetime) -> None:
    """Raise Contradiction with all that contradicts itself, or the present time."""
    faults = list(contradictions(wish, now))
    if faults:
        first, others = faults[0], len(faults) - 1
        more = f" {others} more: see errors." if others else ""
        raise Contradiction(
            f"{first.field} is {first.value}: {first.message}.{more}",
            "Change what is named, or leave it out, and send it again.",
            faults,
        )


def contradictions(wish: Wish, now: datetime) -> Iterator[Fault]:
    yield from _of_now(wish, now)
    yield from of_itself(wish)


def of_itself(wish: Wish) -> Iterator[Fault]:
    """What cannot hold together at any time."""
    yield from _of_times(wish)
    yield from _of_labels(wish)
    yield from _of_warning(wish)
    yield from _of_exit_codes(wish)


def _of_now(wish: Wish, now: datetime) -> Iterator[Fault]:
    if wish.deadline and wish.deadline <= now:
        yield Fault("deadline", "must be in the future", _told(wish.deadline), f"later than {_told(now)}")


def _of_times(wish: Wish) -> Iterator[Fault]:
    deadline, start = wish.deadline, wish.start_after
    if deadline and start and deadline <= start:
        yield Fault("deadline", "must be later than start_after", _told(deadline), f"later than {_told(start)}")
    starts, _, ends = (wish.only_between or "").partition("-")
    if wish.only_between and starts == ends:
        limit = "two different times such as 22:00-06:00"
        yield Fault("only_between", "must not end when it begins", wish.only_between, limit)


def _of_labels(wish: Wish) -> Iterator[Fault]:
    for name, value in wish.avoid.items():
        if wish.require.get(name) == value:
            yield Fault(f"avoid.{name}", "is required as well", value, f"any but the value of require.{name}")


def _of_warning(wish: Wish) -> Iterator[Fault]:
    if wish.warning_seconds and not wish.warning_signal:
        yield Fault("warning_seconds", "needs a warning_signal", wish.warning_seconds, "0 without a warning_signal")
    if wish.warning_signal and not wish.warning_seconds:
        limit = "null without warning_seconds"
        yield Fault("warning_signal", "needs warning_seconds of at least 1", wish.warning_signal, limit)


def _of_exit_codes(wish: Wish) -> Iterator[Fault]:
    for place, kind in enumerate(wish.retry_on):
        first, _, last = kind.removeprefix("exit:").partition("-")
        if last and int(first) > int(last):
            yield Fault(f"retry_on.{place}", "must not end before it begins", kind, f"exit:{last}-{first}")


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
