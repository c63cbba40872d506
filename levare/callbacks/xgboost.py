"""`xgboost.train(..., callbacks=[LevareCallback()])` tells levare each round, of every set that is watched."""

from typing import Any

import xgboost

import levare
from levare import stages


class LevareCallback(xgboost.callback.TrainingCallback):
    """With `rounds`, how many there will be, levare knows how far the training is."""

    def __init__(self, rounds: int | None = None) -> None:
        self._rounds = rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - names are XGBoost's
        for watched, metrics in evals_log.items():
            stage, _ = stages.split(f"{watched}-metric")
            levare.log(
                {name: _last(values) for name, values in metrics.items()}, step=epoch + 1, stage=stage or watched
            )
        if self._rounds:
            levare.progress(epoch + 1, self._rounds)
        return False


def _last(values: Any) -> float:
    """Of a cross-validation each value is a mean and its deviation."""
    return values[-1][0] if isinstance(values[-1], tuple) else values[-1]
