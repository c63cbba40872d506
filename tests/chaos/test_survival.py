"""Kill everything but the training."""

import sys

import pytest

from levare.cli.witness import Ledger, expected_log
from tests.fleet import FINAL, Fleet, eventually

CODES = (0, 3, 137, 0, 3, 137)
LINES = 20


@pytest.fixture
def running(shared: Fleet) -> Fleet:
    return shared


def start_six(running: Fleet, ledger: Ledger, *, seconds: float) -> dict[str, int]:
    """Six jobs with known endings, all of them running."""
    jobs = {
        running.submit(
            sys.executable, *ledger.arguments(seconds=seconds, code=code, lines=LINES), gpus=number % 2
        ): code
        for number, code in enumerate(CODES)
    }
    eventually(lambda: len(ledger.starts()) == len(jobs))
    return jobs


def check(running: Fleet, ledger: Ledger, jobs: dict[str, int]) -> None:
    """Every job has started once and ended once, with its true exit code and every byte of its log."""
    for job_id, code in jobs.items():
        job = running.await_state(job_id, *FINAL, within=60)
        (attempt,) = running.attempts(job_id)
        assert (job["exit_code"], attempt["exit_code"]) == (code, code)
        assert job["state"] == ("succeeded" if code == 0 else "failed")
        assert running.log(job_id) == expected_log(job_id, LINES)
    assert ledger.starts() == dict.fromkeys(jobs, 1)
    assert not ledger.twice()


@pytest.mark.parametrize("victim", ["worker", "beat", "web", "redis"])
def test_training_survives_the_death_of(running: Fleet, ledger: Ledger, victim: str):
    jobs = start_six(running, ledger, seconds=4)

    running.kill(victim)
    running.start(victim)

    running.await_ready()
    check(running, ledger, jobs)


def test_training_survives_the_death_of_everything_at_once(running: Fleet, ledger: Ledger):
    jobs = start_six(running, ledger, seconds=4)

    running.kill("worker", "beat", "web", "redis")
    running.start("redis", "web", "beat", "worker")

    running.await_ready()
    check(running, ledger, jobs)


def test_what_ends_while_everything_is_dead_is_found_with_its_true_exit_code(running: Fleet, ledger: Ledger):
    jobs = start_six(running, ledger, seconds=2)

    running.kill("worker", "beat", "web", "redis")
    eventually(lambda: not any(running.job_processes(job_id) for job_id in jobs))
    running.start("redis", "web", "beat", "worker")

    running.await_ready()
    check(running, ledger, jobs)


def test_a_worker_that_is_told_to_stop_leaves_the_training_running(running: Fleet, ledger: Ledger):
    jobs = start_six(running, ledger, seconds=5)

    running.kill("worker", number=15)
    running.start("worker")

    running.await_ready()
    check(running, ledger, jobs)
