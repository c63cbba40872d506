"""
One line for a framework that calls back: `levare.callbacks.keras`, `.lightning`, `.transformers` and `.xgboost`.

Each module imports its framework, and is imported by whoever uses that; levare itself needs none of them. What they
tell goes through `levare.log`: a no-op outside a job, never an error inside one.
"""

from collections.abc import Mapping
from typing import Any

import levare
from levare import stages


def told(values: Mapping[str, Any], *, step: int | None = None, epoch: float | None = None, plain: str = "") -> None:
    """Log values by the stage that their names say; `plain` is the stage of those that say none."""
    by_stage: dict[str | None, dict[str, Any]] = {}
    for name, value in values.items():
        stage, metric = stages.split(str(name))
        by_stage.setdefault(stage or plain or None, {})[stages.allowed(metric)] = value
    for stage, metrics in by_stage.items():
        levare.log(metrics, step=step, stage=stage, epoch=epoch)
