"""Requests that are tried again where that is safe, and answers that become values or errors of levare."""

import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from levare import errors
from levare.client.address import Address
from levare.client.parts import given

_BUSY = (429, 502, 503, 504)
_LONGEST_PAUSE = 2.0
_PAGE = 200
_WITHOUT_TOKEN = "Set LEVARE_TOKEN, or LEVARE_HOME to the state directory of the API on this machine."  # noqa: S105  # no secret
LONG_PATIENCE = 600.0
"""So many seconds what lasts waits for an API that is away."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Patience:
    """Pauses that double from 50 ms to 2 s, with jitter, until `total_seconds` have passed since the first failure."""

    total_seconds: float
    pause_seconds: float = 0.05
    since: float | None = None

    def pause(self) -> bool:
        """Wait before the next try; False when there is no patience left."""
        now = time.monotonic()
        self.since = self.since or now
        if now + self.pause_seconds - self.since > self.total_seconds:
            return False
        time.sleep(self.pause_seconds * random.uniform(0.8, 1.2))  # noqa: S311 (jitter is no secret)
        self.pause_seconds = min(2 * self.pause_seconds, _LONGEST_PAUSE)
        return True

    def restore(self) -> None:
        """Something answered: the next failure is a first one."""
        self.pause_seconds, self.since = 0.05, None


class Wire:
    """A pool of connections to one API; safe to use from several threads."""

    def __init__(
        self, address: Address, *, timeout: float, patience: float, transport: httpx.BaseTransport | None
    ) -> None:
        self.url = address.url
        self._patience = patience
        self._http = httpx.Client(
            base_url=address.url,
            headers=_headers(address),
            timeout=timeout,
            transport=transport,
            verify=_trust(address),
            trust_env=urlsplit(address.url).hostname not in _LOOPBACK,  # a proxy knows no loopback of ours
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self, method: str, path: str, *, repeatable: bool = True, patience: float | None = None, **options: Any
    ) -> httpx.Response:
        """
        The answer to a request, whatever its status.

        A `repeatable` request is sent again when the connection breaks or the API is busy; any
        other only when it is sure that nothing was received.
        """
        patient = Patience(self._patience if patience is None else patience)
        while True:
            try:
                response = self._http.request(method, path, **options)
            except httpx.RequestError as error:
                if not (repeatable or _never_sent(error)) or not patient.pause():
                    raise unreachable(self.url, error) from None
            else:
                if not _is_busy(response) or not repeatable or not patient.pause():
                    return response

    def checked(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request, or the error that it tells of."""
        response = self.send(method, path, **options)
        if response.status_code == httpx.codes.UNAUTHORIZED and "Authorization" not in self._http.headers:
            raise errors.Unauthorized(f"{self.url} asks for a token, and none was found.", _WITHOUT_TOKEN)
        if not response.is_success:
            raise problem(self.url, response)
        return response

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON that answers a request, or the error that the answer tells of."""
        return self.document(self.checked(method, path, **options))

    def document(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise _stranger(self.url, response) from None

    def pages(self, path: str, limit: int | None, **wanted: Any) -> Iterator[Any]:
        """At most `limit` items of a list; pages are fetched as they are needed, each by what the last one gave."""
        place, left = None, limit
        while left is None or left > 0:
            page = self.ask("GET", path, params=given({**wanted, "cursor": place, "limit": min(left or _PAGE, _PAGE)}))
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            place = page["next_cursor"]
            if not place:
                return

    @contextmanager
    def stream(self, path: str, *, params: Mapping[str, Any], last_event_id: str | None) -> Iterator[httpx.Response]:
        """One try at a stream of server-sent events; raises Unavailable when it cannot be had now."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        try:
            with self._http.stream("GET", path, params=params, headers=headers) as response:
                if not response.is_success:
                    response.read()
                    raise problem(self.url, response)
                yield response
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from None


def problem(url: str, response: httpx.Response) -> errors.LevareError:
    """The error that a problem document (RFC 9457) tells of, by its code; an unknown code keeps its name."""
    try:
        document = response.json()
        code = document["code"]
    except (ValueError, KeyError, TypeError):
        return _stranger(url, response)
    error = _kinds().get(code, errors.LevareError)(
        document.get("detail") or document.get("title") or f"{url} answered {response.status_code}.",
        document.get("next_step") or "",
        tuple(_fault(each) for each in document.get("errors") or ()),
    )
    error.code, error.status = code, response.status_code
    return error


def unreachable(url: str, error: httpx.RequestError) -> errors.Unavailable:
    """Why nothing was heard from the API, and what to do."""
    if isinstance(error, httpx.ConnectError) and "refused" in str(error).lower():
        return errors.Unavailable(f"Nothing answers at {url} (connection refused).", "Start it with `levare up`.")
    if isinstance(error, httpx.TimeoutException):
        return errors.Unavailable(f"{url} did not answer in time.", "Try again, or ask `levare doctor` what is wrong.")
    why = str(error) or type(error).__name__
    return errors.Unavailable(f"{url} cannot be reached ({why}).", "Check the address in LEVARE_URL, and the network.")


def _trust(address: Address) -> ssl.SSLContext | bool:
    """
    Over TLS the certificates that this machine trusts; of an API on this machine its own, and no other.

    Without TLS none: to load them for nothing takes 60 ms.
    """
    if not address.url.startswith("https:"):
        return False
    if address.certificate is None:
        return True
    context = ssl.create_default_context(cafile=str(address.certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it is this very certificate, whatever name it is for
    return context


def _headers(address: Address) -> dict[str, str]:
    return {"Authorization": f"Bearer {address.token}"} if address.token else {}


def _is_busy(response: httpx.Response) -> bool:
    """Whether the same request will be answered soon; one with its key may still be on its way through the API."""
    return response.status_code in _BUSY or (
        response.status_code == httpx.codes.CONFLICT and b'"code": "in-flight"' in response.content
    )


def _never_sent(error: httpx.RequestError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _stranger(url: str, response: httpx.Response) -> errors.LevareError:
    if response.status_code in _BUSY:
        return errors.Unavailable(f"{url} answered {response.status_code}.", "Try again in a moment.")
    what = f"{response.status_code} {response.headers.get('content-type', 'without a type')}"
    return errors.LevareError(f"{url} answered, but not as levare's API does ({what}).", "Check LEVARE_URL.")


def _fault(document: Mapping[str, Any]) -> errors.Fault:
    return errors.Fault(
        field=document.get("field") or "",
        message=document.get("message") or "",
        value=document.get("value"),
        limit=document.get("limit"),
    )


@cache
def _kinds() -> dict[str, type[errors.LevareError]]:
    return {kind.code: kind for kind in errors.LevareError.__subclasses__()}
