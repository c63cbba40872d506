"""What a worker knows of an attempt that has failed: its last words, its last numbers, and what the kernel says."""

import json
import math
import re
from pathlib import Path

from levare.store.attempts import Outcome
from levare.store.failures import Diagnosis, Facts, diagnose
from worker import kernel
from worker.rundir import Ending, RunDir

_LOG_BYTES = 64 * 1024
_METRICS_BYTES = 16 * 1024
_TELLING = re.compile(r"loss|grad|nll|ppl|perplexity|objective", re.IGNORECASE)
_KERNEL_SECONDS = 120
_KILLED = 128
"""Exit codes above it say that a signal ended a process."""


def examine(run: RunDir, ending: Ending | None, outcome: Outcome, *, has_gpus: bool) -> Diagnosis:
    """The class of its failure; bounded in cost, whatever it wrote."""
    offset, log = _last_words(run)
    is_killed = bool(outcome.signal) or (outcome.exit_code or 0) > _KILLED
    return diagnose(
        Facts(
            outcome.state,
            outcome.reason,
            outcome.exit_code,
            outcome.signal,
            started=ending is None or ending.cause != "not_started",
            error=(ending and ending.error) or "",
            log=log,
            offset=offset,
            kernel=kernel.lines_since(_lately(ending)) if ending and (is_killed or has_gpus) else (),
            metrics=_last_numbers(run.metrics),
        )
    )


def _lately(ending: Ending) -> float:
    """What the kernel said long before its end was about something else."""
    return max(ending.started_at, ending.ended_at - _KERNEL_SECONDS)


def _last_words(run: RunDir) -> tuple[int, bytes]:
    """The end of the log as far as there is no cut in it, and where that begins."""
    size = run.log_size()
    begin, data = max(0, size - _LOG_BYTES), b""
    place = begin
    while place < size:
        piece = run.read_log(place, size - place)
        if not piece.data:
            break
        if piece.offset > place:
            begin, data = piece.offset, b""
        data += piece.data
        place = piece.offset + len(piece.data)
    return begin, data


def _last_numbers(path: Path) -> dict[str, float | str]:
    """The last value of each metric that tells of divergence; what is no finite number by its name."""
    found: dict[str, float | str] = {}
    for line in _end_of(path).split(b"\n")[-100:]:
        try:
            point = json.loads(line)
        except ValueError:
            continue
        if isinstance(point, dict):
            found |= {name: _told(value) for name, value in point.items() if _is_telling(name, value)}
    return found


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _METRICS_BYTES))
            return file.read(_METRICS_BYTES)
    except OSError:
        return b""


def _is_telling(name: str, value: object) -> bool:
    return isinstance(value, float | int | str) and bool(_TELLING.search(name))


def _told(value: float | str) -> float | str:
    return value if isinstance(value, str) or math.isfinite(value) else str(value)
