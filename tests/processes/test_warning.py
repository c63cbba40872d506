"""What a job hears before it is ended to make room, or at its limit."""

import signal
import sys
import time

from tests.fleet import eventually
from tests.trials import Trials

USR1, WARNED = int(signal.SIGUSR1), b"warned"
LISTENS = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: print("warned"))
signal.signal(signal.SIGTERM, lambda *_: (print("asked"), sys.exit(4)))
print("ready")
while True: time.sleep(9)
"""
SAVES_AND_LEAVES = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
print("ready")
time.sleep(60)
"""


def test_what_makes_room_is_warned_once_and_ended_when_its_warning_is_over(trials: Trials):
    trial = trials.python(LISTENS, warning_signal=USR1, warning_seconds=1)
    trial.says(b"ready")
    began = time.monotonic()

    trial.signal(signal.SIGHUP)
    trial.says(WARNED)
    trial.signal(signal.SIGHUP)

    ending = trial.ending()
    assert (ending.cause, ending.exit_code) == ("cancelled", 4)
    assert 1 <= time.monotonic() - began < 15
    assert trial.log() == b"ready\nwarned\nasked\n"


def test_without_a_warning_room_is_made_at_once(quick: Trials):
    trial = quick.start("sleep", "60")

    trial.signal(signal.SIGHUP)

    assert (trial.ending().cause, trial.ending().signal) == ("cancelled", signal.SIGTERM)


def test_a_wish_for_room_that_comes_early_waits_until_it_is_heard(trials: Trials):
    trial = trials.start("sleep", "60")
    trial.signal(signal.SIGHUP)

    assert trial.ending().cause == "cancelled"


def test_a_job_that_saves_and_leaves_when_warned_ends_by_itself(quick: Trials):
    trial = quick.python(SAVES_AND_LEAVES, warning_signal=USR1, warning_seconds=60)
    trial.says(b"ready")

    trial.signal(signal.SIGHUP)

    assert (trial.ending().exit_code, trial.ending().cause) == (7, "exited")


def test_a_warning_reaches_the_training_below_a_shell_that_would_die_of_it(quick: Trials):
    trial = quick.start(
        *("sh", "-c", 'echo shell; "$0" -I -S -u -c "$1"; echo "left with $?"; exit 9'),
        *(sys.executable, SAVES_AND_LEAVES),
        warning_signal=USR1,
        warning_seconds=60,
    )
    trial.says(b"ready")

    trial.signal(signal.SIGHUP)

    assert trial.ending().exit_code == 9
    assert trial.log().endswith(b"left with 7\n")


def test_who_is_still_loading_is_warned_as_soon_as_it_listens(quick: Trials):
    script = f"import sys; print('loading'); sys.stdin.readline(); import time; time.sleep(0.5)\n{SAVES_AND_LEAVES}"
    trial = quick.python(script, warning_signal=USR1, warning_seconds=60)
    trial.says(b"loading")

    trial.signal(signal.SIGHUP)

    assert trial.ending(within=10).exit_code == 7


def test_the_limit_of_a_job_is_announced_by_its_warning(trials: Trials):
    began = time.monotonic()
    trial = trials.python(LISTENS, warning_signal=USR1, warning_seconds=2, timeout_seconds=4)

    eventually(lambda: WARNED in trial.log())
    assert time.monotonic() - began < 4

    ending = trial.ending()
    assert (ending.cause, ending.exit_code) == ("timed_out", 4)
    assert 4 <= time.monotonic() - began < 15


def test_a_cancel_does_not_wait_for_the_warning(quick: Trials):
    trial = quick.python(LISTENS, warning_signal=USR1, warning_seconds=60)
    trial.says(b"ready")

    trial.signal(signal.SIGHUP)
    trial.says(WARNED)
    trial.signal(signal.SIGTERM)

    assert trial.ending().exit_code == 4
