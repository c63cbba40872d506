"""What the samples of an attempt say of what it does: nothing, the same all the time, or something."""

from collections.abc import Sequence

from levare.decide.alerts.facts import Activity, Sample

FEWEST = 2
"""Fewer samples than these say nothing."""
_IDLE_CPU, _IDLE_GPU, _IDLE_DISK = 5.0, 5.0, 0.1
"""Percent of one CPU, percent of a GPU, MiB per second."""
_SAME_GPU, _SAME_MIB, _SAME_PART = 5.0, 8.0, 0.01
_DISK = ("read_mib_per_second", "write_mib_per_second")


def activity(samples: Sequence[Sample], *, are_gpus_real: bool) -> Activity | None:
    """None where there are too few samples; what simulated GPUs do says nothing of the processes."""
    if len(samples) < FEWEST:
        return None
    cpus, gpus = _of(samples, "cpu_percent"), _of(samples, "gpu_utilisation_percent") if are_gpus_real else []
    disk = max((value for name in _DISK for value in _of(samples, name)), default=0.0)
    is_off_disk = disk <= _IDLE_DISK
    is_idle = is_off_disk and max(cpus, default=0.0) <= _IDLE_CPU and max(gpus, default=0.0) <= _IDLE_GPU
    is_steady = is_off_disk and _varies(gpus) <= _SAME_GPU and _is_same_memory(samples) and _is_same_tree(samples)
    return Activity(is_idle, is_steady, _words(cpus, gpus))


def _of(samples: Sequence[Sample], name: str) -> list[float]:
    return [sample[name] for sample in samples if name in sample]


def _varies(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


def _is_same_memory(samples: Sequence[Sample]) -> bool:
    memory = _of(samples, "memory_mib")
    return _varies(memory) <= max(_SAME_MIB, _SAME_PART * max(memory, default=0.0))


def _is_same_tree(samples: Sequence[Sample]) -> bool:
    return not _varies(_of(samples, "processes")) and not _varies(_of(samples, "threads"))


def _words(cpus: Sequence[float], gpus: Sequence[float]) -> str:
    parts = [f"CPU {max(cpus):.0f} %"] if cpus else []
    parts += [f"GPU {max(gpus):.0f} %"] if gpus else []
    return ", ".join(parts) or "no use of anything"
