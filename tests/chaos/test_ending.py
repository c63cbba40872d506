"""Ending a whole process tree, whatever it does against it; and output without end."""

import time

import psutil
import pytest

from tests.fleet import Fleet, alive, eventually

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""
FLOOD = """
import os
block = bytes(range(256)) * 4096
for _ in range(2048):
    os.write(1, block)
"""
TWO_GIB = 2048 * 1024 * 1024


@pytest.fixture
def running(shared: Fleet) -> Fleet:
    return shared


def test_a_cancel_leaves_no_process_of_a_job_that_resists(running: Fleet):
    grace = 2
    job_id = running.python(STUBBORN, grace_seconds=grace)
    eventually(lambda: b"ready" in running.log(job_id))
    processes = running.job_processes(job_id)
    assert len(processes) >= 2

    began = time.monotonic()
    assert running.cancel(job_id).status_code == 202
    eventually(lambda: not alive(processes), within=grace + 5)

    assert time.monotonic() - began < grace + 5
    job = running.await_end(job_id)[0]
    assert (job["state"], job["reason"]) == ("cancelled", "Cancelled while it ran.")
    assert not running.job_processes(job_id)


def test_a_cancel_before_the_start_starts_nothing(running: Fleet):
    running.kill("worker")
    job_id = running.submit("sleep", "60")
    running.await_state(job_id, "placed")
    running.cancel(job_id)
    running.await_state(job_id, "cancelled")
    running.start("worker")
    running.await_ready()

    follower = running.submit("true")
    running.await_end(follower)
    assert running.job(job_id)["state"] == "cancelled"
    assert running.attempts(job_id)[0]["started_at"] is None


def test_a_time_limit_ends_the_job_and_is_the_reason(running: Fleet):
    job_id = running.submit("sleep", "60", timeout_seconds=1, grace_seconds=1)

    job = running.await_end(job_id)[0]

    assert (job["state"], job["reason"]) == ("failed", "Ran longer than its limit of 1 s.")
    assert running.attempts(job_id)[0]["state"] == "timed_out"


def test_two_gib_without_a_newline_are_bounded_on_disk_and_in_memory(running: Fleet):
    worker = psutil.Process(running.processes["worker"].pid)
    job_id = running.python(FLOOD)
    most_disk, most_memory, start = 0, 0, worker.memory_info().rss
    while running.job(job_id)["state"] not in ("succeeded", "failed"):
        files = [path.stat().st_blocks * 512 for path in running.home.glob("runs/*/*") if path.is_file()]
        most_disk, most_memory = max(most_disk, sum(files)), max(most_memory, worker.memory_info().rss)

    (attempt,) = running.attempts(job_id)
    kept = running.log(job_id)
    assert running.job(job_id)["state"] == "succeeded"
    assert attempt["log_bytes"] == TWO_GIB
    assert b"bytes cut]" in kept
    assert len(kept) < 20 * 1024 * 1024
    assert kept.endswith(bytes(range(256)) * 100)
    assert most_disk < 512 * 1024 * 1024
    assert most_memory - start < 64 * 1024 * 1024
