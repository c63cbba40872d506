"""
Process trees, read from /proc in one pass for all attempts.

psutil would find them too, at five times the price: it reads the whole table once per tree.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from worker.probe.tracked import Tracked

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PARENT, _STATE, _THREADS, _RESIDENT = 1, 0, 17, 21  # where they stand in /proc/PID/stat, after the name
_WRITTEN = 11  # where the bytes written stand in /proc/PID/io, each number behind its name; those read stand before
_OWN_CPU, _WAITED_CPU = slice(11, 13), slice(13, 15)

Stat = Sequence[bytes]
"""The fields of /proc/PID/stat after the process's name."""


@dataclass(frozen=True)
class Tree:
    """
    The processes of one attempt, without its supervisor.

    CPU time and I/O include what has ended and was waited for, in the end by the supervisor, so
    they only grow. A page of memory that several processes share counts once.
    """

    pids: Sequence[int]
    processes: int
    threads: int
    memory_mib: float
    cpu_seconds: float
    read_mib: float
    write_mib: float
    open_files: int | None = None
    """As it was at most 10 s ago."""


class ProcessTable:
    """Finds the trees of attempts. Not for several threads at once."""

    def __init__(self) -> None:
        self._others = _Others()
        self._sharing = _Sharing()
        self._open = _OpenFiles()

    def trees(self, tracked: Sequence[Tracked]) -> dict[str, Tree]:
        """The tree of each attempt; none for an attempt whose supervisor is gone."""
        attempts = {one.attempt_id for one in tracked}
        self._sharing.keep(attempts)
        self._open.keep(attempts)
        members = self._members(tracked)
        stats = {one.attempt_id: _stat(one.supervisor_pid) for one in tracked}
        return {
            one.attempt_id: self._tree(one, supervisor, members[one.attempt_id])
            for one in tracked
            if (supervisor := stats[one.attempt_id])
        }

    def _members(self, tracked: Sequence[Tracked]) -> dict[str, dict[int, Stat]]:
        """Each attempt's processes. The whole table is read only if an attempt has no cgroup that says it."""
        members = {one.attempt_id: _in_cgroup(one.cgroup) for one in tracked}
        if all(members.values()):
            return members
        table = self._others.all_but_these({one.supervisor_pid for one in tracked})
        children = _children(table)
        below = {one.attempt_id: _below(one, table, children) for one in tracked}
        self._others.are(table.keys() - set().union(*below.values()))
        return {attempt_id: members[attempt_id] or below[attempt_id] for attempt_id in members}

    def _tree(self, one: Tracked, supervisor: Stat, members: Mapping[int, Stat]) -> Tree:
        own = {pid: stat for pid, stat in members.items() if pid != one.supervisor_pid}
        alive = {pid: stat for pid, stat in own.items() if stat[_STATE] not in b"ZX"}
        resident = sum(int(stat[_RESIDENT]) for stat in alive.values()) * _PAGE_MIB
        read, written = _io([one.supervisor_pid, *own])
        return Tree(
            pids=list(own),
            processes=len(alive),
            threads=sum(int(stat[_THREADS]) for stat in alive.values()),
            memory_mib=resident * self._sharing.of(one.attempt_id, list(alive)),
            cpu_seconds=_cpu_seconds(supervisor, own.values()),
            read_mib=read / 2**20,
            write_mib=written / 2**20,
            open_files=self._open.of(one.attempt_id, list(alive)),
        )


class _Others:
    """
    Processes below no supervisor: most of a table, and none of them gets below one later.

    So they are passed over until a supervisor comes or goes, or for 30 s, as their ids may be those of others by then.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._supervisors: set[int] = set()
        self._again_at = 0.0

    def all_but_these(self, supervisors: set[int]) -> dict[int, Stat]:
        if monotonic() >= self._again_at or supervisors != self._supervisors:
            self._known, self._supervisors, self._again_at = set(), supervisors, monotonic() + 30
        with os.scandir("/proc") as entries:
            pids = [pid for entry in entries if entry.name.isdigit() and (pid := int(entry.name)) not in self._known]
        return {pid: stat for pid in pids if (stat := _stat(pid))}

    def are(self, pids: set[int]) -> None:
        """These are below none."""
        self._known |= pids - self._supervisors


class _Sharing:
    """
    What part of a tree's resident memory is left when shared pages count once.

    Forked data loaders share most of theirs, and only smaps_rollup tells. It costs 9 ms a GiB, so
    it is read as often as it takes 0.5% of the time, and the part is held to be the same between.
    """

    def __init__(self) -> None:
        self._parts: dict[str, tuple[float, float]] = {}

    def of(self, attempt_id: str, pids: Sequence[int]) -> float:
        part, again_at = self._parts.get(attempt_id, (1.0, 0.0))
        begin = monotonic()
        if len(pids) < 2:  # noqa: PLR2004 - one process shares with nobody
            return 1.0
        if begin >= again_at:
            part = _proportional(pids)
            self._parts[attempt_id] = part, monotonic() + 200 * (monotonic() - begin)
        return part

    def keep(self, attempts: set[str]) -> None:
        self._parts = {attempt_id: part for attempt_id, part in self._parts.items() if attempt_id in attempts}


class _OpenFiles:
    """How many files a tree has open: counted every 10 s, for kernels before 6.2 have to list them."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}

    def of(self, attempt_id: str, pids: Sequence[int]) -> int:
        count, again_at = self._counts.get(attempt_id, (0, 0.0))
        if (begin := monotonic()) >= again_at:
            count = sum(map(_open_files, pids))
            self._counts[attempt_id] = count, begin + max(10.0, 200 * (monotonic() - begin))
        return count

    def keep(self, attempts: set[str]) -> None:
        self._counts = {attempt_id: count for attempt_id, count in self._counts.items() if attempt_id in attempts}


def _open_files(pid: int) -> int:
    """None of a process that is gone, or that is not ours to look into."""
    folder = f"/proc/{pid}/fd"
    try:
        return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - once per process
    except OSError:
        return 0


def _proportional(pids: Iterable[int]) -> float:
    rolled = [dict(line.split()[:2] for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]) for pid in pids]
    resident = sum(int(fields.get(b"Rss:", 0)) for fields in rolled)
    return sum(int(fields.get(b"Pss:", 0)) for fields in rolled) / resident if resident else 1.0


def _in_cgroup(cgroup: str | None) -> dict[int, Stat]:
    if cgroup is None:
        return {}
    listed = [_read(f"{folder}/cgroup.procs").split() for folder, _, _ in os.walk(cgroup)]
    return {int(pid): stat for pids in listed for pid in pids if (stat := _stat(int(pid)))}


def _children(table: Mapping[int, Stat]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, stat in table.items():
        children.setdefault(int(stat[_PARENT]), []).append(pid)
    return children


def _below(one: Tracked, table: Mapping[int, Stat], children: Mapping[int, Sequence[int]]) -> dict[int, Stat]:
    found: dict[int, Stat] = {}
    ahead = list(children.get(one.supervisor_pid, ()))
    while ahead:
        pid = ahead.pop()
        if pid not in found:  # parents are read one after the other, so that a reused pid could close a ring
            found[pid] = table[pid]
            ahead.extend(children.get(pid, ()))
    return found


def _cpu_seconds(supervisor: Stat, own: Iterable[Stat]) -> float:
    ticks = sum(map(int, supervisor[_WAITED_CPU]))
    ticks += sum(sum(map(int, (*stat[_OWN_CPU], *stat[_WAITED_CPU]))) for stat in own)
    return ticks / _TICKS_A_SECOND


def _io(pids: Iterable[int]) -> tuple[int, int]:
    """Bytes read from and written to disks. A parent's include those of the children it has waited for."""
    files = [fields for pid in pids if len(fields := _read(f"/proc/{pid}/io", at_once=True).split()) > _WRITTEN]
    return sum(int(fields[_WRITTEN - 2]) for fields in files), sum(int(fields[_WRITTEN]) for fields in files)


def _stat(pid: int) -> Stat:
    """Empty if there is no such process."""
    return _read(f"/proc/{pid}/stat", at_once=True).rpartition(b") ")[2].split()


def _read(path: str, *, at_once: bool = False) -> bytes:
    """What the file of the kernel says; nothing if it is gone or not ours to read. The short ones come at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if at_once:
            return os.read(descriptor, 4096)
        return b"".join(iter(lambda: os.read(descriptor, 65536), b""))
    except OSError:  # the process ended between open and read
        return b""
    finally:
        os.close(descriptor)
