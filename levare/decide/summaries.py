"""What a metric comes to: count, mean, extremes, last value, kept exact point by point; and which way is better."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Literal

Direction = Literal["min", "max"]
Value = float | str
"""A number; one that is not finite by its name: NaN, Infinity or -Infinity."""
Key = tuple[str, str]
"""Stage and metric; what was told without a stage has the stage ""."""

MOST_NAMES = 1000
"""Of one attempt so many stages and metrics are summed up, the first that came."""

_LESS = re.compile(
    "loss|error|err|mse|rmse|mae|mape|smape|logloss|perplexity|ppl|nll|wer|cer|ter|cost|deviance|fid|kl|eer|brier|bpc|bpb"
    "|entropy|crossentropy|divergence|regret|distance|latency|.*loss|.*error"
)
_MORE = re.compile(
    "accuracy|acc|auc|auroc|auprc|aucpr|f|fscore|precision|recall|ap|map|iou|miou|dice|bleu|rouge|meteor|r|score|reward"
    "|psnr|ssim|ndcg|mrr|kappa|mcc|sensitivity|specificity|correct|hits|wins|em|likelihood|elo|.*accuracy|.*score"
)


@dataclass(frozen=True)
class Summary:
    """One metric in one stage. Only finite values have a mean and extremes; a step is where it came first."""

    count: int = 0
    finite: int = 0
    mean: float = 0.0
    least: float | None = None
    least_step: int | None = None
    greatest: float | None = None
    greatest_step: int | None = None
    last: Value = "NaN"
    last_step: int | None = None
    last_at: datetime | None = None


Told = tuple[str | None, int | None, datetime, Mapping[str, Value]]
"""The stage, step, time and values of a line."""


def summed(known: Mapping[Key, Summary], told: Iterable[Told]) -> dict[Key, Summary]:
    """The summaries that these lines change; names beyond the most are left out."""
    changed: dict[Key, Summary] = {}
    room = MOST_NAMES - len(known)
    for stage, step, at, values in told:
        for name, value in values.items():
            key = (stage or "", name)
            before = changed.get(key) or known.get(key)
            if before is None:
                if room <= 0:
                    continue
                room, before = room - 1, Summary()
            changed[key] = _with(before, value, step, at)
    return changed


def _with(before: Summary, value: Value, step: int | None, at: datetime) -> Summary:
    told = replace(before, count=before.count + 1)
    if before.last_at is None or at >= before.last_at:
        told = replace(told, last=value, last_step=step, last_at=at)
    if isinstance(value, str) or not isfinite(value):
        return told
    finite = before.finite + 1
    told = replace(told, finite=finite, mean=before.mean + (value / finite - before.mean / finite))
    if before.least is None or value < before.least:
        told = replace(told, least=value, least_step=step)
    if before.greatest is None or value > before.greatest:
        told = replace(told, greatest=value, greatest_step=step)
    return told


def together(summaries: Sequence[Summary]) -> Summary | None:
    """One summary of several stages; None of none."""
    found: Summary | None = None
    for each in summaries:
        found = each if found is None else _both(found, each)
    return found


def _both(one: Summary, other: Summary) -> Summary:
    newer = max(one, other, key=lambda each: (each.last_at is not None, each.last_at))
    least = min((each for each in (one, other) if each.least is not None), key=_least, default=one)
    greatest = max((each for each in (one, other) if each.greatest is not None), key=_greatest, default=one)
    finite = one.finite + other.finite
    part = other.finite / finite if finite else 0.0
    return replace(
        newer,
        count=one.count + other.count,
        finite=finite,
        mean=one.mean * (1 - part) + other.mean * part,
        least=least.least,
        least_step=least.least_step,
        greatest=greatest.greatest,
        greatest_step=greatest.greatest_step,
    )


def _least(summary: Summary) -> float:
    return summary.least or 0.0


def _greatest(summary: Summary) -> float:
    return summary.greatest or 0.0


def direction(name: str, said: Mapping[str, Direction] | None = None) -> Direction | None:
    """
    Whether less or more of a metric is better: as it was said, else by the words of its name; None for neither.

    What begins with `neg` is turned round, as scikit-learn's `neg_log_loss` is.
    """
    if said and name in said:
        return said[name]
    words = [word.rstrip("0123456789") for word in _words(name)]
    found: Direction | None = None
    if any(_LESS.fullmatch(word) for word in words):
        found = "min"
    elif any(_MORE.fullmatch(word) for word in words):
        found = "max"
    return _TURNED[found] if found and "neg" in words else found


_TURNED: Mapping[Direction, Direction] = {"min": "max", "max": "min"}


def _words(name: str) -> list[str]:
    """`valTop1Acc@5` are val, top1, acc and 5."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*(?![a-z])|\d+", name)]


def best(summary: Summary, way: Direction | None) -> tuple[float | None, int | None]:
    """The best value and the step where it came first; None where nobody can tell."""
    if way is None:
        return None, None
    return (summary.least, summary.least_step) if way == "min" else (summary.greatest, summary.greatest_step)
