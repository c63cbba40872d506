"""Those who work beside Celery in a worker, each in a thread of its own: made here, for they know each other."""

import os
import signal
from secrets import token_hex
from threading import Thread

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

import levare
from levare.pulse import Pulse, beat_bell, node_bell
from levare.settings import Settings
from levare.store.engine import Database
from levare.store.nodes import NodeFacts
from levare.watching import Watcher
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

log = get_logger()

_LISTEN_SECONDS = 2.0


class Crew:
    """All of them, of one life of a worker, which its `incarnation` tells from others of this node."""

    def __init__(self, settings: Settings, app: Celery, *, hostname: str) -> None:
        self._settings, self._incarnation = settings, token_hex(8)
        self._database, self._pulse = Database(settings.database), Pulse(settings.redis_url)
        gpus = probe.gpus(settings)
        self._machine = _facts(settings, gpus)
        self._tracking = Tracking(settings)
        self._provenance = Recorder(self._database)
        self._keeper = Keeper(self._database, self._pulse, settings.node)
        self._heart = self._made_heart(gpus)
        self.runner = self._made_runner()
        self.herald = Herald(app, hostname=hostname, live=self.runner.watches)
        self._truth = self._made_truth()

    def start(self) -> None:
        """Join the fleet, take up what runs here, and only then all the rest."""
        self._tracking.start()
        lease = self._joined()
        self.runner.adopt()
        self._pulse.ring(beat_bell())
        bell = Thread(target=self._listen, name="bell", daemon=True)
        watcher = Watcher(self._database, self._settings.node, tell=lambda: self._pulse.ring(beat_bell()))
        for thread in (
            self._heart,
            self._keeper,
            lease,
            bell,
            self.herald,
            self._truth,
            watcher,
            self._provenance,
        ):
            thread.start()

    def stop(self) -> None:
        """Write what was measured and is not written yet; all else ends with the process."""
        self._keeper.stop()

    def _made_heart(self, gpus: Gpus) -> Heart:
        return Heart(
            self._settings,
            self._pulse,
            lambda: self.runner.live(),  # noqa: PLW0108 - each knows the other
            gpus,
            keep=self._keeper.note,
            counts=lambda: {**self.runner.counts(), "samples_waiting": self._keeper.waiting()},
        )

    def _made_runner(self) -> Runner:
        return Runner(
            self._settings,
            self._database,
            incarnation=self._incarnation,
            usage=self._heart.usage,
            after_ending=self._after_ending,
            mlflow=self._tracking.address,
            provenance=self._provenance,
        )

    def _made_truth(self) -> Truth:
        return Truth(
            self._settings,
            self._database,
            self._pulse,
            incarnation=self._incarnation,
            devices=self._machine.devices,
            live=self.runner.live,
            readings=self._heart.readings,
        )

    def _joined(self) -> Lease:
        lease_file = self._settings.home / "lease"
        join(self._database, self._machine, incarnation=self._incarnation, lease_file=lease_file)
        return Lease(
            self._database,
            node=self._settings.node,
            incarnation=self._incarnation,
            every=self._settings.renew_every,
            lease_file=lease_file,
            superseded=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )

    def _after_ending(self, watch: Watch | None) -> None:
        self._pulse.ring_soon(beat_bell())
        if watch and watch.attend():  # no Celery task waits for it, so none will tell
            self.herald.over(watch)

    def _listen(self) -> None:
        """Look for what is to be cancelled, and for what nobody watches: when somebody rings, and every few seconds."""
        while True:
            if self._pulse.wait(node_bell(self._settings.node), _LISTEN_SECONDS):
                self._truth.wake()
            try:
                self.runner.carry_out_cancels()
                self.runner.adopt()
            except SQLAlchemyError as error:
                log.warning("database.unreachable", error=str(error.__cause__ or error))


def _facts(settings: Settings, gpus: Gpus) -> NodeFacts:
    """What this machine has."""
    found = probe.facts(settings, gpus)
    return NodeFacts(
        name=settings.node,
        boot_id=boot_id(),
        cpus=found.cpus,
        memory_mib=found.memory_mib,
        devices=found.devices,
        simulated=bool(settings.simulated_gpus),
        version=levare.__version__,
        labels=found.labels,
        scratch_mib=found.scratch_mib,
        resources=settings.resources,
        address=address(settings),
        price=settings.price,
    )
