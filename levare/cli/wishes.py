"""What a job may ask for and most do not, in words."""

from typing import TYPE_CHECKING

from levare.cli import words

if TYPE_CHECKING:
    from levare.client import Job

Facts = list[tuple[str, str | None]]
_MIN_RUNTIME_SECONDS = 300  # what every job has


def rare_needs(job: "Job") -> Facts:
    """Of its nodes; empty where it goes without saying."""
    return [
        ("GPU model", job["gpu_model"]),
        ("scratch", words.size(job["scratch_mib"]) if job["scratch_mib"] else None),
        ("resources", ", ".join(f"{amount} {name}" for name, amount in job["resources"].items())),
        ("requires", words.labels(job["require"])),
        ("prefers", words.labels(job["prefer"])),
        ("avoids", words.labels(job["avoid"])),
        ("placed", "on the emptiest node that serves" if job["spread"] else None),
    ]


def rare_terms(job: "Job") -> Facts:
    """Of its time and its end; empty where it goes without saying."""
    return [
        ("starts", f"only {job['only_between']} UTC" if job["only_between"] else None),
        ("deadline", words.clock(job["deadline"]) if job["deadline"] else None),
        ("retried", "; ".join(_retries(job))),
        ("preempted", _preemption(job)),
        ("warned", _warning(job)),
    ]


def _retries(job: "Job") -> list[str]:
    endings = [f"only after {', '.join(job['retry_on'])}"] if job["retry_on"] else []
    pauses = [f"first after {words.span(job['backoff_seconds'])}, then twice as long"] if job["backoff_seconds"] else []
    grown = f"with {words.number(job['memory_growth'])} times the memory after it ran out of it"
    return [*endings, *pauses, *([grown] if job["memory_growth"] > 1 else [])]


def _preemption(job: "Job") -> str | None:
    if not job["preemptible"]:
        return "never"
    seconds = job["min_runtime_seconds"]
    return None if seconds == _MIN_RUNTIME_SECONDS else f"not in its first {words.span(seconds)}"


def _warning(job: "Job") -> str | None:
    return f"by {job['warning_signal']}, {words.span(job['warning_seconds'])} before" if job["warning_signal"] else None
