"""
A webhook: each message is a CloudEvent 1.0, sent by POST and signed as Standard Webhooks have it.

`webhook-id` is the id of the delivery, the same at each try. `webhook-signature` is `v1,` and the HMAC-SHA256, in
base64, of `id.timestamp.body`. A receiver refuses what is older than a few minutes, and what it has seen.
"""

import hashlib
import hmac
import json
import re
import time
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from beat.channels.reach import Reach
from beat.channels.secrets import Secrets
from beat.channels.undelivered import Undelivered
from levare.decide.alerts.telling import Message

Row = Mapping[str, Any]
Answer = tuple[int, str]
"""The status, and after how long it wants to be asked again, if it says that."""
_TIMEOUT = httpx.Timeout(8.0, connect=5.0)
DEADLINE_SECONDS = 15.0
"""Of all of it: a receiver that sends a byte now and then meets no other limit."""
_MOST_BYTES = 64 * 1024
_GONE = 410
_PREFIX = "whsec_"
_SECONDS = re.compile(r"^[0-9]{1,6}$")


def send(definition: Row, message: Message, delivery: Row, *, secrets: Secrets, reach: Reach) -> None:
    """Raise Undelivered unless it was answered with 2xx."""
    url = secrets.value(definition["url"])
    body = json.dumps(event(message, delivery), ensure_ascii=False).encode()
    headers = {"content-type": "application/cloudevents+json", "user-agent": "levare"}
    if definition.get("key"):
        headers |= signed(delivery["id"], body, secrets.value(definition["key"]), at=int(time.time()))
    _judge(*_post(url, body, headers, reach))


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


def _post(url: str, body: bytes, headers: Mapping[str, str], reach: Reach) -> Answer:
    """To the address that was looked at, without redirects or proxies, and bounded in time and size."""
    parts = urlsplit(url)
    host, is_safe = parts.hostname or "", parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not host:
        raise Undelivered("Its URL is no http:// or https:// address.")
    port = parts.port or (443 if is_safe else 80)
    address = reach.address_of(host, port)
    target = httpx.URL(url).copy_with(host=address, port=port)
    asked = {**headers, "host": parts.netloc.rpartition("@")[2]}
    request = httpx.Request(
        "POST", target, content=body, headers=asked, extensions={"sni_hostname": host} if is_safe else {}
    )
    try:
        answer = anyio.run(partial(_answer, request, is_safe=is_safe))
    except httpx.HTTPError as error:
        raise Undelivered(f"{host} could not be reached: {_kind(error)}.") from None
    if answer is None:
        raise Undelivered(f"{host} has not answered within {DEADLINE_SECONDS:g} s.")
    return answer


async def _answer(request: httpx.Request, *, is_safe: bool) -> Answer | None:
    """What was answered in time. Whatever becomes of its body, it was said by then."""
    found: Answer | None = None
    with anyio.move_on_after(DEADLINE_SECONDS):
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, verify=is_safe) as client:
            response = await client.send(request, stream=True)
            found = response.status_code, response.headers.get("retry-after", "")
            with suppress(httpx.HTTPError):
                await _drain(response)
    return found


async def _drain(response: httpx.Response) -> None:
    size = 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > _MOST_BYTES:
            return


def _kind(error: httpx.HTTPError) -> str:
    """Without what was asked, which may hold a secret."""
    text = str(error)
    return f"{type(error).__name__}{f', {text}' if text and '://' not in text else ''}"


def _judge(status: int, retry_after: str) -> None:
    if httpx.codes.is_redirect(status):
        raise Undelivered(f"It answered {status}: redirects are not followed, so give the address that it leads to.")
    if not httpx.codes.is_success(status):
        pause = timedelta(seconds=int(retry_after)) if _SECONDS.match(retry_after) else timedelta()
        raise Undelivered(f"It answered {status}.", is_final=status == _GONE, pause=pause)
