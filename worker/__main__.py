"""`python -m worker`: a Celery worker on `gpu.<node>` and `cpu.<node>`, with its supervisor of attempts."""

import gc

gc.disable()  # until all is imported, for all of it stays

import fcntl
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from secrets import token_hex
from threading import Thread
from typing import TextIO

from celery import Celery
from celery.platforms import SecurityWarning
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

import levare
from levare import broker, logs, settings
from levare.errors import Conflict, LevareError
from levare.pulse import Pulse, beat_bell, node_bell
from levare.settings import Settings
from levare.store.engine import Database
from levare.store.nodes import NodeFacts
from levare.watching import Watcher
from worker import tasks
from worker.consumer import remove_commands
from worker.heart import Heart
from worker.herald import Herald
from worker.keeper import Keeper
from worker.node import Lease, join
from worker.probe import facts as probe
from worker.probe.address import address
from worker.probe.facts import Gpus
from worker.provenance import Recorder
from worker.rundir import boot_id
from worker.runner import Runner
from worker.tracking import Tracking
from worker.truth import Truth
from worker.watch import Watch

gc.enable()

log = get_logger()

_LISTEN_SECONDS = 2.0


def main() -> None:
    gc.freeze()  # what is imported stays
    configured = settings.load()
    logs.configure(configured, process="worker")
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle, which no worker of ours accepts
    try:
        lock = only_one(configured.home)
    except LevareError as error:
        sys.exit(f"error: {error}")
    with lock:
        work(configured)


def work(configured: Settings) -> None:
    """Join the fleet, take up what runs here, and only then turn to the broker."""
    database, pulse, gpus = Database(configured.database), Pulse(configured.redis_url), probe.gpus(configured)
    incarnation, lease_file = token_hex(8), configured.home / "lease"

    def after_ending(watch: Watch | None) -> None:
        pulse.ring_soon(beat_bell())
        if watch and watch.attend():  # no Celery task waits for it, so none will tell
            herald.over(watch)

    keeper = Keeper(database, pulse, configured.node)
    heart = Heart(
        configured,
        pulse,
        lambda: runner.live(),  # noqa: PLW0108 - each knows the other
        gpus,
        keep=keeper.note,
        counts=lambda: {**runner.counts(), "samples_waiting": keeper.waiting()},
    )
    tracking = Tracking(configured)
    tracking.start()
    provenance = Recorder(database)
    runner = Runner(
        configured,
        database,
        incarnation=incarnation,
        usage=heart.usage,
        after_ending=after_ending,
        mlflow=tracking.address,
        provenance=provenance,
    )
    app = broker.make_app(configured)
    herald = Herald(app, hostname=hostname(configured), live=runner.watches)
    machine = facts(configured, gpus)
    join(database, machine, incarnation=incarnation, lease_file=lease_file)
    runner.adopt()
    pulse.ring(beat_bell())
    lease = Lease(
        database,
        node=configured.node,
        incarnation=incarnation,
        every=configured.renew_every,
        lease_file=lease_file,
        superseded=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    truth = Truth(
        configured,
        database,
        pulse,
        incarnation=incarnation,
        devices=machine.devices,
        live=runner.live,
        readings=heart.readings,
    )
    bell = Thread(target=listen, args=(pulse, configured.node, runner, truth), name="bell", daemon=True)
    watcher = Watcher(database, configured.node, tell=lambda: pulse.ring(beat_bell()))
    for thread in (heart, keeper, lease, bell, herald, truth, watcher, provenance):
        thread.start()
    tasks.register(app, runner, herald)
    try:
        consume(app, configured, runner)
    finally:
        keeper.stop()


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


def listen(pulse: Pulse, node: str, runner: Runner, truth: Truth) -> None:
    """Look for what is to be cancelled, and for what nobody watches: when somebody rings, and every few seconds."""
    while True:
        if pulse.wait(node_bell(node), _LISTEN_SECONDS):
            truth.wake()
        try:
            runner.carry_out_cancels()
            runner.adopt()
        except SQLAlchemyError as error:
            log.warning("database.unreachable", error=str(error.__cause__ or error))


def facts(configured: Settings, gpus: Gpus) -> NodeFacts:
    """What this machine has."""
    found = probe.facts(configured, gpus)
    return NodeFacts(
        name=configured.node,
        boot_id=boot_id(),
        cpus=found.cpus,
        memory_mib=found.memory_mib,
        devices=found.devices,
        simulated=bool(configured.simulated_gpus),
        version=levare.__version__,
        labels=found.labels,
        scratch_mib=found.scratch_mib,
        resources=configured.resources,
        address=address(configured),
        price=configured.price,
    )


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
