"""Where the API is and which token opens it: told, from the environment, or from a state directory near by."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from levare.errors import InvalidSetting

DEFAULT_URL = "http://127.0.0.1:8420"


@dataclass(frozen=True)
class Address:
    """
    `url_from` and `token_from` say in words where each was found.

    `certificate` is that of an API on this machine that speaks TLS.
    """

    url: str
    url_from: str
    token: str | None = field(repr=False)
    token_from: str
    home: Path | None
    certificate: Path | None = None


def find(
    url: str | None = None,
    token: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Address:
    """
    The API's address and token: an argument first, then LEVARE_URL and LEVARE_TOKEN, then the state directory.

    The token of a state directory goes only to the address that the same directory names.
    """
    home = home_near(environ, directory)
    address, url_from = _url(url, environ, home)
    trusted = home if home and _text(home / "address") == address else None
    secret, token_from = _token(token, environ, trusted)
    checked, secret = _checked_url(address, url_from), _checked_token(secret, token_from)
    return Address(checked, url_from, secret, token_from, home, _certificate(trusted))


def home_near(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> Path | None:
    """
    LEVARE_HOME, else the nearest `.levare` from here upwards.

    One that belongs to somebody else is passed over: whoever may write to a directory above
    ours must not be able to lead our token and our commands elsewhere.
    """
    if environ.get("LEVARE_HOME"):
        return Path(environ["LEVARE_HOME"]).absolute()
    return next(_homes(directory or Path.cwd()), None)


def _homes(directory: Path) -> Iterator[Path]:
    for above in (directory, *directory.parents):
        home = above / ".levare"
        if home.is_dir() and home.stat().st_uid in (os.getuid(), 0):
            yield home


def _url(told: str | None, environ: Mapping[str, str], home: Path | None) -> tuple[str, str]:
    if told:
        return told.rstrip("/"), "the argument"
    if environ.get("LEVARE_URL"):
        return environ["LEVARE_URL"].rstrip("/"), "LEVARE_URL"
    if home and (written := _text(home / "address")):
        return written, str(home / "address")
    return DEFAULT_URL, "the default"


def _token(told: str | None, environ: Mapping[str, str], home: Path | None) -> tuple[str | None, str]:
    if told:
        return told, "the argument"
    if environ.get("LEVARE_TOKEN"):
        return environ["LEVARE_TOKEN"].strip(), "LEVARE_TOKEN"
    if home and (written := _text(home / "admin.token")):
        return written, str(home / "admin.token")
    return None, "nowhere"


def _certificate(home: Path | None) -> Path | None:
    path = home and home / "certificate.pem"
    return path if path and path.exists() else None


def _text(path: Path) -> str | None:
    """The stripped text of a file, or None when there is none that this user may read."""
    try:
        return path.read_text(encoding="utf-8").strip().rstrip("/") or None
    except OSError:
        return None


def _checked_url(url: str, url_from: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidSetting(f"The address of the API from {url_from} is {url!r}.", f"Write it as {DEFAULT_URL}.")
    return url


def _checked_token(token: str | None, token_from: str) -> str | None:
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidSetting(f"The token from {token_from} has characters that no token has.", "Copy it again.")
    return token
