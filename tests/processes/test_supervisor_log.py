"""What a job prints, within bounds and byte for byte, in both ways of keeping it."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import eventually
from tests.trials import KIB, MIB, Trial, Trials, supervise_with
from worker import joblog

RECORDS = """
import sys, time
out = open(1, "wb", buffering=2**16, closefd=False)
for i in range(int(sys.argv[1])):
    out.write(b"%015d\\n" % i)
out.flush()
"""
RECORD = 16
HEAD, TAIL = 64 * KIB, 256 * KIB
BOTH = pytest.mark.parametrize("mode", ["file", "pipe"])


def written(offset: int, size: int) -> bytes:
    """What RECORDS prints at an offset."""
    first, last = offset // RECORD, (offset + size) // RECORD + 1
    return b"".join(b"%015d\n" % i for i in range(first, last))[offset % RECORD :][:size]


def read_all(trial: Trial, offset: int) -> bytes:
    data = b""
    while piece := trial.run.read_log(offset + len(data), MIB).data:
        data += piece
    return data


def on_disk(trial: Trial) -> int:
    """Bytes that the log takes up."""
    found = 0
    for path in trial.run.path.glob("out*.log"):
        try:
            found += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return found


@BOTH
def test_a_short_log_is_kept_whole(quick: Trials, mode: str):
    trial = quick.python(RECORDS, "1000", log_mode=mode)

    assert trial.ending().log_bytes == 1000 * RECORD
    assert read_all(trial, 0) == written(0, 1000 * RECORD)
    assert (trial.run.log_size(), trial.run.log_cut()) == (1000 * RECORD, 0)
    assert trial.run.read_log(1000 * RECORD, 10).data == b""


@BOTH
def test_of_a_long_log_head_and_tail_are_kept_byte_for_byte_in_their_true_places(trials: Trials, mode: str):
    size = 16 * MIB
    trial = trials.python(RECORDS, str(size // RECORD), log_mode=mode, log_head_bytes=HEAD, log_tail_bytes=TAIL)

    assert trial.ending().log_bytes == trial.run.log_size() == size
    cut = trial.run.log_cut()
    assert HEAD < cut <= size - TAIL
    assert trial.run.read_log(0, MIB).data == written(0, HEAD)
    assert trial.run.read_log(HEAD - 5, MIB).data == written(HEAD - 5, 5)
    for inside in (HEAD, HEAD + 1, cut - 1):
        assert trial.run.read_log(inside, 1).offset == cut
    assert read_all(trial, cut) == written(cut, size - cut)
    assert trial.run.read_log(size - 3, MIB).data == written(size - 3, 3)
    assert on_disk(trial) <= HEAD + TAIL + TAIL // 4 + 2 * joblog.BLOCK


@BOTH
def test_a_reader_beside_the_writing_job_never_sees_a_byte_that_is_gone(quick: Trials, mode: str):
    trial = quick.python(RECORDS, str(24 * MIB // RECORD), log_mode=mode, log_head_bytes=HEAD, log_tail_bytes=TAIL)
    skipped = 0
    eventually(lambda: trial.run.log_size() > HEAD + 2 * TAIL)

    while not trial.ends(within=0):
        size = trial.run.log_size()
        for offset in (0, HEAD - 7, HEAD + 7, size // 2, size - TAIL - 9, size - 100):
            piece = trial.run.read_log(offset, 8 * KIB)
            assert piece.data == written(piece.offset, len(piece.data))
            skipped += piece.offset > offset

    assert skipped > 10


@BOTH
def test_a_flood_without_a_line_end_takes_no_room(quick: Trials, mode: str):
    size = 512 * MIB
    trial = quick.start("head", "-c", str(size), "/dev/zero", log_mode=mode, log_head_bytes=MIB, log_tail_bytes=MIB)
    peak = 0

    while not trial.ends(within=0.01):
        peak = max(peak, on_disk(trial))

    assert trial.ending().log_bytes == size
    assert peak < 102 * MIB
    assert on_disk(trial) < 3 * MIB


def test_a_flood_after_a_silence_is_noticed(quick: Trials):
    script = "import os, time; time.sleep(0.3); [os.write(1, bytes(2**20)) for _ in range(64)]; time.sleep(60)"
    trial = quick.python(script, log_head_bytes=HEAD, log_tail_bytes=TAIL)

    eventually(lambda: trial.run.log_size() == 64 * MIB)
    eventually(lambda: trial.run.log_cut() >= 63 * MIB)
    eventually(lambda: on_disk(trial) < MIB)


def test_a_pipe_that_somebody_else_holds_does_not_keep_an_attempt_alive(quick: Trials):
    trial = quick.python("print('last words'); input()\ntime.sleep(60)", log_mode="pipe")
    trial = quick.start("sh", "-c", "echo last words; sleep 60", log_mode="pipe")
    trial.says(b"last words")
    held = os.open(f"/proc/{trial.state().pid}/fd/1", os.O_WRONLY)

    trial.signal()

    assert trial.ending().cause == "cancelled"
    assert trial.log() == b"last words\n"
    os.close(held)


def test_a_job_may_open_its_output_anew_when_it_is_a_pipe(quick: Trials):
    trial = quick.start("sh", "-c", "echo a; echo b > /dev/stderr; echo c", log_mode="pipe")

    assert trial.ending().exit_code == 0
    assert trial.log() == b"a\nb\nc\n"


def test_where_holes_cannot_be_punched_the_log_comes_through_a_pipe(quick: Trials):
    size = 2 * MIB
    trial = quick.make(sys.executable, "-ISc", RECORDS, str(size // RECORD), log_head_bytes=HEAD, log_tail_bytes=TAIL)
    supervise_with("def punch(*_): raise OSError('no holes here')\nlibc.punch = punch", trial)

    assert trial.run.path.joinpath("out.log").stat().st_size == HEAD
    assert trial.run.log_size() == size
    cut = trial.run.log_cut()
    assert read_all(trial, cut) == written(cut, size - cut)


def test_a_quiet_job_costs_its_supervisor_nothing(quick: Trials):
    trial = quick.start("sleep", "60")
    stat = Path(f"/proc/{trial.state().supervisor_pid}/status")

    def switches() -> int:
        return sum(int(line.split()[1]) for line in stat.read_text().splitlines() if "ctxt_switches" in line)

    eventually(lambda: any("inotify" in str(fd.readlink()) for fd in stat.with_name("fd").iterdir()))
    before, began = switches(), time.monotonic()
    assert not trial.ends(within=0.5)
    assert switches() - before <= 3, f"woken up within {time.monotonic() - began:.1f} s"


@BOTH
def test_a_full_disk_does_not_keep_the_cut_from_being_written(quick: Trials, mode: str):
    refuse = """
import os
pwrite = os.pwrite
def refused(fd, data, at):
    if len(data) == 42 and os.stat("lock").st_size:
        raise OSError("no room")
    return pwrite(fd, data, at)
os.pwrite = refused
"""
    trial = quick.make(
        sys.executable, "-ISc", RECORDS, "131072", log_mode=mode, log_head_bytes=HEAD, log_tail_bytes=TAIL
    )

    assert supervise_with(refuse, trial).log_bytes == 2 * MIB
    assert trial.run.log_cut() > 2 * MIB - 2 * TAIL
    assert on_disk(trial) < MIB
