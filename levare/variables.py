"""Reads one variable of the environment each: its value, or InvalidSetting that names it and says what to set."""

import re
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

from levare.errors import InvalidSetting
from levare.written import duration_seconds, label, simulated_devices, size_mib

Value = TypeVar("Value")
Environ = Mapping[str, str]

_SHORTEST_HALF_LIFE, _LONGEST_HALF_LIFE = timedelta(hours=1), timedelta(days=366)
_LONGEST_CURRENCY = 8
_GIVEN_LABELS = ("node", "gpu")  # the worker sets them
DATABASES = ("postgresql://", "postgresql+psycopg://", "postgres://", "sqlite:///")
REDISES = ("redis://", "rediss://", "unix://")


def database(environ: Environ, name: str, *, home: Path) -> str:
    """An SQLAlchemy URL, of SQLite in `home` by default; a file keeps its place when the working directory changes."""
    scheme, mark, path = (url(environ, name, DATABASES) or f"sqlite:///{home / 'levare.db'}").partition(":///")
    if not scheme.startswith("sqlite"):
        return f"{scheme}{mark}{path}"
    if not path or path == ":memory:":
        raise InvalidSetting(f"{name} names no file.", "Set it to sqlite:////path/to/file.")
    return f"{scheme}{mark}{Path(path).absolute()}"


def url(environ: Environ, name: str, allowed: tuple[str, ...]) -> str:
    """Empty where it is not set. It may hold a password, so that a wrong one is not repeated beyond its beginning."""
    found = environ.get(name) or ""
    if found and not found.startswith(allowed):
        scheme, mark, _ = found.partition("://")
        begins = f"begins with {scheme + mark!r}" if mark else "is no URL"
        raise InvalidSetting(f"{name} {begins}.", f"It begins with {' or '.join(allowed)}.")
    return found


def whole(environ: Environ, name: str, default: int, *, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise InvalidSetting(f"{name} is {text!r}.", f"Set a whole number from {low} to {high}.")
    return int(text)


def names(environ: Environ, name: str, default: str) -> tuple[str, ...]:
    """What is set but empty is none."""
    return tuple(each.strip() for each in environ.get(name, default).split(",") if each.strip())


def gpus(environ: Environ, name: str) -> tuple[str, ...] | None:
    """Empty is all, for so is what is not set; none of them has a name of its own."""
    named = names(environ, name, "")
    return () if named == ("none",) else named or None


def tls(environ: Environ, *names: str) -> list[Path | None]:
    """The files of the certificate and of its key: both or none."""
    found = {name: environ.get(name) or "" for name in names}
    missing = [name for name, text in found.items() if not text]
    if len(missing) == 1:
        raise InvalidSetting(f"{missing[0]} is not set, but its other half is.", "Set both files, or none of them.")
    for name, text in found.items():
        if text and not Path(text).is_file():
            raise InvalidSetting(f"{name} is {text!r}, which is no file.", "Set it to a PEM file.")
    return [Path(text).absolute() if text else None for text in found.values()]


def size(environ: Environ, name: str) -> int | None:
    text = environ.get(name)
    try:
        return size_mib(text) if text else None
    except ValueError as error:
        raise InvalidSetting(f"{name}: {error}.", "Set a number with MiB, GiB or TiB.") from None


def price(environ: Environ, name: str) -> float | None:
    text = environ.get(name) or ""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise InvalidSetting(f"{name} is {text!r}.", "Set the price of an hour as a number such as 2.50.")
    return float(text)


def currency(environ: Environ, name: str) -> str:
    text = environ.get(name) or ""
    if len(text) > _LONGEST_CURRENCY or not text.isprintable() or " " in text:
        raise InvalidSetting(
            f"{name} is {text!r}.", f"Set at most {_LONGEST_CURRENCY} characters without spaces, such as EUR."
        )
    return text


def half_life(environ: Environ, name: str) -> timedelta:
    text = environ.get(name) or "7d"
    try:
        found = timedelta(seconds=duration_seconds(text))
    except (ValueError, OverflowError):
        found = timedelta()
    if not _SHORTEST_HALF_LIFE <= found <= _LONGEST_HALF_LIFE:
        raise InvalidSetting(f"{name} is {text!r}.", "Set a duration from 1h to 366d, such as 7d.")
    return found


def networks(environ: Environ, name: str) -> tuple[str, ...]:
    found = names(environ, name, "")
    for each in found:
        try:
            ip_network(each)
        except ValueError as error:
            raise InvalidSetting(
                f"{name}: {error}.", "Set networks with commas between them, such as 10.0.0.0/8."
            ) from None
    return found


def labels(environ: Environ, name: str) -> Mapping[str, str]:
    found = listed(environ, name, label)
    for given in _GIVEN_LABELS:
        if given in found:
            raise InvalidSetting(
                f"{name} sets {given!r} to {found[given]!r}, but each node says that of itself.",
                f"Leave it out, or call it otherwise; {' and '.join(_GIVEN_LABELS)} are taken.",
            )
    return found


def listed(environ: Environ, name: str, read: Callable[[str], tuple[str, Value]]) -> Mapping[str, Value]:
    """Pairs between commas."""
    found: dict[str, Value] = {}
    for text in (environ.get(name) or "").split(","):
        if not text.strip():
            continue
        try:
            key, value = read(text)
        except ValueError as error:
            raise InvalidSetting(f"{name}: {error}.", "Set pairs of NAME=VALUE with commas between them.") from None
        if key in found:
            raise InvalidSetting(f"{name} names {key!r} twice.", "Name each once.")
        found[key] = value
    return found


def address(environ: Environ, name: str) -> str:
    text = environ.get(name) or ""
    if text and not is_ip(text) and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise InvalidSetting(
            f"{name} is {text!r}.", "Set an IP address or a host name without a port, such as 10.0.0.7."
        )
    return text


def is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def simulated(environ: Environ, name: str) -> str:
    text = environ.get(name, "")
    try:
        simulated_devices(text) if text else None
    except ValueError as error:
        raise InvalidSetting(f"{name}: {error}.", "Set it to, for example, 4x80GiB.") from None
    return text


def node(environ: Environ, name: str) -> str:
    found = environ.get(name) or re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower()) or "node"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", found):
        raise InvalidSetting(f"{name} is {found!r}.", "Use at most 63 lower-case letters, digits and inner hyphens.")
    return found


def log_format(environ: Environ, name: str) -> str:
    text = environ.get(name, "")
    if text not in ("", "console", "json"):
        raise InvalidSetting(f"{name} is {text!r}.", "Set it to console or json.")
    return text
