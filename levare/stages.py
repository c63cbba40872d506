"""
From the names that frameworks give their metrics to a stage and a metric, where a name says both without doubt.

`val_loss`, `eval/loss`, `validation-logloss` and `loss_X_val` are all of validation. Standard library only: workers
and training processes both read names so.
"""

import re
from collections.abc import Iterable

TRAIN, VAL, TEST = "train", "val", "test"
RESERVED = frozenset({"step", "stage", "epoch", "time", "progress", "params"})
"""What a line of a metrics file says besides its metrics."""
LONGEST_NAME = 128

_WORDS = {
    **dict.fromkeys(("train", "training", "dtrain"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev", "dval", "deval", "dvalid"), VAL),
    **dict.fromkeys(("test", "testing", "dtest"), TEST),
}
_FIRST = re.compile(rf"({'|'.join(_WORDS)})[_/.-]+(.+)")
_NUMBERED = re.compile(r"(validation_\d+|eval_\d+|valid_\d+)[_/-]+(.+)")
_LAST = re.compile(r"(.+)_(?:X_)(train|val|valid|test|dev)")


def split(name: str) -> tuple[str | None, str]:
    """
    The stage and the metric of a name; without a stage, the whole name is the metric.

    XGBoost's numbered sets (`validation_0-logloss`) are stages of their own: the first of them is often the train set.
    """
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        return numbered[1], numbered[2]
    last = _LAST.fullmatch(name)
    if last:
        return _kept(name, _WORDS[last[2]], last[1])
    first = _FIRST.fullmatch(name)
    return _kept(name, _WORDS[first[1]], first[2]) if first else (None, name)


def _kept(name: str, stage: str, metric: str) -> tuple[str | None, str]:
    """The whole name where the rest of it would say something else than a metric."""
    return (None, name) if metric in RESERVED or metric.isdecimal() else (stage, metric)


def split_together(names: Iterable[str]) -> dict[str, tuple[str | None, str]]:
    """
    As `split`, of names that were told at once: beside `val_loss`, as Keras tells it, a plain `loss` is of training.
    """
    found = {name: split(name) for name in names}
    validated = {metric for stage, metric in found.values() if stage == VAL}
    return {
        name: (TRAIN, metric) if stage is None and metric in validated else (stage, metric)
        for name, (stage, metric) in found.items()
    }


def allowed(metric: str) -> str:
    """A name that a line of a metrics file takes for a metric."""
    name = f"{metric}_" if metric in RESERVED else metric
    return name[:LONGEST_NAME] or "value"
