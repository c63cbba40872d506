"""The NVIDIA GPUs of this machine, as a child process reads them: a driver that hangs then stops only the child."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from levare.model import Device
from worker.probe import nvml
from worker.probe.reading import Reading
from worker.probe.tracked import Tracked

_COMMAND = (sys.executable, "-P", str(Path(nvml.__file__)))  # -P: what lies beside the script is no import of its
_SLOWEST_RESTART_SECONDS = 300
_LONGEST_LINE = 4 * 2**20
_log = structlog.get_logger()


class Nvidia:
    """
    Asks nothing and waits for nothing: takes what the child has printed.

    A child that ends, or is silent for `stale_seconds` (its first words may take `first_seconds`,
    as drivers load slowly), is replaced after a pause that grows, and its last values count no
    more. Each kind of trouble is said once. Not for several threads at once. Of the GPUs only those of these UUIDs
    are told, where `only` is given; without any no child is started.
    """

    is_simulated = False

    def __init__(
        self,
        command: Sequence[str] = _COMMAND,
        *,
        stale_seconds: float = 10.0,
        first_seconds: float = 60.0,
        only: Collection[str] | None = None,
    ) -> None:
        self._command, self._only = command, only
        self._stale_seconds, self._first_seconds = stale_seconds, first_seconds
        self._child: _Child | None = None
        self._ending: list[_Child] = []
        self._latest: list[Reading] = []
        self._has_named = False
        self._failures = 0
        self._start_at = float("inf") if only is not None and not only else 0.0
        self._said: set[str] = set()

    def devices(self, patience_seconds: float = 60.0) -> Sequence[Device]:
        """The GPUs, as soon as the child has named them; none if it fails or takes longer than that."""
        until = monotonic() + patience_seconds
        self.readings()
        while self._child and not self._has_named and not self._failures and (left := until - monotonic()) > 0:
            self._child.wait(left)
            self.readings()
        return [reading.device for reading in self._latest]

    def readings(self, _tracked: Sequence[Tracked] = ()) -> list[Reading]:
        """What the GPUs said last, less than `stale_seconds` ago; nothing if they did not."""
        self._ending = [child for child in self._ending if not child.has_ended()]
        if self._child is None and monotonic() >= self._start_at:
            self._child = _Child(self._command)
        if self._child:
            self._listen(self._child)
        return self._latest

    def close(self) -> None:
        """End the child. The next reading would start another."""
        if self._child:
            self._child.end()
            self._ending.append(self._child)
            self._child, self._latest = None, []
        for child in self._ending:
            child.wait_for_end()

    def _listen(self, child: "_Child") -> None:
        has_ended = child.has_ended()  # asked first, so that its last words are heard
        silence, patience = child.silence(), self._stale_seconds if self._latest else self._first_seconds
        for said in child.lines():
            self._understand(said)
            silence = 0.0
        if has_ended:
            self._replace(child, "nvml.ended", never=child.status() == nvml.NEVER)
        elif silence > patience:
            self._replace(child, "nvml.hung")

    def _understand(self, said: dict[str, Any]) -> None:
        if "error" in said:
            self._say("gpus.not_found", reason=said["error"])
            return
        self._has_named = True
        ours = (device for device in said["devices"] if self._only is None or device["uuid"] in self._only)
        self._latest = [_reading(device) for device in ours]
        self._failures = 0

    def _replace(self, child: "_Child", event: str, *, never: bool = False) -> None:
        child.end()
        self._ending.append(child)
        self._child, self._latest = None, []
        pause = float("inf") if never else min(2**self._failures, _SLOWEST_RESTART_SECONDS)
        self._start_at = monotonic() + pause
        self._failures += 1
        if not never:
            self._say(event, restart_in_seconds=pause)

    def _say(self, event: str, **facts: Any) -> None:
        if event not in self._said:
            self._said.add(event)
            _log.warning(event, **facts)


class _Child:
    """A process that prints lines of JSON, read without waiting."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for its parent
        )
        assert self._process.stdout  # noqa: S101 - it is a pipe
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._rest = b""
        self._heard_at = monotonic()

    def lines(self) -> list[dict[str, Any]]:
        """What it has printed since; a line that is none of JSON's is passed over, which is silence."""
        *whole, self._rest = (self._rest + self._received()).split(b"\n")
        parsed = [line for text in whole if (line := _parsed(text))]
        if parsed:
            self._heard_at = monotonic()
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
        return parsed

    def silence(self) -> float:
        """Seconds since it last said something, or was started."""
        return monotonic() - self._heard_at

    def wait(self, seconds: float) -> None:
        """Until it says more, or ends, or the time is out."""
        select.select([self._pipe], [], [], seconds)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def status(self) -> int | None:
        return self._process.returncode

    def end(self) -> None:
        """Kill it. One that hangs in the kernel ends later, or never: nobody waits for that."""
        self._process.kill()
        self._pipe.close()

    def wait_for_end(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)

    def _received(self) -> bytes:
        pieces: list[bytes] = []
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe.fileno(), 65536):
                pieces.append(piece)
        return b"".join(pieces)


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and ("devices" in line or "error" in line) else None


def _reading(said: dict[str, Any]) -> Reading:
    processes = said["processes"]
    return Reading(
        Device(said["uuid"], said["index"], said["memory_mib"], said["model"]),
        said["counters"],
        None if processes is None else {int(pid): mib for pid, mib in processes.items()},
    )
