"""What a GPU, real or simulated, says of itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from levare.model import Device


@dataclass(frozen=True)
class Reading:
    """A counter that the device does not have is not in `counters`; None for `processes` if it names none."""

    device: Device
    counters: Mapping[str, float] = field(default_factory=dict)
    """By their names with their units, as docs/monitoring-samples.md has them; energy_joules only grows."""
    processes: Mapping[int, int] | None = None
    """Process id -> MiB of the device that it uses."""

    def memory_of(self, pids: Iterable[int]) -> int | None:
        """How many MiB of it these processes use."""
        processes = self.processes
        return None if processes is None else sum(processes.get(pid, 0) for pid in pids)
