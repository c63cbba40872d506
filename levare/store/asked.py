"""From a row of `jobs` to what it asks for."""

from collections.abc import Mapping
from typing import Any, TypeVar

from levare.model import Request

Value = TypeVar("Value")


def request_of(row: Any) -> Request:
    """What a row of `jobs` asks for."""
    return Request(
        row.gpus,
        row.gpu_memory_mib,
        row.cpus,
        row.memory_mib,
        row.scratch_mib,
        row.gpu_model,
        _pairs(row.resources),
        _pairs(row.require),
        _pairs(row.prefer),
        _pairs(row.avoid),
        row.nodes,
        row.spread,
    )


def _pairs(values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(values.items()))
