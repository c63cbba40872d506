"""The heart of a node: each second it probes the machine and its live attempts, and tells Redis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from threading import Event, Thread
from time import monotonic, thread_time, time
from typing import Protocol, TypeVar

import structlog

from levare.pulse import Pulse
from levare.settings import Settings
from worker.probe.attempts import Attempts
from worker.probe.facts import Gpus
from worker.probe.machine import Machine
from worker.probe.reading import Reading
from worker.probe.tracked import Tracked

__all__ = ["Heart", "Tracked", "Usage"]

_REMEMBERED_SECONDS = 600.0
_FIRST_BEAT_SECONDS = 0.25
_log = structlog.get_logger()
T = TypeVar("T")


class Keep(Protocol):
    def __call__(self, node: Mapping[str, float], attempts: Mapping[str, Mapping[str, float]], *, at: float) -> None:
        """Take what was measured at an instant, without waiting."""


@dataclass(frozen=True)
class Usage:
    """What an attempt has used since this worker watches it; None for what was never seen."""

    peak_memory_mib: int | None = None
    gpu_memory_mib: int | None = None
    """Its peak."""
    gpu_utilisation_percent: float | None = None
    """Its mean."""
    energy_joules: float | None = None
    """Of its GPUs, where they count it."""


class Heart:
    """
    Beats in a thread of its own until it is stopped, whatever fails: the rest of a beat goes on without it.

    `live` says what lives now, `counts` what this worker counts of itself; they are called from that thread. `keep`
    takes what was measured.
    """

    def __init__(
        self,
        settings: Settings,
        pulse: Pulse,
        live: Callable[[], Sequence[Tracked]],
        gpus: Gpus,
        *,
        every_seconds: float = 1.0,
        keep: Keep | None = None,
        counts: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._node = settings.node
        self._pulse, self._live, self._gpus = pulse, live, gpus
        self._machine, self._attempts = Machine(settings.home), Attempts()
        self._ledger = _Ledger()
        self._every_seconds, self._keep, self._counts = every_seconds, keep, counts
        self._stopping = Event()
        self._said: set[tuple[str, str]] = set()
        self._readings: Sequence[Reading] = ()
        self._cost_milliseconds = 0.0
        self._thread = Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End with the beat that is under way; a beat that hangs is left behind after 3 s."""
        self._stopping.set()
        self._thread.join(3)
        self._machine.close()
        if not self._thread.is_alive():
            self._gpus.close()

    def usage(self, attempt_id: str) -> Usage:
        """What the attempt has used, until ten minutes after it was last seen alive."""
        return self._ledger.usage(attempt_id)

    def readings(self) -> Sequence[Reading]:
        """What the GPUs said at the last beat; for any thread."""
        return self._readings

    def beat(self) -> None:
        """Probe once, remember and tell."""
        begin = thread_time()
        nothing_lives: Sequence[Tracked] = ()
        tracked = self._try("live", self._live, nothing_lives)
        readings = self._readings = self._try("gpus", lambda: self._gpus.readings(tracked), [])
        node = self._try("machine", lambda: self._machine.sample(readings), {})
        samples = self._try("attempts", lambda: self._attempts.sample(tracked, readings), {})
        node = node and {**node, **self._counts(), "heart_milliseconds": self._cost_milliseconds}
        self._ledger.add(samples, monotonic())
        if self._keep:
            self._keep(node, samples, at=time())
        if not self._try("pulse", lambda: self._pulse.beat(self._node, node, samples), otherwise=True):
            self._say("pulse", "redis does not answer")
        self._cost_milliseconds = round(1000 * (thread_time() - begin), 2)

    def _run(self) -> None:
        due = monotonic() + min(_FIRST_BEAT_SECONDS, self._every_seconds)  # the first rates need some time to be of
        while not self._stopping.wait(max(0.0, due - monotonic())):
            due = max(due + self._every_seconds, monotonic())
            self.beat()

    def _try(self, part: str, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - no probe may stop the heart
            self._say(part, f"{type(error).__name__}: {error}")
            return otherwise

    def _say(self, part: str, reason: str) -> None:
        kind = (part, reason.partition(":")[0])
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("probe.failed", part=part, reason=reason)


@dataclass(frozen=True)
class _Account:
    seen_at: float
    peak_memory_mib: float = 0.0
    gpu_memory_mib: float | None = None
    utilisation_sum: float = 0.0
    utilisation_count: int = 0
    energy_joules: float | None = None

    def after(self, sample: Mapping[str, float], seen_at: float) -> "_Account":
        busy, gpu_memory = sample.get("gpu_utilisation_percent"), sample.get("gpu_memory_mib")
        return _Account(
            seen_at,
            max(self.peak_memory_mib, sample["memory_mib"]),
            self.gpu_memory_mib if gpu_memory is None else max(self.gpu_memory_mib or 0.0, gpu_memory),
            self.utilisation_sum + (busy or 0.0),
            self.utilisation_count + (busy is not None),
            sample.get("energy_joules", self.energy_joules),
        )

    def usage(self) -> Usage:
        return Usage(
            ceil(self.peak_memory_mib),
            None if self.gpu_memory_mib is None else ceil(self.gpu_memory_mib),
            round(self.utilisation_sum / self.utilisation_count, 2) if self.utilisation_count else None,
            self.energy_joules,
        )


class _Ledger:
    """What each attempt has used. One thread adds, any may read: an account is replaced, never changed."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def add(self, samples: Mapping[str, Mapping[str, float]], at: float) -> None:
        accounts = {
            attempt_id: self._accounts.get(attempt_id, _Account(at)).after(each, at)
            for attempt_id, each in samples.items()
        }
        remembered = {key: old for key, old in self._accounts.items() if at - old.seen_at < _REMEMBERED_SECONDS}
        self._accounts = remembered | accounts

    def usage(self, attempt_id: str) -> Usage:
        account = self._accounts.get(attempt_id)
        return account.usage() if account else Usage()
