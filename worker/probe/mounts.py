"""
Space on the disks of this machine, looked at apart from the heart.

To ask a file server that is away takes for ever: then only this thread waits, and what it knew is told no more.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from worker import files
from worker.probe import kernel

EVERY_SECONDS = 10.0
_STALE_SECONDS = 60.0
MOST_MOUNTS = 16
_GIB = 2**30

Devices = Mapping[tuple[int, int], str]


class Mounts:
    """The first look is made at once, in the thread of the caller; the thread of the others starts with it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stopping = Event()
        self._spaces: Mapping[str, float] = {}
        self._devices: Devices = {}
        self._disks: Sequence[str] = ()
        self._looked_at = monotonic()
        self._thread = Thread(target=self._run, name="mounts", daemon=True)
        self._first = Event()
        self._thread.start()
        self._first.wait(1.0)

    def spaces(self) -> Mapping[str, float]:
        """Free and used space of each mount; empty if the last look is too old, for one of them hangs."""
        return self._spaces if monotonic() - self._looked_at < _STALE_SECONDS else {}

    def devices(self) -> Devices:
        """(major, minor) of each mount -> its path."""
        return self._devices

    def disks(self) -> Sequence[str]:
        """Names of whole disks, as the kernel calls them."""
        return self._disks

    def close(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while True:
            with suppress(OSError, ValueError, IndexError):
                self.look()
            self._first.set()
            if self._stopping.wait(EVERY_SECONDS):
                return

    def look(self) -> None:
        found = kernel.mounts(files.read("/proc/self/mountinfo"))
        real = {device: place for device, place in sorted(found.items(), key=lambda each: each[1]) if _is_folder(place)}
        self._devices = dict(list(real.items())[:MOST_MOUNTS])
        with suppress(OSError):
            self._disks = [disk.name for disk in Path("/sys/block").iterdir()]
        spaces = _of_home(self._home)
        for place in self._devices.values():
            with suppress(OSError):
                free, used = space(place)
                spaces |= {f"mount_free_gib:{place}": free, f"mount_used_percent:{place}": used}
        self._spaces, self._looked_at = spaces, monotonic()


def space(place: str) -> tuple[float, float]:
    """
    Free GiB, which an ordinary user may still fill, and used percent of what such a user could have.

    OSError of what has no space at all.
    """
    stat = os.statvfs(place)
    used, free = (stat.f_blocks - stat.f_bfree) * stat.f_frsize, stat.f_bavail * stat.f_frsize
    if not used + free:
        raise OSError(f"{place} has no space of its own")
    return round(free / _GIB, 2), round(100 * used / (used + free), 2)


def _of_home(home: Path) -> dict[str, float]:
    """Of the mount that holds LEVARE_HOME."""
    with suppress(OSError):
        free, used = space(str(_existing(home)))
        return {"disk_free_gib": free, "disk_used_percent": used}
    return {}


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _is_folder(place: str) -> bool:
    """A container has single files mounted over its own."""
    return Path(place).is_dir()
