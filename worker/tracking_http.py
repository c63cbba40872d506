"""HTTP for the door of MLflow scripts, by the standard library: a thread for each connection, up to a bound."""

import json
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

Take = Callable[[str, str, bytes], tuple[int, Mapping[str, Any] | str]]

_MOST_BODY = 8 * 1024 * 1024
_IDLE_SECONDS = 60


def serve(listener: socket.socket, take: Take, *, most_connections: BoundedSemaphore) -> None:
    """Answer until the process ends."""
    server = _Server(listener.getsockname(), _handler(take), bind_and_activate=False)
    server.socket.close()
    server.socket, server.room = listener, most_connections
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    room: BoundedSemaphore

    def process_request(self, request: Any, client_address: Any) -> None:
        """One connection too many is closed at once: the client comes again."""
        if self.room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is none of our concern."""


def _handler(take: Take) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _IDLE_SECONDS
        disable_nagle_algorithm = True

        def answer(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdecimal() or int(length) > _MOST_BODY:
                self.close_connection = True
                self._send(413, {"error_code": "INVALID_PARAMETER_VALUE", "message": "At most 8 MiB at once."})
                return
            self._send(*take(self.command, self.path, self.rfile.read(int(length))))

        def _send(self, status: int, content: Mapping[str, Any] | str) -> None:
            body = content if isinstance(content, str) else json.dumps(content)
            data = body.encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names of the standard library

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Requests of scripts are no events of the fleet."""

    return Handler
