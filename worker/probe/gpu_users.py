"""
Which processes use which GPU, and what the process table says of them.

Of real GPUs the driver tells. A simulated one is used by whoever names it in CUDA_VISIBLE_DEVICES, so that all that
follows from the use of a GPU can be tried on any machine; levare's own processes do not count.
"""
# ruff: noqa: PTH116, PTH208, PTH119

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pwd import getpwuid

from worker import files, proc
from worker.probe.ledger import Use
from worker.probe.reading import Reading

_MOST_OF_COMMAND = 60
_MOST_ANCESTORS = 1000
_PARENT = 1  # where it stands in /proc/PID/stat, after the name
_DAEMONS = frozenset(["app", "beat", "worker", "levare.embedded", "levare.flower"])

Uses = dict[str, list[Use]]
"""UUID of a device -> what uses it. A device whose uses nobody knows is not in it."""


class GpuUsers:
    """
    Looks at processes; `companions` are programs that may use GPUs beside jobs.

    `supervisors` maps the process ids of live supervisors to their attempts: all below one is of its attempt, whatever
    its environment says. Else the environment decides, if the process is this user's, as nobody else may have our jobs.
    """

    def __init__(self, companions: Collection[str] = ()) -> None:
        self._companions = companions
        self._missing: set[int] = set()

    def of_readings(self, readings: Sequence[Reading], supervisors: Mapping[int, str]) -> Uses:
        """
        What the driver names.

        A process that is not in our process table has just ended, or is of another container if it is named again.
        """
        named = {pid for reading in readings for pid in reading.processes or ()}
        found = {pid: use for pid in named if (use := _use(pid, supervisors) or _hidden(pid))}
        found |= {pid: Use(pid, None) for pid in self._missing & named - found.keys()}
        self._missing = named - {pid for pid, use in found.items() if use.start is not None}
        return {
            reading.device.uuid: self._known(
                [replace(found[pid], memory_mib=mib) for pid, mib in reading.processes.items() if pid in found]
            )
            for reading in readings
            if reading.processes is not None
        }

    def of_simulated(self, uuids: Sequence[str], supervisors: Mapping[int, str]) -> Uses:
        """Costs a look at the environment of every process of this machine, 10 us each."""
        uses: Uses = {uuid: [] for uuid in uuids}
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            named = _visible_among(uuids, pid)
            if named and not _is_daemon(pid) and (use := _use(pid, supervisors)):
                for uuid in named:
                    uses[uuid] += self._known([use])
        return uses

    def _known(self, uses: Sequence[Use]) -> list[Use]:
        """Without companions, which are known by their program's name."""
        return [use for use in uses if use.command.partition(" ")[0] not in self._companions]


def _use(pid: int, supervisors: Mapping[int, str]) -> Use | None:
    """None if there is no such process, or no longer."""
    try:
        start, uid = proc.start_of(pid), os.stat(f"/proc/{pid}").st_uid
        attempt = _attempt_above(pid, supervisors) or (_marker(pid) if uid == os.getuid() else None)
        return Use(pid, start, _user(uid), _command(pid), attempt)
    except (OSError, IndexError):
        return None


def _hidden(pid: int) -> Use | None:
    """One that is there and that only its owner may see, as where /proc is mounted with hidepid."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return Use(pid, 0, "another user")
    except OSError:
        return None
    return None


def _attempt_above(pid: int, supervisors: Mapping[int, str]) -> str | None:
    """The attempt whose live supervisor is an ancestor."""
    for _ in range(_MOST_ANCESTORS):
        if pid in supervisors or pid <= 1:
            return supervisors.get(pid)
        pid = int(files.read(f"/proc/{pid}/stat").rpartition(") ")[2].split()[_PARENT])
    return None


def _visible_among(uuids: Sequence[str], pid: int) -> list[str]:
    """Those of these devices that its environment lets it see; our own process does not count."""
    text = "" if pid == os.getpid() else proc.variable(pid, "CUDA_VISIBLE_DEVICES")
    visible = [each.strip() for each in text.split(",")]
    return [uuid for uuid in uuids if uuid in visible]


def _marker(pid: int) -> str | None:
    return proc.variable(pid, "LEVARE_ATTEMPT") or None


def _is_daemon(pid: int) -> bool:
    with suppress(OSError):
        arguments = files.read(f"/proc/{pid}/cmdline").split("\0")
        return arguments[1:2] == ["-m"] and arguments[2:3] != [] and arguments[2] in _DAEMONS
    return False


def _command(pid: int) -> str:
    """Its program and arguments, as far as a line of a message has room."""
    program, *arguments = files.read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    text = " ".join([os.path.basename(program), *arguments])
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _MOST_OF_COMMAND else f"{shown[: _MOST_OF_COMMAND - 3]}..."


def _user(uid: int) -> str:
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
