"""What is made of what the probes read: rates, shares of GPUs, simulated GPUs."""

import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from levare import settings
from levare.model import Device, counters
from levare.written import LABEL
from worker import files
from worker.probe import address, simulated
from worker.probe.attempts import Attempts
from worker.probe.energy import Energy
from worker.probe.facts import facts, gpus, labels, scratch_mib
from worker.probe.machine import Machine
from worker.probe.nvidia import Nvidia
from worker.probe.processes import ProcessTable, Tree
from worker.probe.rates import Rates
from worker.probe.reading import Reading
from worker.probe.simulated import Simulated, utilisation_percent
from worker.probe.tracked import Tracked

OF_THE_WORKER = {"heart_milliseconds", "claims", "claims_refused", "samples_waiting"}
NODE = counters.NODE.keys() - OF_THE_WORKER


def a_gpu(uuid: str, *, processes: dict[int, int] | None = None, **counters: float) -> Reading:
    return Reading(Device(uuid, 0, 81920), counters, processes)


def a_tree(*pids: int, cpu_seconds: float = 0.0) -> Tree:
    return Tree(pids, len(pids), len(pids), 100.0, cpu_seconds, 0.0, 0.0)


def sampled(monkeypatch: pytest.MonkeyPatch, tree: Tree, one: Tracked, readings: Sequence[Reading]) -> dict[str, float]:
    monkeypatch.setattr(ProcessTable, "trees", lambda *_: {one.attempt_id: tree})
    return Attempts().sample([one], readings)[one.attempt_id]


def test_a_rate_is_the_change_per_second_and_the_first_value_has_none() -> None:
    rates = Rates()

    found = [rates.per_second("a", "cpu", value, at) for value, at in [(10, 0), (14, 2), (14, 3), (3, 4), (5, 5)]]

    assert found == [None, 2.0, 0.0, None, 2.0]


def test_rates_of_who_is_gone_are_forgotten() -> None:
    rates = Rates()
    rates.per_second("a", "cpu", 10, 0)
    rates.keep({"b"})

    assert rates.per_second("a", "cpu", 14, 2) is None


def test_an_attempt_is_charged_only_with_the_gpu_memory_of_its_own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [
        a_gpu("gpu-a", processes={11: 1000, 12: 200, 99: 40000}, utilisation_percent=90.0),
        a_gpu("gpu-b", processes={99: 500}, utilisation_percent=50.0),
        a_gpu("gpu-c", processes={11: 70000}, utilisation_percent=10.0),
    ]
    mine = Tracked("a-1", 10, None, {"gpu-a": 81920, "gpu-b": 81920})

    sample = sampled(monkeypatch, a_tree(11, 12), mine, readings)

    assert sample["gpu_memory_mib"] == 1200
    assert sample["gpu_utilisation_percent"] == 70.0


def test_what_a_gpu_does_not_say_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Tracked("a-1", 10, None, {"gpu-a": 81920})

    sample = sampled(monkeypatch, a_tree(11), mine, [a_gpu("gpu-a", power_watts=70.0)])

    assert not {"gpu_memory_mib", "gpu_utilisation_percent"} & sample.keys()


def test_an_attempt_without_gpus_has_no_gpu_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sampled(monkeypatch, a_tree(11), Tracked("a-1", 10), [a_gpu("gpu-a", processes={}, power_watts=7.0)])

    assert set(sample) == {"memory_mib", "processes", "threads"}


def test_an_attempt_is_told_its_part_of_the_power_and_the_heat_of_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [
        a_gpu("gpu-a", power_watts=400.0, temperature_celsius=60.0, throttled_by_heat_percent=100.0),
        a_gpu("gpu-b", power_watts=200.0, temperature_celsius=70.0, throttled_by_heat_percent=0.0),
        a_gpu("gpu-c", power_watts=700.0, temperature_celsius=90.0),
    ]
    mine = Tracked("a-1", 10, None, {"gpu-a": 81920, "gpu-b": 20480})

    sample = sampled(monkeypatch, a_tree(11), mine, readings)

    assert sample["gpu_power_watts"] == 450  # of the second it holds a quarter
    assert sample["gpu_temperature_celsius"] == 70
    assert sample["gpu_throttled_percent"] == 50


def test_an_attempt_consumes_what_the_counters_of_its_gpus_grow_by() -> None:
    energy, mine = Energy(), Tracked("a-1", 10, None, {"gpu-a": 81920, "gpu-b": 20480})

    def counted(first: float, second: float) -> float | None:
        others = a_gpu("gpu-c", energy_joules=first * 1000)
        return energy.of(mine, [a_gpu("gpu-a", energy_joules=first), a_gpu("gpu-b", energy_joules=second), others])

    assert energy.of(mine, [a_gpu("gpu-a", power_watts=60.0)]) is None
    assert counted(1000, 500) == 0
    assert counted(1100, 500) == 100
    assert counted(1100, 900) == 200  # of the second it holds a quarter
    assert counted(30, 900) == 230  # the driver of the first was loaded anew
    energy.keep(set())
    assert counted(5000, 5000) == 0


def test_a_simulated_gpu_consumes_its_power_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, clock = Simulated("n1", "1x80GiB"), iter([100.0, 110.0, 105.0])
    monkeypatch.setattr(simulated, "time", lambda: next(clock))

    counts = [gpus.readings([])[0].counters["energy_joules"] for _ in range(3)]

    assert counts == [0, 600, 600]


def test_simulated_gpus_are_as_many_and_as_large_as_said() -> None:
    devices = Simulated("n1", "2x80GiB").devices()

    assert devices == [
        Device("SIM-n1-0", 0, 81920, "Simulated GPU"),
        Device("SIM-n1-1", 1, 81920, "Simulated GPU"),
    ]


def test_a_simulated_gpu_that_nobody_holds_is_idle() -> None:
    [reading] = Simulated("n1", "1x80GiB").readings([])

    assert reading.counters["utilisation_percent"] == 0
    assert reading.counters["memory_used_mib"] == 0
    assert reading.counters["power_watts"] == 60


def test_a_simulated_gpu_is_busy_with_what_its_attempts_hold() -> None:
    held = [Tracked("a-1", 10, None, {"SIM-n1-0": 20000}), Tracked("b-1", 20, None, {"SIM-n1-0": 40000})]

    busy, idle = Simulated("n1", "2x80GiB").readings(held)

    assert busy.counters["memory_used_mib"] == 48000
    assert (busy.memory_of([10]), busy.memory_of([20])) == (16000, 32000)
    assert 70 <= busy.counters["utilisation_percent"] <= 98
    assert 400 < busy.counters["power_watts"] <= 700
    assert busy.counters["temperature_celsius"] > idle.counters["temperature_celsius"]


def test_the_wave_of_a_simulated_gpu_is_its_own_and_the_same_each_time() -> None:
    waves = {uuid: [utilisation_percent(uuid, at) for at in range(600)] for uuid in ("SIM-n1-0", "SIM-n1-1")}

    assert waves["SIM-n1-0"] == [utilisation_percent("SIM-n1-0", at + 0.7) for at in range(600)]
    assert waves["SIM-n1-0"] != waves["SIM-n1-1"]
    for wave in waves.values():
        assert min(wave) == pytest.approx(70, abs=1)
        assert max(wave) == pytest.approx(98, abs=1)


def test_an_attempt_on_a_simulated_gpu_uses_four_fifths_of_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Tracked("a-1", 10, None, {"SIM-n1-0": 40000})
    readings = Simulated("n1", "1x80GiB").readings([mine, Tracked("b-1", 20, None, {"SIM-n1-0": 40000})])

    assert sampled(monkeypatch, a_tree(11), mine, readings)["gpu_memory_mib"] == 32000


def test_a_node_says_all_that_is_promised(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "not" / "made" / "yet")

    sample = machine.sample(Simulated("n1", "2x80GiB").readings([]))
    machine.close()

    may_lack = {"disk_read_mib_per_second", "disk_write_mib_per_second"}  # a container may show no disks
    plain = {name for name in sample if ":" not in name and not re.fullmatch(r"cpu\d+_percent", name)}
    may_lack |= {"cpu_percent", "cpu_busiest_percent"}  # no tick may have passed between the two looks
    assert plain | may_lack == NODE | {f"gpu{index}_{name}" for index in (0, 1) for name in counters.GPU}
    assert 0 < sample["memory_used_mib"] < sample["memory_total_mib"]
    assert 0 <= sample["disk_used_percent"] <= 100


def test_what_a_machine_cannot_read_drops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, read = Machine(tmp_path), files.read
    while "cpu_percent" not in (whole := machine.sample([])):  # until a tick has passed
        assert whole
    for hidden in ("stat", "meminfo", "loadavg", "diskstats", "net/dev", "uptime"):

        def refusing(path: str, hidden: str = hidden) -> str:
            if path == f"/proc/{hidden}":
                raise PermissionError(path)
            return read(path)

        monkeypatch.setattr(files, "read", refusing)
        left = machine.sample([])
        assert 0 < len(whole.keys() - left.keys()) < len(whole) / 2, hidden
    machine.close()


def test_a_node_offers_what_is_set_or_else_what_it_has(tmp_path: Path) -> None:
    given = settings.load({"LEVARE_HOME": str(tmp_path), "LEVARE_SIMULATED_GPUS": "4x80GiB", "LEVARE_CPUS": "7"})
    offered = facts(given, gpus(given))

    assert (offered.cpus, len(offered.devices), offered.is_simulated) == (7, 4, True)
    assert offered.memory_mib > 100


def test_memory_that_is_set_is_what_the_node_offers(tmp_path: Path) -> None:
    given = settings.load({"LEVARE_HOME": str(tmp_path), "LEVARE_SIMULATED_GPUS": "1x1GiB", "LEVARE_MEMORY": "3GiB"})

    assert facts(given, gpus(given)).memory_mib == 3072


def test_scratch_that_is_not_set_is_what_is_free(tmp_path: Path) -> None:
    home = tmp_path / "not" / "made" / "yet"

    free = shutil.disk_usage(tmp_path).free >> 20

    assert abs(scratch_mib(settings.load({"LEVARE_HOME": str(home)})) - free) < 1024
    assert scratch_mib(settings.load({"LEVARE_HOME": str(home), "LEVARE_SCRATCH": "0"})) == 0


def test_a_node_adds_its_name_and_the_model_of_its_first_gpu_to_its_labels(tmp_path: Path) -> None:
    given = settings.load({"LEVARE_HOME": str(tmp_path), "LEVARE_LABELS": "zone=a", "LEVARE_NODE": "n1"})
    cards = [Device("u0", 0, 1, "NVIDIA H100 80GB (PCIe)"), Device("u1", 1, 1, "other")]

    assert labels(given, cards) == {"zone": "a", "node": "n1", "gpu": "nvidia-h100-80gb-pcie"}
    assert labels(given, []) == {"zone": "a", "node": "n1"}
    assert re.fullmatch(LABEL, labels(given, [Device("u0", 0, 1, "x " * 60)])["gpu"])


ELSEWHERE = "postgresql://levare@192.0.2.9:5432/levare"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, "127.0.0.1"),
        ({"LEVARE_ADDRESS": "10.0.0.7"}, "10.0.0.7"),
        ({"LEVARE_ADDRESS": "10.0.0.7", "LEVARE_DATABASE": ELSEWHERE}, "10.0.0.7"),
        ({"LEVARE_DATABASE": ELSEWHERE}, "from 192.0.2.9:5432"),
        ({"LEVARE_DATABASE": "postgresql://127.0.0.1:99/levare"}, "from 192.0.2.1:9"),
        ({"LEVARE_DATABASE": "postgresql:///levare?host=/run"}, "from 192.0.2.1:9"),
    ],
)
def test_a_node_is_reached_where_it_reaches_its_database(
    environ: dict[str, str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def towards(host: str, port: int) -> str | None:
        return None if host == "127.0.0.1" else f"from {host}:{port}"

    monkeypatch.setattr(address, "own_address_towards", towards)

    assert address.address(settings.load({"LEVARE_HOME": str(tmp_path)} | environ)) == found


def test_a_loopback_address_is_none_that_others_reach() -> None:
    assert address.own_address_towards("127.0.0.1", 9) is None
    assert address.own_address_towards("no-such-host.invalid", 9) is None


def test_without_any_route_the_host_name_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "own_address_towards", lambda host, port: None)  # noqa: ARG005
    given = settings.load({"LEVARE_HOME": str(tmp_path), "LEVARE_DATABASE": ELSEWHERE})

    assert address.address(given) == socket.gethostname()


def test_without_simulated_gpus_the_real_ones_are_asked(tmp_path: Path) -> None:
    assert isinstance(gpus(settings.load({"LEVARE_HOME": str(tmp_path)})), Nvidia)
