"""`python -m worker`: a Celery worker on `gpu.<node>` and `cpu.<node>`, with its supervisor of attempts."""

import gc

gc.disable()  # until all is imported, for all of it stays

import fcntl
import logging
import sys
import warnings
from pathlib import Path
from typing import TextIO

from celery import Celery
from celery.platforms import SecurityWarning

from levare import broker
from levare.errors import Conflict
from levare.machine import refuse_unfit
from levare.process import running_as
from levare.settings import Settings
from worker import tasks
from worker.consumer import remove_commands
from worker.crew import Crew
from worker.runner import Runner

gc.enable()


def main() -> None:
    gc.freeze()  # what is imported stays
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle, which no worker of ours accepts
    with running_as("worker") as configured:
        refuse_unfit()
        with only_one(configured.home):
            work(configured)


def work(configured: Settings) -> None:
    """Take up what runs here, and only then turn to the broker."""
    app = broker.make_app(configured)
    crew = Crew(configured, app, hostname=hostname(configured))
    crew.start()
    tasks.register(app, crew.runner, crew.herald)
    try:
        consume(app, configured, crew.runner)
    finally:
        crew.stop()


def consume(app: Celery, configured: Settings, runner: Runner) -> None:
    """Be a Celery worker until told to stop."""
    remove_commands()
    if configured.flower_actions:
        tasks.obey_terminate(runner)
    for repeats_our_own in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(repeats_our_own).setLevel(logging.WARNING)
    worker = app.Worker(
        hostname=hostname(configured),
        queues=[f"gpu.{configured.node}", f"cpu.{configured.node}"],
        concurrency=broker.MOST_CONCURRENT,
        loglevel="INFO",
        task_events=True,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


def hostname(configured: Settings) -> str:
    """What Celery and Flower call this worker."""
    return f"levare@{configured.node}"


def only_one(home: Path) -> TextIO:
    """Hold the lock that says a worker runs with this home; raise Conflict if one does already."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (home / "worker.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Conflict(
            f"Another worker already runs with LEVARE_HOME={home}.", "Stop it, or give this one a home of its own."
        ) from None
    return lock


if __name__ == "__main__":
    main()
