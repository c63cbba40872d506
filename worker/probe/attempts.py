"""Each attempt's own use of the machine: its process tree, and its part of its GPUs."""

from collections.abc import Sequence
from time import monotonic

from worker.probe.energy import Energy
from worker.probe.processes import ProcessTable, Tree
from worker.probe.rates import Rates
from worker.probe.reading import Reading
from worker.probe.tracked import Tracked


class Attempts:
    """Samples attempts; rates are those since the last sample, and 100% is one CPU. Not for several threads at once."""

    def __init__(self) -> None:
        self._processes = ProcessTable()
        self._rates = Rates()
        self._energy = Energy()

    def sample(self, tracked: Sequence[Tracked], readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
        """What each attempt uses now, by its id; nothing of one that has just ended."""
        known = {one.attempt_id for one in tracked}
        self._rates.keep(known)
        self._energy.keep(known)
        trees, at = self._processes.trees(tracked), monotonic()
        return {
            one.attempt_id: self._measured(one, tree, readings, at)
            for one in tracked
            if (tree := trees.get(one.attempt_id))
        }

    def _measured(self, one: Tracked, tree: Tree, readings: Sequence[Reading], at: float) -> dict[str, float]:
        numbers = {
            "memory_mib": tree.memory_mib,
            "processes": tree.processes,
            "threads": tree.threads,
            **self._rates_of(one.attempt_id, tree, at),
            **_gpu_share(one, tree, readings),
            **self._energy_of(one, readings),
        }
        return {name: round(number, 2) for name, number in numbers.items()}

    def _energy_of(self, one: Tracked, readings: Sequence[Reading]) -> dict[str, float]:
        joules = self._energy.of(one, readings)
        return {} if joules is None else {"energy_joules": joules}

    def _rates_of(self, attempt_id: str, tree: Tree, at: float) -> dict[str, float]:
        counters = {
            "cpu_percent": tree.cpu_seconds * 100,
            "read_mib_per_second": tree.read_mib,
            "write_mib_per_second": tree.write_mib,
        }
        rates = {name: self._rates.per_second(attempt_id, name, count, at) for name, count in counters.items()}
        return {name: rate for name, rate in rates.items() if rate is not None}


def _gpu_share(one: Tracked, tree: Tree, readings: Sequence[Reading]) -> dict[str, float]:
    """How busy its devices are, on average, and what its own processes use of their memory."""
    own = [reading for reading in readings if reading.device.uuid in one.devices]
    busy = [percent for reading in own if (percent := reading.counters.get("utilisation_percent")) is not None]
    used = [mib for reading in own if (mib := reading.memory_of([one.supervisor_pid, *tree.pids])) is not None]
    share: dict[str, float] = {"gpu_utilisation_percent": sum(busy) / len(busy)} if busy else {}
    return share | ({"gpu_memory_mib": sum(used)} if used else {})
