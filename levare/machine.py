"""What levare asks of the machine it runs on, said before something fails in the midst of it."""

import os
import platform
import sys
from pathlib import Path

from levare.errors import InvalidSetting, Unavailable

_OF_A_NETWORK = (
    *("nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "afs"),
    *("fuse.ceph-fuse", "fuse.glusterfs", "fuse.sshfs"),
)
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def refuse_unfit() -> None:
    """Raise Unavailable where jobs cannot be run: a supervisor is held by a pidfd, which Linux has since 5.3."""
    if sys.platform != "linux":
        raise Unavailable(
            f"Jobs run on Linux, and this is {platform.system()}.",
            "Run levare on a Linux machine; the client and all of `levare` but its workers serve here as well.",
        )
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        raise Unavailable(
            f"This kernel, {platform.release()}, opens no pidfd: {error.strerror}.",
            "Jobs run on Linux 5.3 or newer; in a container let its seccomp profile allow pidfd_open.",
        ) from None


def refuse_shared(database: Path) -> None:
    """
    Raise InvalidSetting for a SQLite file on a file system of a network, where it would lose writes.

    What its processes share beside the file is memory, which no other machine sees. https://sqlite.org/wal.html
    """
    if kind := network_file_system(database.resolve()):
        raise InvalidSetting(
            f"The database {database} would be on a file system of a network ({kind}), where SQLite loses writes.",
            "Set LEVARE_HOME to a folder on a disk of this machine, or LEVARE_DATABASE to a PostgreSQL.",
        )


def network_file_system(path: Path, mountinfo: str | None = None) -> str | None:
    """The kind of file system that a path is on, or would be, if other machines may have it too; None if not."""
    kind, longest = "", -1
    for line in (_mountinfo() if mountinfo is None else mountinfo).splitlines():
        left, _, right = line.partition(" - ")
        place = Path(unescaped(left.split()[4]))
        if len(place.parts) >= longest and path.is_relative_to(place):  # the last one hides those before it
            kind, longest = right.split()[0], len(place.parts)
    return kind if kind in _OF_A_NETWORK else None


def unescaped(path: str) -> str:
    """A path as it is, of how mountinfo writes it."""
    for code, letter in _ESCAPES.items():
        path = path.replace(code, letter)
    return path


def _mountinfo() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""
