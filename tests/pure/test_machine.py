"""What is asked of a machine, and what is said where it is not so."""

import os
import sys
from pathlib import Path

import pytest

from levare import machine
from levare.errors import InvalidSetting, Unavailable
from levare.machine import network_file_system, refuse_shared, refuse_unfit

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /home rw,nosuid shared:2 - nfs4 filer:/export/home rw,vers=4.2
31 30 254:1 / /home/ada/scratch\\040disk rw shared:3 - xfs /dev/nvme0n1p1 rw
32 22 0:26 / /data rw - fuse.sshfs ada@atlas: rw
33 22 0:27 / /over rw - ext4 /dev/sdb1 rw
34 33 0:28 / /over rw - lustre mds@tcp:/fs rw
35 22 0:29 / /pool rw - zfs tank/pool rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/work/.levare/levare.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homely/levare.db", None),
        ("/home/ada/scratch disk/levare.db", None),
        ("/data/x", "fuse.sshfs"),
        ("/over/x", "lustre"),
        ("/pool/x", None),
        ("/var/tmp/levare.db", None),
    ],
)
def test_a_path_is_on_the_file_system_that_was_mounted_last_and_deepest(path: str, kind: str | None):
    assert network_file_system(Path(path), MOUNTS) == kind


def test_where_the_kernel_does_not_tell_of_mounts_nothing_is_refused():
    assert network_file_system(Path("/home/ada"), "") is None


def test_sqlite_on_a_file_system_of_a_network_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_mountinfo", lambda: MOUNTS)

    with pytest.raises(InvalidSetting, match=r"/home/ada/levare.db would be on .* \(nfs4\).* LEVARE_HOME .*PostgreSQL"):
        refuse_shared(Path("/home/ada/levare.db"))
    refuse_shared(Path("/var/tmp/levare.db"))


def test_jobs_run_on_linux_alone(monkeypatch: pytest.MonkeyPatch):
    refuse_unfit()
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(Unavailable, match="Jobs run on Linux"):
        refuse_unfit()


def test_a_kernel_without_pidfds_is_named_with_the_version_that_has_them(monkeypatch: pytest.MonkeyPatch):
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)

    with pytest.raises(Unavailable, match=r"opens no pidfd: Function not implemented.*5\.3"):
        refuse_unfit()
