"""Counters that only grow, as change per second."""

from collections.abc import Container


class Rates:
    """Remembers each counter's last value, so that the next one gives a rate. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[float, float]] = {}

    def per_second(self, owner: str, counter: str, value: float, at: float) -> float | None:
        """The rate since the last call; None at the first. A counter that shrank has started anew: no rate."""
        before, then = self._last.get((owner, counter), (value, at))
        self._last[owner, counter] = (value, at)
        return (value - before) / (at - then) if at > then and value >= before else None

    def keep(self, owners: Container[str]) -> None:
        """Forget all other owners."""
        self._last = {key: last for key, last in self._last.items() if key[0] in owners}
