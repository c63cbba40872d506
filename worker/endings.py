"""From what the supervisor wrote to how an attempt ended, in a word and a sentence."""

import signal
from datetime import UTC, datetime

from levare.model import CANCELLED, FAILED, LOST, OUT_OF_MEMORY, SUCCEEDED, TIMED_OUT
from levare.store.attempts import Outcome
from worker.rundir import Ending, Spec

_STATES = {
    "timed_out": TIMED_OUT,
    "cancelled": CANCELLED,
    "fenced": LOST,
    "out_of_memory": OUT_OF_MEMORY,
    "not_started": FAILED,
}


def outcome_of(ending: Ending | None, spec: Spec, *, now: datetime) -> Outcome:
    """An attempt without an ending has lost its supervisor, or its machine."""
    if ending is None:
        return Outcome(LOST, "Its supervisor is gone and left no ending.", ended_at=now)
    return Outcome(
        state=_state(ending, spec),
        reason=_sentence(ending, spec),
        exit_code=ending.exit_code,
        signal=ending.signal,
        started_at=datetime.fromtimestamp(ending.started_at, UTC),
        ended_at=datetime.fromtimestamp(ending.ended_at, UTC),
        peak_memory_mib=round(ending.peak_memory_mib),
        cpu_seconds=ending.cpu_seconds,
    )


def _state(ending: Ending, spec: Spec) -> str:
    if ending.cause != "exited":
        return _STATES[ending.cause]
    if ending.exit_code == 0:
        return SUCCEEDED
    return TIMED_OUT if _left_at_warning(ending, spec) else FAILED


def _left_at_warning(ending: Ending, spec: Spec) -> bool:
    """Whether it ended by itself after it had been warned of its limit: it has saved its work and left in time."""
    if spec.timeout_seconds is None or not spec.warning_signal or ending.cause != "exited" or not ending.exit_code:
        return False
    return ending.ended_at - ending.started_at >= spec.timeout_seconds - spec.warning_seconds


def _sentence(ending: Ending, spec: Spec) -> str:
    sentences = {
        "timed_out": f"Ran longer than its limit of {spec.timeout_seconds} s.",
        "cancelled": "Cancelled while it ran.",
        "fenced": f"Its node could not renew its lease for {spec.lease_seconds} s and ended it.",
        "out_of_memory": ending.error or f"Used more than the {spec.memory_max_mib} MiB of memory it asked for.",
        "not_started": f"Could not start: {ending.error}",
    }
    if _left_at_warning(ending, spec):
        return f"Warned of its limit of {spec.timeout_seconds} s, it left with code {ending.exit_code}."
    return sentences.get(ending.cause) or _plain(ending)


def _plain(ending: Ending) -> str:
    if ending.signal:
        return f"Killed by signal {ending.signal} ({_signal_name(ending.signal)})."
    return f"Exited with code {ending.exit_code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
