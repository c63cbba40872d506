"""The report as a picture. Matplotlib comes with the extra `levare[report]` and takes its time to import."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from levare.errors import LevareError, Unavailable

_MOST = 12
_GIB = 1024
_ASKED, _USED = "#b8c4d6", "#2f6db5"


def draw(found: Mapping[str, Any], output: Path) -> None:
    """Write it as SVG or PNG, by the name of the file; Unavailable without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise _missing() from None
    figure = Figure(figsize=(11, 8), layout="constrained")
    memory, idle, failures = figure.subplot_mosaic("AA;BC").values()
    families = found["families"][:_MOST]
    names = [each["name"].rpartition("/")[2] or each["name"] for each in families]
    _bars(memory, names, [each["asked"]["memory_mib"] / _GIB for each in families], _ASKED, "asked")
    _bars(memory, names, [(each["used"]["memory_mib"] or 0) / _GIB for each in families], _USED, "p99 used", thin=True)
    memory.set_title("Memory, GiB")
    memory.legend()
    _bars(idle, names, [each["gpu_hours"] for each in families], _ASKED, "held")
    _bars(idle, names, [each["gpu_hours"] - each["idle_hours"] for each in families], _USED, "busy", thin=True)
    idle.set_title("GPU-hours")
    idle.legend()
    counts = found["totals"]["failures"]
    _bars(failures, list(counts), list(counts.values()), _USED, "times")
    failures.set_title("Failures by class")
    figure.suptitle(f"levare, {found['since'][:10]} to {found['until'][:10]}")
    figure.savefig(output)


def _missing() -> LevareError:
    return Unavailable("Pictures need Matplotlib, which is not installed.", "pip install 'levare[report]'")


def _bars(
    axes: Any, names: Sequence[str], values: Sequence[float], colour: str, label: str, *, thin: bool = False
) -> None:
    """Bars from top to bottom; thin ones lie on others."""
    places = range(len(names))
    axes.barh(places, values, height=0.4 if thin else 0.8, color=colour, label=label)
    axes.set_yticks(places, labels=names)
    if not thin:
        axes.invert_yaxis()
