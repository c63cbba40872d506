"""`python -m app`: bring the database up to date, then serve the API."""

import gc

gc.disable()  # until all is imported, for all of it stays: the collector would look through it dozens of times

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import structlog
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from app.auth import register_admin
from app.connection import Connection
from app.main import create
from levare.errors import InvalidSetting, Unavailable
from levare.process import running_as
from levare.settings import Settings, refuse_open
from levare.store import migrate
from levare.store.engine import Database

gc.enable()

_GRACE_SECONDS = 5
_LIVE: dict[str, Any] = {"ws": "websockets-sansio", "ws_per_message_deflate": False, "ws_max_size": 1024}
"""How WebSockets are spoken: small texts to many, so that to compress them for each costs more than it saves."""

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server that tells the streams when it is to end, for it waits for them."""

    def __init__(self, config: uvicorn.Config, stopping: Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    gc.freeze()  # what is imported stays
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _leave)
    with running_as("web") as settings:
        listener = listen(settings)
        prepare(settings)
        serve(settings, listener)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Before and after serving; in between uvicorn listens to the signals."""
    sys.exit(0)


def listen(settings: Settings) -> socket.socket:
    """The socket to serve on, bound first so that nothing is touched when another has the port."""
    refuse_open(settings)
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)  # asyncio sends without delay only where it reads "TCP" here
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise InvalidSetting(
            f"The API cannot listen on {settings.host} port {settings.port}: {error.strerror or error}.",
            "Stop what listens there, or set LEVARE_PORT (0 for any free port) and LEVARE_HOST.",
        ) from None
    listener.listen(128)
    return listener


def prepare(settings: Settings) -> None:
    """Bring the schema up to date and make the admin token valid."""
    database = Database(settings.database)
    try:
        migrate.upgrade(database)
        if register_admin(settings, database):
            log.info("token.registered", file=str(settings.token_file))
    except SQLAlchemyError as error:
        raise Unavailable(f"The database does not answer: {error}.", "Check LEVARE_DATABASE and the server.") from None
    finally:
        database.dispose()


def serve(settings: Settings, listener: socket.socket) -> None:
    stopping = Event()
    config = configuration(settings, stopping)
    gc.freeze()  # the models of all answers stay: the collector would stop every request while it looks at them
    with _announced(settings, url_of(listener, settings.scheme)):
        _Server(config, stopping).run(sockets=[listener])


def configuration(settings: Settings, stopping: Event) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        create(settings, stopping=stopping),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **_LIVE,
        http=Connection,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where a program on this machine reaches the API."""
    host, port = listener.getsockname()[:2]
    host = str(host)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # a comparison, no binding
    return f"{scheme}://[{here}]:{port}" if ":" in here else f"{scheme}://{here}:{port}"


@contextmanager
def _announced(settings: Settings, url: str) -> Iterator[None]:
    """
    Keep the address in LEVARE_HOME while we serve, so that the command line finds us on any port.

    Over TLS our certificate lies beside it: on this machine it is trusted by itself, whatever name it is for.
    """
    path, certificate = settings.home / "address", settings.home / "certificate.pem"
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate.unlink(missing_ok=True)
    if settings.tls_cert:
        _replace(certificate, settings.tls_cert.read_text())
    _replace(path, url)
    log.info("web.started", url=url)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text() == url:
                path.unlink()
        log.info("web.stopped")


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    main()
