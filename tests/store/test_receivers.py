"""Receivers of webhooks that behave badly: none of them keeps a message, or has it sent twice for nothing."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from beat.channels import webhook
from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from levare.secrets import Vault
from tests.store.test_channels import LOCAL, ROW, SAID

Behave = Callable[[Callable[[socket.socket], None]], Callable[[], None]]


@pytest.fixture
def send_to(tmp_path: Path) -> Iterator[Behave]:
    """`send_to(behaviour)` is a call that sends a message to a receiver that treats its connection so."""
    listeners: list[socket.socket] = []

    def send_to(behave: Callable[[socket.socket], None]) -> Callable[[], None]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        Thread(target=_serve, args=(listener, behave), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        secrets = Secrets(Vault(tmp_path))
        return lambda: webhook.send({"url": url}, SAID, ROW, secrets=secrets, reach=Reach(LOCAL))

    yield send_to
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, behave: Callable[[socket.socket], None]) -> None:
    connection, _ = listener.accept()
    with closing(connection):
        connection.recv(1 << 16)
        behave(connection)


def _has_gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False


def test_who_sends_a_byte_now_and_then_is_left(send_to: Behave, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook, "DEADLINE_SECONDS", 0.5)
    is_left = Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        connection.settimeout(0.1)
        with suppress(OSError):
            while not _has_gone(connection):
                connection.sendall(b"a")
        is_left.set()

    with pytest.raises(Undelivered, match=r"has not answered within 0\.5 s"):
        send_to(trickle)()
    assert is_left.wait(30)


def test_what_was_answered_with_2xx_was_delivered_whatever_becomes_of_the_body(send_to: Behave):
    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab")

    send_to(cut)()


def test_who_says_when_to_come_again_is_asked_then(send_to: Behave):
    def busy(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(Undelivered, match="429") as refused:
        send_to(busy)()
    assert refused.value.pause == timedelta(seconds=90)
