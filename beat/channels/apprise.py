"""The services that Apprise knows. It is an extra: `pip install 'levare[notify]'`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from levare.decide.alerts.telling import Message

Row = Mapping[str, Any]
_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}


def send(definition: Row, message: Message, *, secrets: Secrets) -> None:
    """Raise Undelivered unless the service has taken it. Its URL is a secret, so nothing of it is told."""
    try:
        library: Any = import_module("apprise")
    except ImportError:
        raise Undelivered("Apprise is not installed where beat runs: `pip install 'levare[notify]'`.") from None
    service = library.Apprise()
    if not service.add(secrets.value(definition["url"])):
        raise Undelivered("Apprise knows no service of this URL.")
    if not service.notify(body=message.text, title=message.title, notify_type=_KINDS[message.severity]):
        raise Undelivered("The service did not take it.")
