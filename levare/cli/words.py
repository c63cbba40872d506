"""Numbers as people read them, short enough for a column."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the answers come with httpx, which takes longer to import than --help may take
    from levare.client.answers import Attempt, Job, Need
    from levare.client.metrics import Trend

NOTHING = "-"
_SHORT_SECONDS, _STEP, _LARGE, _CENT, _THOUSAND = 10, 1024, 1e9, 0.01, 1000


def plain(text: str) -> str:
    """The text without control characters, so that a name or a reason cannot steer the reader's terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def clock(text: str | None) -> str:
    """A time of the API in this machine's zone."""
    at = moment(text)
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else NOTHING


def span(duration: timedelta | float) -> str:
    """`0.4s`, `42s`, `3m12s`, `2h05m`, `4d03h`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < _SHORT_SECONDS:
        return f"{max(seconds, 0):.1f}s".replace(".0s", "s")
    whole = int(seconds)
    for unit, below, size, smaller in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02}{below}"
    return f"{whole}s"


def since(text: str, now: datetime | None = None) -> str:
    return span((now or datetime.now(UTC)) - datetime.fromisoformat(text))


def between(start: str | None, end: str | None, now: datetime | None = None) -> str:
    """How long something took, or has taken until now."""
    begun = moment(start)
    return span((moment(end) or now or datetime.now(UTC)) - begun) if begun else NOTHING


def size(mib: float | None) -> str:
    """`512MiB`, `20GiB`, `1.5TiB`: as the options take it."""
    if mib is None:
        return NOTHING
    value, units = float(mib), ["MiB", "GiB", "TiB"]
    while value >= _STEP and len(units) > 1:
        value, units = value / _STEP, units[1:]
    return f"{value:.1f}".removesuffix(".0") + units[0]


def number(value: float | str | None) -> str:
    """Four significant digits; what is no finite number as it is called."""
    if value is None:
        return NOTHING
    if isinstance(value, str) or not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < _LARGE else f"{value:.4g}"


def money(amount: float, currency: str = "") -> str:
    """`12.50 EUR`; of less than a hundredth as many digits as tell something."""
    text = f"{amount:,.2f}" if amount >= _CENT or not amount else f"{amount:.2g}"
    return f"{text} {currency}".rstrip()


def energy(joules: float) -> str:
    """`350 Wh`, `1.25 kWh`."""
    hours = joules / 3600
    return f"{hours:,.3g} Wh" if hours < _THOUSAND else f"{hours / _THOUSAND:,.2f} kWh"


def percent(part: float | None) -> str:
    """A part of 1; never 100% before it is whole."""
    return NOTHING if part is None else f"{math.floor(part * 100 + 1e-9)}%"


def done(job: "Job") -> str:
    """`40%` as the training tells it, or `37/200` elements of an array."""
    array = job["array"]
    if array is None:
        return percent(job["progress"])
    return f"{array['succeeded'] + array['failed'] + array['cancelled']}/{array['size']}"


def elements(job: "Job") -> str | None:
    """`200, at most 8 at a time: 155 waiting, 8 running, 36 succeeded, 1 failed`; None for what is no array."""
    array = job["array"]
    if array is None:
        return None
    cap = f", at most {array['cap']} at a time" if array["cap"] else ""
    counts = {name: array[name] for name in ("waiting", "running", "succeeded", "failed", "cancelled")}
    return f"{array['size']}{cap}: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def given(job: "Job") -> str:
    """`lr=0.1 seed=1`: what tells an element from the others."""
    return " ".join(f"{name}={value}" for name, value in job["parameters"].items())


def of_100(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}%"


def resources(job: "Job") -> str:
    """`2 GPUs, 8 CPUs, 64GiB` or `4 nodes of 8 GPUs`: what a job asks for, without what every job has."""
    parts = [_gpus(job["gpus"], job["gpu_memory_mib"])] if job["gpus"] else []
    parts += [counted(job["cpus"], "CPU")] if job["cpus"] > 1 or not parts else []
    each = ", ".join(parts + ([size(job["memory_mib"])] if job["memory_mib"] else []))
    return each if job["nodes"] == 1 else f"{job['nodes']} nodes of {each}"


def labels(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def needs(job: "Job") -> str:
    """`a, b:failure`: as --needs takes them."""
    return ", ".join(needs_of(job["needs"]))


def needs_of(needed: "Sequence[str | Need]") -> list[str]:
    return [need if isinstance(need, str) else f"{need['job']}:{need['on']}" for need in needed]


def _gpus(count: int, memory_mib: int | None) -> str:
    if memory_mib is None:
        return counted(count, "GPU")
    return f"{size(memory_mib)} of {'a GPU' if count == 1 else f'each of {count} GPUs'}"


def counted(number: int, noun: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def lasted(job: "Job") -> str:
    """How long a job has run; of one that waits, how long it has been there."""
    waits = job["state"] in ("blocked", "waiting")
    return between(job["created_at"] if waits else job["started_at"] or job["created_at"], job["finished_at"])


_BASIS = {"history": ", by earlier runs", "steps": ", by its steps", "epochs": ", by its epochs"}


def time_left(job: "Job") -> str | None:
    """`about 14m left, by its steps`: how long it still runs, and what that is taken from if not from its progress."""
    if job.get("left_seconds") is None:
        return None
    return f"about {span(round(job['left_seconds']))} left{_BASIS.get(job['left_from'] or '', '')}"


def left(job: "Job") -> str:
    """As `time_left`, in a column: `14m02s`, with `~` where it is learned from earlier runs."""
    if job.get("left_seconds") is None:
        return NOTHING
    return ("~" if job["left_from"] == "history" else "") + span(round(job["left_seconds"]))


def held(attempt: "Attempt") -> str:
    """The GPUs of an attempt by their numbers on the node, and how they were used: `0 1 (A100) 87% 18GiB`."""
    if not attempt["gpus"]:
        return NOTHING
    numbers = " ".join("?" if gpu["index"] is None else str(gpu["index"]) for gpu in attempt["gpus"])
    models = sorted({gpu["model"] for gpu in attempt["gpus"] if gpu["model"]})
    used = [f"({', '.join(models)})"] if models else []
    used += [of_100(attempt["gpu_utilisation_percent"])] if attempt["gpu_utilisation_percent"] is not None else []
    used += [size(attempt["gpu_memory_mib"])] if attempt["gpu_memory_mib"] is not None else []
    return " ".join([numbers, *used])


def stage_line(values: Mapping[str, "Trend"]) -> str:
    return "  ".join(f"{name} {number(trend['last'])}" for name, trend in values.items())


def usage(sample: Mapping[str, Any]) -> str:
    """What an attempt uses now, from its last sample."""
    parts = [
        ("GPU {}%", number_of(sample, "gpu_utilisation_percent")),
        ("GPU memory {}", size(sample["gpu_memory_mib"]) if sample.get("gpu_memory_mib") else None),
        ("CPU {}%", number_of(sample, "cpu_percent")),
        ("memory {}", size(sample.get("memory_mib")) if sample.get("memory_mib") else None),
    ]
    return "  ".join(text.format(value) for text, value in parts if value)


def number_of(sample: Mapping[str, Any], name: str) -> str | None:
    return None if sample.get(name) is None else f"{sample[name]:.0f}"


def listed(items: Sequence[str]) -> str:
    return ", ".join(items) or NOTHING
