"""Messages on their way out: signed, tried again when they fail, never into private networks or with a secret."""

import json
import socketserver
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from beat import courier
from beat.channels import email, webhook
from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from beat.courier import MOST_TRIES, Courier
from beat.leader import Leader
from levare.decide.alerts.telling import Message
from levare.secrets import Vault
from levare.store import channels, deliveries
from levare.store.audit import Actor
from levare.store.engine import Database
from tests.store.conftest import NOON

ADA = Actor("t1", "ada")
LOCAL = ("127.0.0.0/8", "::1/128")
SAID = Message("[critical] hang: k3v9", "It does nothing.\nLook.", "critical", {"alerts": []})
ROW = {"id": "d1", "news": "begin", "rule": "hang", "created_at": NOON}


class Door:
    """A web server of the test's own: it answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.asked = 200, list[tuple[str, dict[str, str], bytes]]()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                door.asked.append((self.path, dict(self.headers.items()), body))
                self.send_response(door.status)
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(b"x" * 200_000)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base
                pass

        return Handler


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.server.shutdown()
    door.server.server_close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1",
     "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1", "224.0.0.1"],
)  # fmt: skip
def test_what_is_private_is_not_reached_by_whatever_name(host: str):
    with pytest.raises(Undelivered, match=r"is private|which is private"):
        Reach().address_of(host, 80)


def test_what_the_operator_allows_is_reached_and_what_is_global_always():
    assert Reach(LOCAL).address_of("localhost", 80) in ("127.0.0.1", "::1")
    assert Reach(["10.0.0.0/8"]).address_of("10.1.2.3", 80) == "10.1.2.3"
    assert Reach().address_of("1.1.1.1", 80) == "1.1.1.1"
    with pytest.raises(Undelivered, match="There is no host"):
        Reach().address_of("no-such-host.invalid", 80)


@pytest.mark.parametrize(
    ("status", "reason", "is_final"),
    [(503, "It answered 503.", False), (302, "redirects are not followed", False), (410, "It answered 410.", True)],
)
def test_only_an_answer_with_2xx_is_a_delivery(door: Door, tmp_path: Path, status: int, reason: str, is_final: bool):
    door.status = status

    with pytest.raises(Undelivered, match=reason) as refused:
        webhook.send({"url": door.url}, SAID, ROW, secrets=Secrets(Vault(tmp_path)), reach=Reach(LOCAL))

    assert refused.value.is_final is is_final
    assert len(door.asked) == 1


def test_a_webhook_is_a_cloudevent_with_a_signature_that_others_can_check(door: Door, tmp_path: Path):
    secrets = Secrets(Vault(tmp_path, environ={"LEVARE_SECRET_KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}))
    definition = {"url": door.url, "key": {"secret": "KEY"}}

    webhook.send(definition, SAID, ROW, secrets=secrets, reach=Reach(LOCAL))

    [(path, headers, body)] = door.asked
    event = json.loads(body)
    assert (path, headers["content-type"], headers["webhook-id"]) == ("/hook", "application/cloudevents+json", "d1")
    assert (event["specversion"], event["id"], event["type"]) == ("1.0", "d1", "levare.alert.begin")
    assert event["data"]["text"] == SAID.text
    known = webhook.signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", at=1614265330
    )
    assert known["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_of_the_environment_or_of_a_file_that_only_its_owner_reads(tmp_path: Path):
    file = tmp_path / "TOKEN"
    file.touch(mode=0o600)
    file.write_text("abc\n")
    files, given = (Secrets(Vault(tmp_path, "beat", environ)) for environ in ({}, {"LEVARE_SECRET_TOKEN": "xyz"}))

    assert files.named("TOKEN") == "abc"
    assert given.value({"secret": "TOKEN"}) == "xyz"
    file.chmod(0o644)
    with pytest.raises(Undelivered, match="chmod 600"):
        files.named("TOKEN")
    with pytest.raises(Undelivered, match=r"There is no secret OTHER\. Set LEVARE_SECRET_OTHER for beat"):
        files.named("OTHER")


class Post(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a message needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(b"".join(lines))  # pyright: ignore[reportAttributeAccessIssue]
            if word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"550 no\r\n" if b"nobody" in line else b"250 fine\r\n")


@pytest.fixture
def post() -> Iterator[Any]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post)
    server.mails = []  # pyright: ignore[reportAttributeAccessIssue]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def a_mail(post: Any, **other: Any) -> dict[str, Any]:
    plain = {"host": "localhost", "port": post.server_address[1], "security": "none", "sender": "levare@example.org"}
    return {**plain, "to": ["ops@example.org"], **other}


def test_a_mail_is_sent_with_an_id_that_stays_the_same(post: Any, tmp_path: Path):
    for _ in range(2):
        email.send(a_mail(post), SAID, ROW, secrets=Secrets(Vault(tmp_path)), reach=Reach(["127.0.0.0/8"]))

    first, second = post.mails
    assert first == second
    assert b"Subject: [critical] hang: k3v9" in first
    assert b"Message-ID: <d1@levare>" in first


def test_a_mail_without_tls_where_tls_is_asked_for_and_one_that_is_refused_are_not_sent(post: Any, tmp_path: Path):
    reach, secrets = Reach(["127.0.0.0/8"]), Secrets(Vault(tmp_path))
    with pytest.raises(Undelivered, match="SMTPNotSupportedError"):
        email.send(a_mail(post, security="starttls"), SAID, ROW, secrets=secrets, reach=reach)
    with pytest.raises(Undelivered, match=r"refused|could not be used"):
        email.send(a_mail(post, to=["nobody@example.org"]), SAID, ROW, secrets=secrets, reach=reach)
    assert post.mails == []


class Carried:
    """A courier, and one message of a channel."""

    def __init__(self, database: Database, home: Path, kind: str, definition: Any) -> None:
        self.database = database
        leader = Leader(database)
        assert leader.leads()
        self.courier = Courier(database, leader, vault=Vault(home / "secrets", "beat"), networks=LOCAL)
        with database.writing() as connection:
            channels.put(connection, "ops", {kind: definition}, actor=ADA, now=NOON)
            deliveries.enqueue_test(connection, "ops", delivery_id="d1", actor=ADA, now=NOON)

    @property
    def row(self) -> Any:
        with self.database.reading() as connection:
            return deliveries.one(connection, "d1")

    def carry(self) -> Any:
        self.courier.carry(self.row, now=NOON)
        return self.row


def test_what_fails_is_tried_again_later_each_time_with_the_same_id_and_then_given_up(
    database: Database, door: Door, tmp_path: Path
):
    door.status = 500
    carried = Carried(database, tmp_path, "webhook", {"url": door.url})

    first = carried.carry()
    assert (first["state"], first["attempts"], first["last_error"]) == ("pending", 1, "It answered 500.")
    for _ in range(MOST_TRIES - 1):
        carried.carry()

    assert carried.row["state"] == "failed"
    ids = {json.loads(body)["id"] for _, _, body in door.asked}
    assert (len(door.asked), ids) == (MOST_TRIES, {"d1"})
    assert timedelta(seconds=2.5) <= courier.pause(1) <= timedelta(seconds=5)
    assert courier.pause(50) <= courier.LONGEST_PAUSE


def test_what_two_beats_take_at_once_is_sent_by_one(database: Database, door: Door, tmp_path: Path):
    carried = Carried(database, tmp_path, "webhook", {"url": door.url})
    row = carried.row

    carried.courier.carry(row, now=NOON)
    carried.courier.carry(row, now=NOON)

    assert (carried.row["state"], len(door.asked)) == ("sent", 1)


def test_the_round_of_a_courier_sends_what_is_due(database: Database, door: Door, tmp_path: Path):
    carried = Carried(database, tmp_path, "webhook", {"url": door.url})

    carried.courier.round(now=NOON)
    carried.courier._pool.shutdown(wait=True)

    assert carried.row["state"] == "sent"


def test_no_secret_gets_into_what_is_said_of_a_failure(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LEVARE_SECRET_URL", "http://127.0.0.1:1/hook/s3cret")
    carried = Carried(database, tmp_path, "webhook", {"url": {"secret": "URL"}})

    error = carried.carry()["last_error"]

    assert "s3cret" not in error
    assert "127.0.0.1 could not be reached" in error


def test_apprise_takes_what_it_knows_and_where_it_is_not_installed_that_is_said(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LEVARE_SECRET_SLACK", "slack://token")
    carried = Carried(database, tmp_path, "apprise", {"url": {"secret": "SLACK"}})
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "pip install 'levare[notify]'" in carried.carry()["last_error"]

    told: list[Any] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url == "slack://token"

        def notify(self, **said: Any) -> bool:
            told.append(said)
            return True

    module = ModuleType("apprise")
    module.Apprise = Apprise  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "apprise", module)
    assert carried.carry()["state"] == "sent"
    assert told[0]["title"] == "[test] levare"


def test_a_channel_that_was_removed_says_nothing_any_more(database: Database, door: Door, tmp_path: Path):
    carried = Carried(database, tmp_path, "webhook", {"url": door.url})
    with database.writing() as connection:
        channels.remove(connection, "ops", actor=ADA, now=NOON)

    assert carried.carry()["state"] == "failed"
    assert door.asked == []
