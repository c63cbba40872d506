"""What a job or a node used over a time, as a table of a few lines."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from levare.cli import terminal, words

if TYPE_CHECKING:
    from levare.client import Attempt, Client

_LINES = 20
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
Item = Mapping[str, Any]


def of_attempt(client: "Client", job: str, attempt: "Attempt") -> Sequence[Item]:
    """Over its whole life until now."""
    begin, end = (words.moment(attempt[name]) for name in ("started_at", "ended_at"))
    if begin is None:
        return []
    until = (end or datetime.now(UTC)) + timedelta(seconds=1)
    found = client.samples(
        job,
        attempt=attempt["number"],
        rank=attempt["rank"],
        since=begin - timedelta(seconds=1),
        until=until,
        step=_step(until - begin),
    )
    return found["items"]


def of_node(client: "Client", node: str, last: timedelta) -> Sequence[Item]:
    return client.node_samples(node, since=datetime.now(UTC) - last, step=_step(last))


def attempt_table(items: Sequence[Item]) -> Any:
    """Of memory the highest, of the rest the mean."""
    heads = ("from", "cpu>", "memory>", "GPU>", "GPU memory>", "power>", "read/s>", "written/s>")
    rows = [
        (
            _clock(item),
            words.of_100(item.get("cpu_percent")),
            words.size(_highest(item, "memory_mib")),
            words.of_100(item.get("gpu_utilisation_percent")),
            words.size(_highest(item, "gpu_memory_mib")),
            _watts(item.get("gpu_power_watts")),
            words.size(item.get("read_mib_per_second")),
            words.size(item.get("write_mib_per_second")),
        )
        for item in items
    ]
    return terminal.table(heads, rows)


def node_table(items: Sequence[Item]) -> Any:
    """Of memory the highest, of the rest the mean; GPUs together."""
    heads = ("from", "cpu>", "load>", "memory>", "disk used>", "in/s>", "out/s>", "GPUs>", "power>")
    rows = [
        (
            _clock(item),
            words.of_100(item.get("cpu_percent")),
            words.NOTHING if item.get("load_1m") is None else f"{item['load_1m']:.1f}",
            words.size(_highest(item, "memory_used_mib")),
            words.of_100(item.get("disk_used_percent")),
            words.size(item.get("network_in_mib_per_second")),
            words.size(item.get("network_out_mib_per_second")),
            words.of_100(_mean(_of_gpus(item, "utilisation_percent"))),
            _watts(sum(_of_gpus(item, "power_watts")) if _of_gpus(item, "power_watts") else None),
        )
        for item in items
    ]
    return terminal.table(heads, rows)


def _step(span: timedelta) -> int:
    """The first that divides it into so many lines."""
    wanted = span.total_seconds() / _LINES
    return next((step for step in _STEPS if step >= wanted), math.ceil(wanted / 86400) * 86400)


def _clock(item: Item) -> str:
    return datetime.fromtimestamp(item["at"], UTC).astimezone().strftime("%m-%d %H:%M:%S")


def _highest(item: Item, name: str) -> float | None:
    return item.get(f"{name}_highest", item.get(name))


def _of_gpus(item: Item, name: str) -> list[float]:
    return [value for key, value in item.items() if key.startswith("gpu") and key.partition("_")[2] == name]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _watts(watts: float | None) -> str:
    return words.NOTHING if watts is None else f"{watts:.0f}W"
