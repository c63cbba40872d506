"""What attempts have had GPUs consume, from the counters of energy of their GPUs."""

from collections.abc import Container, Sequence

from worker.probe.reading import Reading
from worker.probe.tracked import Tracked

COUNTER = "energy_joules"
"""All that a GPU has consumed since its driver was loaded; not every GPU counts it."""


class Energy:
    """Adds up what the counters of each attempt's GPUs have grown by since it was first seen."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], float] = {}
        self._joules: dict[str, float] = {}

    def of(self, one: Tracked, readings: Sequence[Reading]) -> float | None:
        """In joules; of a GPU that it holds a part of, that part. None while no GPU of it has counted anything."""
        for reading in readings:
            count = reading.counters.get(COUNTER)
            if count is not None and reading.device.uuid in one.devices:
                grown = self._grown((one.attempt_id, reading.device.uuid), count)
                before = self._joules.get(one.attempt_id, 0.0)
                self._joules[one.attempt_id] = before + grown * part_of(one, reading)
        return self._joules.get(one.attempt_id)

    def keep(self, attempts: Container[str]) -> None:
        """Forget all other attempts."""
        self._last = {key: count for key, count in self._last.items() if key[0] in attempts}
        self._joules = {key: joules for key, joules in self._joules.items() if key in attempts}

    def _grown(self, key: tuple[str, str], count: float) -> float:
        """A counter that shrank has started anew: what it says now has been consumed since."""
        before = self._last.get(key, count)
        self._last[key] = count
        return count - before if count >= before else count


def part_of(one: Tracked, reading: Reading) -> float:
    """What part of a device an attempt holds, by its memory."""
    device = reading.device
    return min(1.0, one.devices[device.uuid] / device.memory_mib) if device.memory_mib else 1.0
