"""Each attempt's own use of the machine: its process tree, and its part of its GPUs."""

from collections.abc import Sequence
from time import monotonic

from worker.probe.energy import Energy, part_of
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
            **({} if tree.open_files is None else {"open_files": tree.open_files}),
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
    """Of its devices how busy they are on average, how hot the hottest is, and its part of their power and memory."""
    own = [reading for reading in readings if reading.device.uuid in one.devices]
    used = [mib for reading in own if (mib := reading.memory_of([one.supervisor_pid, *tree.pids])) is not None]
    power = [watts * part_of(one, each) for each in own if (watts := each.counters.get("power_watts")) is not None]
    heat, held_down = _all("temperature_celsius", own), [_throttled(reading) for reading in own]
    return {
        **_mean("gpu_utilisation_percent", _all("utilisation_percent", own)),
        **_mean("gpu_memory_utilisation_percent", _all("memory_utilisation_percent", own)),
        **({"gpu_memory_mib": sum(used)} if used else {}),
        **({"gpu_power_watts": sum(power)} if power else {}),
        **({"gpu_temperature_celsius": max(heat)} if heat else {}),
        **_mean("gpu_throttled_percent", [percent for percent in held_down if percent is not None]),
    }


def _all(name: str, own: Sequence[Reading]) -> list[float]:
    return [number for reading in own if (number := reading.counters.get(name)) is not None]


def _mean(name: str, numbers: Sequence[float]) -> dict[str, float]:
    return {name: sum(numbers) / len(numbers)} if numbers else {}


def _throttled(reading: Reading) -> float | None:
    """Whether anything but idleness or a setting held its clocks down."""
    parts = [
        percent for why in _THROTTLES if (percent := reading.counters.get(f"throttled_by_{why}_percent")) is not None
    ]
    return max(parts, default=None)


_THROTTLES = ("power", "heat", "hardware")
