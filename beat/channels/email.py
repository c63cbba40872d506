"""Mails by SMTP, with TLS unless somebody has said otherwise."""

import smtplib
import socket
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from levare.decide.alerts.telling import Message

Row = Mapping[str, Any]
_TIMEOUT_SECONDS = 15.0


def send(definition: Row, message: Message, delivery: Row, *, secrets: Secrets, reach: Reach) -> None:
    """Raise Undelivered unless the server has taken it for everybody."""
    mail = made(definition, message, delivery)
    try:
        with _connected(definition, reach) as server:
            if definition.get("user"):
                server.login(definition["user"], secrets.value(definition["password"]))
            refused = server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise Undelivered(f"{definition['host']} answered {error.smtp_code} {said}.") from None
    except (smtplib.SMTPException, OSError) as error:
        raise Undelivered(f"{definition['host']} could not be used: {type(error).__name__}, {error}.") from None
    if refused:
        raise Undelivered(f"{definition['host']} refused {', '.join(sorted(refused))}.")


def made(definition: Row, message: Message, delivery: Row) -> EmailMessage:
    """The same id each time, so that a mail program shows what comes twice once."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.title.split())
    mail["From"], mail["To"] = definition["sender"], ", ".join(definition["to"])
    mail["Date"] = format_datetime(delivery["created_at"])
    mail["Message-ID"] = f"<{delivery['id']}@levare>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{message.text}\n")
    return mail


def _connected(definition: Row, reach: Reach) -> smtplib.SMTP:
    """To the address that was looked at; certificates are checked against the name."""
    host, port, security = definition["host"], definition.get("port", 587), definition.get("security", "starttls")
    address = reach.address_of(host, port)
    context = ssl.create_default_context()
    if security == "tls":
        return _pinned(smtplib.SMTP_SSL, address)(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    server = _pinned(smtplib.SMTP, address)(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        if security == "starttls":
            server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _pinned(kind: Any, address: str) -> Any:
    """The kind of connection, to this address whatever its name is looked up as by then."""

    class Pinned(kind):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            plain = socket.create_connection((address, port), timeout)
            return self.context.wrap_socket(plain, server_hostname=host) if kind is smtplib.SMTP_SSL else plain

    return Pinned
