"""What is made of the kernel's files: CPUs, memory, disks, network cards, mounts."""

from worker.probe import kernel
from worker.probe.kernel import Io, Times, Traffic

DISKSTATS = """   8       0 sda 10 0 2000 5 20 0 4000 9 0 1 14 0 0 0 0 0 0
   8       1 sda1 10 0 1000 5 20 0 3000 9 0 1 14 0 0 0 0 0 0
 253       0 dm-0 10 0 1000 5 20 0 3000 9 0 1 14 0 0 0 0 0 0
   7       0 loop0 10 0 1000 5 20 0 3000 9 0 1 14 0 0 0 0 0 0
"""
MOUNTINFO = """27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
28 27 8:1 /etc /etc/hosts rw,relatime - ext4 /dev/sda1 rw
29 27 8:17 / /data\\040sets rw,relatime shared:1 - xfs /dev/sdb1 rw
30 27 0:50 / /shared rw,relatime - nfs4 server:/export rw
31 27 0:22 / /proc rw - proc proc rw
32 27 0:27 / /dev/shm rw - tmpfs tmpfs rw
33 27 0:28 / /run/user/0 rw - tmpfs tmpfs rw
34 27 0:29 / /mnt/small rw - tmpfs tmpfs rw
35 27 7:3 / /snap/core ro - squashfs /dev/loop3 ro
36 27 0:60 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
"""


def test_waiting_for_a_disk_is_not_being_busy():
    stat = "cpu  10 1 5 80 40 2 2 3 7 0\ncpu0 10 1 5 80 40 2 2 3 7 0\nintr 5\ncpu9 nothing of ours\n"

    assert kernel.cpu_times(stat) == {"cpu": Times(23, 143), "cpu0": Times(23, 143)}


def test_memory_that_is_cached_is_given_back_and_shared_memory_is_not():
    meminfo = (
        "MemTotal: 1024000 kB\nMemFree: 1024 kB\nMemAvailable: 512000 kB\nBuffers: 1024 kB\nCached: 204800 kB\n"
        "SReclaimable: 2048 kB\nShmem: 102400 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\nHugePages_Total: 0\n"
    )

    found = kernel.memory_mib(meminfo)

    assert found["memory_used_mib"] == found["memory_available_mib"] == 500
    assert found["memory_cached_mib"] == 1 + 200 + 2 - 100
    assert (found["swap_used_mib"], found["swap_total_mib"]) == (1, 2)


def test_what_a_disk_does_for_its_partitions_counts_once():
    disks = kernel.disks(DISKSTATS)

    assert disks[8, 1] == ("sda1", Io(1000 * 512, 3000 * 512))
    assert kernel.total_io(disks.values(), ["sda", "dm-0", "loop0"]) == Io(2000 * 512, 4000 * 512)
    assert kernel.total_io(disks.values(), []) is None


def test_all_cards_but_the_loopback_one_are_summed():
    dev = (
        "Inter-|   Receive |  Transmit\n face |bytes\n"
        "    lo: 99 9 9 9 0 0 0 0 99 9 9 9 0 0 0 0\n"
        "  eth0: 10 1 2 3 0 0 0 0 20 1 4 5 0 0 0 0\n  ib0:1000 1 0 0 0 0 0 0 2000 1 0 1 0 0 0 0\n"
    )

    assert kernel.traffic(dev) == Traffic(1010, 2020, 6, 9)


def test_load_comes_with_the_number_of_threads():
    assert kernel.load("0.50 0.25 0.10 3/812 4711\n") == {
        "load_1m": 0.5,
        "load_5m": 0.25,
        "load_15m": 0.1,
        "threads": 812,
    }


def test_only_what_jobs_can_fill_is_a_mount():
    assert kernel.mounts(MOUNTINFO) == {
        (8, 1): "/",
        (8, 17): "/data sets",
        (0, 50): "/shared",
        (0, 27): "/dev/shm",
        (0, 29): "/mnt/small",
    }
