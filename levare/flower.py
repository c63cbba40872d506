"""
Flower on loopback: `python -m levare.flower`. It shows attempts under their own ids, to whoever has the password.

The user is `levare`, the password that of `Settings.secret`. Nothing is taken from a flowerconfig.py or from
FLOWER_* variables, so that neither can open what is closed here.
"""

import logging
import os
import signal
import sys

import flower.app
import structlog
from flower.options import default_options
from flower.urls import settings as pages
from flower.views.monitor import Metrics
from tornado.ioloop import PeriodicCallback

from levare import broker
from levare.process import running_as
from levare.settings import Settings

USER = "levare"
_MEET_EVERY_MS = 3000


def main() -> None:
    with running_as("flower") as settings:
        run(settings)


def run(settings: Settings) -> None:
    """Serve until told to end."""
    for chatty in ("tornado.access", "flower.inspector"):  # each page; each worker that has not come yet
        logging.getLogger(chatty).setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)
    _close_metrics()
    server = make_server(settings)
    port = server.start_http_server()
    PeriodicCallback(lambda: _meet(server), _MEET_EVERY_MS).start()
    structlog.get_logger().info("flower.started", address=f"http://127.0.0.1:{port}", user=USER)
    try:
        server.start()
    except (KeyboardInterrupt, SystemExit):
        server.stop()
        os._exit(0)  # it keeps nothing, and a thread of it may wait for a broker that has gone before


def make_server(settings: Settings) -> flower.app.Flower:
    """Flower over this deployment's broker: loopback only, behind a password, keeping nothing on disk."""
    default_options.address = "127.0.0.1"
    default_options.port = settings.flower_port
    default_options.basic_auth = [f"{USER}:{settings.secret}"]
    default_options.read_only = not settings.flower_actions
    default_options.persistent = False
    default_options.enable_events = False  # workers send them always, and take no such command
    return flower.app.Flower(capp=broker.make_app(settings), options=default_options, **pages)


def _meet(server: flower.app.Flower) -> None:
    """Ask workers which queues they have: Flower itself asks only those that were there when it started."""
    state = server.events.state
    if state and {worker.hostname for worker in state.alive_workers()} - server.workers.keys():
        server.update_workers()


def _close_metrics() -> None:
    """Flower serves /metrics to everyone, password or not."""
    flower.app.default_handlers[:] = [
        route for route in flower.app.default_handlers if not (isinstance(route, tuple) and route[1] is Metrics)
    ]


if __name__ == "__main__":
    main()
