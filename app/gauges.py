"""From what is known of the fleet to families of metrics, as Prometheus and OpenMetrics have them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from levare.model import counters
from levare.model.counters import Parts
from levare.store.telemetry import Telemetry

Sample = Mapping[str, float]
Labels = tuple[str, ...]

_QUANTILES = (0.5, 0.9, 0.99)
_MIB = 2**20
_GPU_LABELS: Labels = ("gpu", "UUID", "device", "modelName", "Hostname", "job", "attempt", "team")

DCGM: Mapping[str, tuple[str, float]] = {
    "utilisation_percent": ("DCGM_FI_DEV_GPU_UTIL", 1),
    "memory_utilisation_percent": ("DCGM_FI_DEV_MEM_COPY_UTIL", 1),
    "memory_used_mib": ("DCGM_FI_DEV_FB_USED", 1),
    "memory_total_mib": ("DCGM_FI_DEV_FB_TOTAL", 1),
    "memory_free_mib": ("DCGM_FI_DEV_FB_FREE", 1),
    "power_watts": ("DCGM_FI_DEV_POWER_USAGE", 1),
    "power_limit_watts": ("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", 1),
    "energy_joules": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 1000),
    "temperature_celsius": ("DCGM_FI_DEV_GPU_TEMP", 1),
    "memory_temperature_celsius": ("DCGM_FI_DEV_MEMORY_TEMP", 1),
    "sm_clock_mhz": ("DCGM_FI_DEV_SM_CLOCK", 1),
    "memory_clock_mhz": ("DCGM_FI_DEV_MEM_CLOCK", 1),
    "fan_percent": ("DCGM_FI_DEV_FAN_SPEED", 1),
    "performance_state": ("DCGM_FI_DEV_PSTATE", 1),
    "throttle_reasons": ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", 1),
    "ecc_corrected": ("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", 1),
    "ecc_uncorrected": ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 1),
    "pcie_sent_mib_per_second": ("DCGM_FI_PROF_PCIE_TX_BYTES", _MIB),
    "pcie_received_mib_per_second": ("DCGM_FI_PROF_PCIE_RX_BYTES", _MIB),
    "pcie_generation": ("DCGM_FI_DEV_PCIE_LINK_GEN", 1),
    "pcie_width": ("DCGM_FI_DEV_PCIE_LINK_WIDTH", 1),
    "encoder_percent": ("DCGM_FI_DEV_ENC_UTIL", 1),
    "decoder_percent": ("DCGM_FI_DEV_DEC_UTIL", 1),
    "xid": ("DCGM_FI_DEV_XID_ERRORS", 1),
}
"""Counter of a GPU -> what DCGM calls it, and how many of DCGM's units one of ours is."""
_GPU_TEXTS = {**counters.GPU, "memory_free_mib": "Its memory that nobody uses."}
_COUNTERS = frozenset(["claims", "claims_refused", "xid_errors"])


class Families:
    """Families by name, each made at its first value."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def add(self, name: str, help: str, value: float, labels: Mapping[str, str], *, counts: bool = False) -> None:  # noqa: A002 - as Prometheus calls it
        if name not in self._found:
            kind: Callable[..., Any] = CounterMetricFamily if counts else GaugeMetricFamily
            self._found[name] = kind(name, help, labels=list(labels))
        self._found[name].add_metric(list(labels.values()), value)

    def put(self, family: Metric) -> None:
        self._found[family.name] = family

    def collect(self) -> Iterator[Metric]:
        yield from self._found.values()


def families(facts: Telemetry, heartbeats: Mapping[str, Sample], beat: Sample, *, now: datetime) -> Families:
    """All there is to tell at one moment."""
    found = Families()
    _of_jobs(found, facts)
    _of_alerts(found, facts)
    _of_leases(found, facts, now)
    _of_nodes(found, facts, heartbeats, now)
    _of_pools(found, facts)
    _of_gpus(found, facts, heartbeats)
    _of_beat(found, beat)
    return found


def _of_jobs(found: Families, facts: Telemetry) -> None:
    for (state, team), count in facts.jobs.items():
        found.add("levare_jobs", "Jobs by state; of open ones also by team.", count, {"state": state, "team": team})
    for quantile in _QUANTILES if facts.waits else ():
        found.add(
            "levare_queue_wait_seconds",
            "From submit to start, of the jobs that started in the last hour.",
            facts.waits[min(len(facts.waits) - 1, int(quantile * len(facts.waits)))],
            {"quantile": str(quantile)},
        )
    found.add("levare_starts_last_hour", "Starts that a queue wait is told of.", len(facts.waits), {})
    for outcome in ("run", "skipped"):
        text = "Due instants of schedules in the last 24 hours; what was missed is skipped, with its reason in SQL."
        found.add("levare_fires_last_day", text, facts.fires.get(outcome, 0), {"outcome": outcome})


def _of_alerts(found: Families, facts: Telemetry) -> None:
    for severity, count in facts.alerts.items():
        found.add("levare_alerts_open", "Alerts that are open.", count, {"severity": severity})
    found.add("levare_deliveries_pending", "What channels have still to be told.", facts.undelivered, {})


def _of_leases(found: Families, facts: Telemetry, now: datetime) -> None:
    for lease in facts.leases:
        role, age = {"role": lease.role}, (now - lease.renewed_at).total_seconds()
        found.add("levare_leader_epoch", "Grows with each new leader.", lease.epoch, role)
        found.add("levare_leader_lease_age_seconds", "Since the leader last renewed its lease.", age, role)
        found.add("levare_leader", "Whether anybody leads.", lease.owner is not None, role)


def _of_pools(found: Families, facts: Telemetry) -> None:
    for pool, wanted in facts.pools.items():
        found.add("levare_pool_wanted", "Workers that a pool is to have, as beat decided.", wanted, {"pool": pool})
    for (pool, state), count in facts.pool_workers.items():
        text = "Workers that a pool has: wanted, draining, or stopping."
        found.add("levare_pool_workers", text, count, {"pool": pool, "state": state})


def _of_nodes(found: Families, facts: Telemetry, heartbeats: Mapping[str, Sample], now: datetime) -> None:
    for node in facts.nodes:
        name, sample = {"node": node.name}, heartbeats.get(node.name, {})
        found.add("levare_node_state", "1 for the state that a node is in.", 1, {**name, "state": node.state})
        age = (now - node.renewed_at).total_seconds()
        found.add("levare_node_lease_age_seconds", "Since a node last renewed its lease in SQL.", age, name)
        if "at" in sample:
            beat_age = max(0.0, now.timestamp() - sample["at"])
            found.add("levare_heartbeat_age_seconds", "Since the last sample of a node in Redis.", beat_age, name)
        for counter, value in sample.items():
            _of_machine(found, name, counters.parts(counter), value)


def _of_machine(found: Families, node: Mapping[str, str], parts: Parts, value: float) -> None:
    counter = parts.counter
    if parts.gpu is not None:
        return
    if parts.core is not None:
        found.add("levare_node_core_percent", "How busy a CPU is.", value, {**node, "core": str(parts.core)})
    elif parts.mount is not None and counter in counters.MOUNT:
        found.add(f"levare_node_{counter}", counters.MOUNT[counter], value, {**node, "mount": parts.mount})
    elif counter in _COUNTERS:
        found.add(f"levare_{counter}", counters.NODE[counter], value, node, counts=True)
    elif counter in counters.NODE:
        found.add(f"levare_node_{counter}", counters.NODE[counter], value, node)


def _of_gpus(found: Families, facts: Telemetry, heartbeats: Mapping[str, Sample]) -> None:
    told = {node: _by_gpu(sample) for node, sample in heartbeats.items()}
    for device in facts.devices:
        holders = facts.holders.get(device.uuid, ())
        values = (
            *(str(device.index), device.uuid, f"nvidia{device.index}", device.model, device.node),
            *(_listed([getattr(each, part) for each in holders]) for part in ("job", "attempt", "team")),
        )
        labels = dict(zip(_GPU_LABELS, values, strict=True))
        found.add("levare_gpu_held", "Attempts that hold some of a GPU.", len(holders), labels)
        for counter, value in told.get(device.node, {}).get(device.index, {}).items():
            _of_gpu(found, labels, counter, value)


def _of_gpu(found: Families, labels: Mapping[str, str], counter: str, value: float) -> None:
    if counter in DCGM:
        name, units = DCGM[counter]
        found.add(name, _GPU_TEXTS[counter], value * units, labels)
    elif counter in _GPU_TEXTS:
        found.add(f"levare_gpu_{counter}", _GPU_TEXTS[counter], value, labels, counts=counter in _COUNTERS)


def _by_gpu(sample: Sample) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for name, value in sample.items():
        parts = counters.parts(name)
        if parts.gpu is not None:
            found.setdefault(parts.gpu, {})[parts.counter] = value
    for each in found.values():
        if {"memory_used_mib", "memory_total_mib"} <= each.keys():
            each["memory_free_mib"] = each["memory_total_mib"] - each["memory_used_mib"]
    return found


def _of_beat(found: Families, beat: Sample) -> None:
    """Since the beat that leads was started; nothing while none leads."""
    if "ticks" not in beat:
        return
    buckets = sorted(
        (float(name.removeprefix("tick_le_")), count) for name, count in beat.items() if name.startswith("tick_le_")
    )
    ticks = HistogramMetricFamily("levare_tick_seconds", "Time of the decisions of beat.")
    ticks.add_metric(
        [], [*((f"{bound:g}", count) for bound, count in buckets), ("+Inf", beat["ticks"])], beat["tick_seconds"]
    )
    found.put(ticks)
    for name, text in _BEAT.items():
        found.add(f"levare_{name}", text, beat.get(name, 0), {}, counts=True)


def _listed(values: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(values))


_BEAT = {
    "attempts_sent": "Messages that beat has given to the broker to send, repeated ones included.",
    "tick_failures": "Decisions of beat that ended with an error.",
}
