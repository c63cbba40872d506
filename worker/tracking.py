"""
The door for scripts that log to MLflow: its REST protocol on loopback, for the attempts of this node and nobody else.

Each attempt has an address of its own with a secret in it. What comes goes to the attempt's metrics file, so it needs
neither Redis nor SQL, and a worker that starts anew opens the same door again: a client that retries finds it. Until a
script comes, this is a socket and a thread that waits.
"""

import json
import re
import select
import socket
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from structlog import get_logger

from levare.settings import Settings
from worker.rundir import RunDir
from worker.tracked_runs import Book, Refused
from worker.tracking_calls import answer

log = get_logger()

VARIABLE = "MLFLOW_TRACKING_URI"
MOST_CONNECTIONS = 64
_ADDRESS = re.compile(r"/([a-z0-9_]+-\d+(?:\.\d+)?)/([\w-]{20,})(/.*)")
_CALL = re.compile(r"/(?:ajax-)?api/\d\.\d/mlflow/(.+)")


class Tracking:
    def __init__(self, settings: Settings) -> None:
        self._runs = settings.runs
        self._port_file = settings.home / "mlflow.port"
        self._books: dict[str, Book] = {}
        self._lock = Lock()
        self._listener = self._listen() if settings.mlflow else None

    def address(self, attempt_id: str, secret: str) -> str | None:
        """Where the scripts of an attempt log to; None where that is turned off."""
        if self._listener is None:
            return None
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/{attempt_id}/{secret}"

    def start(self) -> None:
        if self._listener is not None:
            Thread(target=self._serve, args=(self._listener,), name="mlflow", daemon=True).start()

    def take(self, method: str, target: str, body: bytes) -> tuple[int, Mapping[str, Any] | str]:
        """The status and the answer to a request."""
        try:
            parts = urlsplit(target)
            book, path = self._book(parts.path)
            if path in ("/health", "/version"):
                return 200, "OK" if path == "/health" else "3.0.0"
            return 200, answer(book, method, _call(path), _told(parts.query, body))
        except Refused as refused:
            return refused.status, {"error_code": refused.code, "message": refused.message}
        except OSError as error:
            log.warning("mlflow.not_written", error=str(error))
            return 200, {}  # as levare.log does: a full disk costs points, and stops no training
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"This cannot be read: {error!r}."}

    def _book(self, path: str) -> tuple[Book, str]:
        """The runs of the attempt whose address this is, and what of it is asked."""
        found = _ADDRESS.fullmatch(path)
        run = RunDir(self._runs / found[1]) if found else None
        if found is None or run is None or not compare_digest(_secret_of(run), found[2]):
            raise Refused(403, "PERMISSION_DENIED", "This is no address of a running attempt.")
        with self._lock:
            if run.attempt not in self._books:
                self._books = {each: book for each, book in self._books.items() if (self._runs / each).exists()}
                output = Path(run.spec().env["LEVARE_OUTPUT"])
                self._books[run.attempt] = Book(run.path, metrics=run.metrics, artifacts=output)
            return self._books[run.attempt], found[3]

    def _listen(self) -> socket.socket | None:
        """The port of the worker before this one, for the scripts that know it; else any."""
        for port in (_read(self._port_file), 0):
            try:
                listener = socket.create_server(("127.0.0.1", port))
            except OSError as error:
                log.warning("mlflow.port_taken", port=port, error=str(error))
                continue
            listener.set_inheritable(False)
            self._port_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._port_file.write_text(str(listener.getsockname()[1]))
            return listener
        return None

    def _serve(self, listener: socket.socket) -> None:
        """Load what speaks HTTP only when the first script has come."""
        select.select([listener], [], [])
        from worker.tracking_http import serve

        serve(listener, self.take, most_connections=BoundedSemaphore(MOST_CONNECTIONS))


def _secret_of(run: RunDir) -> str:
    """What its address says; of an attempt that is over, or has none, what nobody can know."""
    try:
        address = run.spec().env.get(VARIABLE, "")
    except (OSError, ValueError):
        address = ""
    return address.rpartition("/")[2] or "\0"


def _call(path: str) -> str:
    found = _CALL.fullmatch(path)
    if found is None:
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"There is no {path} here.")
    return found[1]


def _told(query: str, body: bytes) -> Mapping[str, Any]:
    told = json.loads(body) if body.strip() else {}
    if not isinstance(told, dict):
        raise Refused(400, "INVALID_PARAMETER_VALUE", "The body is no JSON object.")
    return dict(parse_qsl(query)) | told


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
