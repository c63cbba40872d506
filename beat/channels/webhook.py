"""
A webhook: each message is a CloudEvent 1.0, sent by POST and signed as Standard Webhooks have it.

`webhook-id` is the id of the delivery, the same at each try. `webhook-signature` is `v1,` and the HMAC-SHA256, in
base64, of `id.timestamp.body`. A receiver refuses what is older than a few minutes, and what it has seen.
"""

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from levare.decide.alerts.telling import Message

Row = Mapping[str, Any]
_TIMEOUT = httpx.Timeout(8.0, connect=5.0)
_DEADLINE_SECONDS = 15.0
_MOST_BYTES = 64 * 1024
_GONE = 410
_PREFIX = "whsec_"


def send(definition: Row, message: Message, delivery: Row, *, secrets: Secrets, reach: Reach) -> None:
    """Raise Undelivered unless it was answered with 2xx."""
    url = secrets.value(definition["url"])
    body = json.dumps(event(message, delivery), ensure_ascii=False).encode()
    headers = {"content-type": "application/cloudevents+json", "user-agent": "levare"}
    if definition.get("key"):
        headers |= signed(delivery["id"], body, secrets.value(definition["key"]), at=int(time.time()))
    _judge(_post(url, body, headers, reach))


def event(message: Message, delivery: Row) -> dict[str, Any]:
    said = {"title": message.title, "text": message.text, "severity": message.severity}
    return {
        "specversion": "1.0",
        "id": delivery["id"],
        "source": "levare",
        "type": f"levare.alert.{delivery['news']}",
        "subject": delivery["rule"],
        "time": delivery["created_at"].isoformat(),
        "datacontenttype": "application/json",
        "data": {**said, **message.data},
    }


def signed(delivery_id: str, body: bytes, key: str, *, at: int) -> dict[str, str]:
    """A key that begins with `whsec_` is base64 behind that; any other is itself."""
    content = f"{delivery_id}.{at}.".encode() + body
    signature = b64encode(hmac.new(_key(key), content, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def _key(key: str) -> bytes:
    try:
        return b64decode(key.removeprefix(_PREFIX), validate=True) if key.startswith(_PREFIX) else key.encode()
    except NoBase64:
        raise Undelivered("The key begins with whsec_, but what follows is no base64.") from None


def _post(url: str, body: bytes, headers: Mapping[str, str], reach: Reach) -> int:
    """The status; to the address that was looked at, without redirects or proxies, and bounded in time and size."""
    parts = urlsplit(url)
    host, is_safe = parts.hostname or "", parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not host:
        raise Undelivered("Its URL is no http:// or https:// address.")
    port = parts.port or (443 if is_safe else 80)
    address = reach.address_of(host, port)
    target = httpx.URL(url).copy_with(host=address, port=port)
    asked = {**headers, "host": parts.netloc.rpartition("@")[2]}
    extensions = {"sni_hostname": host} if is_safe else {}
    until = time.monotonic() + _DEADLINE_SECONDS
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False, verify=is_safe) as client,
            client.stream("POST", target, content=body, headers=asked, extensions=extensions) as answer,
        ):
            _drain(answer, until)
            return answer.status_code
    except httpx.HTTPError as error:
        raise Undelivered(f"{host} could not be reached: {_kind(error)}.") from None


def _drain(answer: httpx.Response, until: float) -> None:
    size = 0
    for piece in answer.iter_raw():
        size += len(piece)
        if size > _MOST_BYTES or time.monotonic() > until:
            return


def _kind(error: httpx.HTTPError) -> str:
    """Without what was asked, which may hold a secret."""
    text = str(error)
    return f"{type(error).__name__}{f', {text}' if text and '://' not in text else ''}"


def _judge(status: int) -> None:
    if httpx.codes.is_redirect(status):
        raise Undelivered(f"It answered {status}: redirects are not followed, so give the address that it leads to.")
    if not httpx.codes.is_success(status):
        raise Undelivered(f"It answered {status}.", is_final=status == _GONE)
