"""The `LEVARE_*` variables of the processes: read once, checked, frozen. One sentence each."""

import os
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import TypeVar

from levare.errors import InvalidSetting
from levare.written import amount, duration_seconds, label, simulated_devices, size_mib

Value = TypeVar("Value")

_SHORTEST_HALF_LIFE, _LONGEST_HALF_LIFE = timedelta(hours=1), timedelta(days=366)
_COMPANIONS = "Xorg,Xwayland,gnome-shell,kwin_wayland,nvidia-cuda-mps-server"
_UNIX_PATH_LIMIT = 100  # sun_path holds 108 bytes with its end mark
_LONGEST_CURRENCY = 8
_DATABASES = ("postgresql://", "postgresql+psycopg://", "postgres://", "sqlite:///")
_REDIS = ("redis://", "rediss://", "unix://")
_GIVEN_LABELS = ("node", "gpu")  # the worker sets them


@dataclass(frozen=True)
class Settings:
    home: Path
    """LEVARE_HOME: the state directory, `.levare` by default."""
    secrets: Path
    """LEVARE_SECRETS: the folder of secrets, a 0600 file each, read by beat and workers; LEVARE_HOME/secrets."""
    database: str
    """LEVARE_DATABASE: SQLAlchemy URL; SQLite in the state directory by default."""
    redis: str
    """LEVARE_REDIS: URL of Redis or Valkey; empty for the embedded one on a unix socket."""
    host: str
    """LEVARE_HOST: the address that the API listens on, 127.0.0.1 by default."""
    port: int
    """LEVARE_PORT: the port of the API, 8420 by default."""
    names: tuple[str, ...]
    """LEVARE_NAMES: names by which the API is reached besides its own, separated by commas; none by default."""
    tls_cert: Path | None
    """LEVARE_TLS_CERT: a file with the certificate of the API and its chain; without one it speaks plain HTTP."""
    tls_key: Path | None
    """LEVARE_TLS_KEY: the file with the private key of that certificate."""
    insecure: bool
    """LEVARE_INSECURE: 1 lets the API listen beyond loopback without TLS; it refuses by default."""
    rate: int
    """LEVARE_RATE: how many requests a second one token may make, 500 by default; 0 for any number."""
    flower_port: int
    """LEVARE_FLOWER_PORT: the port of Flower on loopback, 5555 by default."""
    flower_actions: bool
    """LEVARE_FLOWER_ACTIONS: 1 lets Flower terminate jobs; it is read-only by default."""
    node: str
    """LEVARE_NODE: this machine's name in the fleet, the host name by default."""
    cpus: int
    """LEVARE_CPUS: CPUs this node offers, all that the process may use by default."""
    memory_mib: int | None
    """LEVARE_MEMORY: memory this node offers, such as 64GiB; all of it by default."""
    labels: Mapping[str, str]
    """LEVARE_LABELS: what jobs may require of this node, such as zone=a,disk=nvme; none by default."""
    resources: Mapping[str, int]
    """LEVARE_RESOURCES: countable things that this node has, such as licence=3; none by default."""
    scratch_mib: int | None
    """LEVARE_SCRATCH: disk space that this node offers, such as 2TiB; what is free beside LEVARE_HOME by default."""
    price: float | None
    """LEVARE_PRICE: what an hour of this whole node costs, such as 2.50; none by default."""
    currency: str
    """LEVARE_CURRENCY: the currency of all prices, such as EUR, read by web; none by default."""
    address: str
    """LEVARE_ADDRESS: where other nodes reach this one; by default the address from which it reaches the database."""
    licences: Mapping[str, int]
    """LEVARE_LICENCES: countable things of the whole fleet, such as matlab=5, read by beat and web; none by default."""
    simulated_gpus: str
    """LEVARE_SIMULATED_GPUS: such as 4x80GiB; GPUs that exist only in the bookkeeping."""
    gpus: tuple[str, ...] | None
    """LEVARE_GPUS: UUIDs, separated by commas, of the real GPUs that this node offers, or `none`; all by default."""
    node_database: str
    """LEVARE_NODE_DATABASE: the database as other machines reach it, read by web; LEVARE_DATABASE by default."""
    node_redis: str
    """LEVARE_NODE_REDIS: Redis as other machines reach it, read by web; LEVARE_REDIS by default."""
    gpu_companions: tuple[str, ...]
    """LEVARE_GPU_COMPANIONS: programs, separated by commas, that may use GPUs beside jobs; by default a desktop's."""
    mlflow: bool
    """LEVARE_MLFLOW: 0 gives jobs no address for MLflow; by default scripts that log to MLflow log to levare."""
    reap_orphans: bool
    """LEVARE_REAP_ORPHANS: 1 lets the worker end proven orphans by itself; it waits to be told by default."""
    lost_after: timedelta
    """LEVARE_LOST_AFTER: seconds without a renewed lease until a node is lost, 60 by default."""
    half_life: timedelta
    """LEVARE_HALF_LIFE: after which use of the fleet weighs half in the order of teams, 7d by default."""
    channel_networks: tuple[str, ...]
    """LEVARE_CHANNEL_NETWORKS: private networks that channels may reach, such as 10.0.0.0/8, read by beat; none."""
    log_limit_mib: int
    """LEVARE_LOG_LIMIT: how much of a log is kept, half from its head and half from its tail, 8MiB by default."""
    log_format: str
    """LEVARE_LOG_FORMAT: `console` or `json`; by default console on a terminal and json elsewhere."""

    @property
    def scheme(self) -> str:
        """Of the address of the API."""
        return "https" if self.tls_cert else "http"

    @property
    def renew_every(self) -> timedelta:
        return self.lost_after / 12

    @property
    def stop_after(self) -> timedelta:
        """When a node that cannot renew ends what may be started elsewhere, well before it is declared lost."""
        return self.lost_after / 2

    @property
    def fence_grace(self) -> timedelta:
        """From TERM to KILL when a node fences itself; another quarter is left for drift."""
        return self.lost_after / 4

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def token_file(self) -> Path:
        return self.home / "admin.token"

    @property
    def embedded_socket(self) -> Path:
        """Where the embedded Valkey listens."""
        return socket_path(self.home / "valkey", "valkey.sock")

    @property
    def redis_url(self) -> str:
        """Of the given Redis, or of the embedded one; its password goes only into a folder of this user's."""
        folder = self.embedded_socket.parent
        if not self.redis and folder.exists() and folder.stat().st_uid != os.getuid():
            raise InvalidSetting(f"{folder} belongs to another user.", "Set LEVARE_HOME to a shorter path.")
        return self.redis or f"unix://:{self.secret}@{self.embedded_socket}"

    @property
    def secret(self) -> str:
        """The password of the embedded Valkey and of Flower's page; made at first use, readable by this user only."""
        return kept_secret(self.home / "secret")


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the variables; raise InvalidSetting with the variable, its value and what is allowed."""
    home = Path(environ.get("LEVARE_HOME") or ".levare").absolute()
    tls = _tls(environ)
    return Settings(
        home=home,
        secrets=Path(environ.get("LEVARE_SECRETS") or home / "secrets").absolute(),
        database=_absolute(_url(environ, "LEVARE_DATABASE", _DATABASES) or f"sqlite:///{home / 'levare.db'}"),
        redis=_url(environ, "LEVARE_REDIS", _REDIS),
        host=environ.get("LEVARE_HOST") or "127.0.0.1",
        port=_whole(environ, "LEVARE_PORT", 8420, low=0, high=65535),
        names=tuple(name.lower() for name in _names(environ, "LEVARE_NAMES", "")),
        tls_cert=tls.get("tls_cert"),
        tls_key=tls.get("tls_key"),
        insecure=_whole(environ, "LEVARE_INSECURE", 0, low=0, high=1) == 1,
        rate=_whole(environ, "LEVARE_RATE", 500, low=0, high=1_000_000),
        flower_port=_whole(environ, "LEVARE_FLOWER_PORT", 5555, low=0, high=65535),
        flower_actions=_whole(environ, "LEVARE_FLOWER_ACTIONS", 0, low=0, high=1) == 1,
        node=_node(environ),
        cpus=_whole(environ, "LEVARE_CPUS", len(os.sched_getaffinity(0)), low=1, high=65536),
        memory_mib=_size(environ, "LEVARE_MEMORY"),
        labels=_labels(environ),
        resources=_listed(environ, "LEVARE_RESOURCES", amount),
        scratch_mib=_size(environ, "LEVARE_SCRATCH"),
        price=_price(environ),
        currency=_currency(environ),
        address=_address(environ),
        licences=_listed(environ, "LEVARE_LICENCES", amount),
        simulated_gpus=_simulated(environ),
        gpus=_gpus(environ),
        node_database=_url(environ, "LEVARE_NODE_DATABASE", _DATABASES),
        node_redis=_url(environ, "LEVARE_NODE_REDIS", _REDIS),
        gpu_companions=_names(environ, "LEVARE_GPU_COMPANIONS", _COMPANIONS),
        mlflow=_whole(environ, "LEVARE_MLFLOW", 1, low=0, high=1) == 1,
        reap_orphans=_whole(environ, "LEVARE_REAP_ORPHANS", 0, low=0, high=1) == 1,
        lost_after=timedelta(seconds=_whole(environ, "LEVARE_LOST_AFTER", 60, low=4, high=86400)),
        half_life=_half_life(environ),
        channel_networks=_networks(environ),
        log_limit_mib=_size(environ, "LEVARE_LOG_LIMIT") or 8,
        log_format=_log_format(environ),
    )


def is_loopback(host: str) -> bool:
    """Whether nobody outside of this machine can reach what listens there."""
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def refuse_open(settings: Settings) -> None:
    """Beyond loopback anybody on the way reads the tokens of what is not encrypted."""
    if not (settings.tls_cert or settings.insecure or is_loopback(settings.host)):
        raise InvalidSetting(
            f"LEVARE_HOST is {settings.host}: the API would be reached from other machines without encryption.",
            "Set LEVARE_TLS_CERT and LEVARE_TLS_KEY, or LEVARE_INSECURE=1 if something before it speaks TLS.",
        )


def kept_secret(path: Path) -> str:
    """The secret in a 0600 file, made if there is none; whoever comes first decides, all others read the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()


def socket_path(folder: Path, name: str) -> Path:
    """The path of a unix socket in a folder of ours; in a short 0700 folder of this user's where that is too long."""
    if len(str(folder / name)) <= _UNIX_PATH_LIMIT:
        return folder / name
    digest = sha256(str(folder).encode()).hexdigest()[:16]
    return Path(f"/tmp/levare-{os.getuid()}-{digest}") / name  # noqa: S108 - its maker checks its owner


def _url(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """Empty where it is not set. It may hold a password, so that a wrong one is not repeated beyond its beginning."""
    url = environ.get(name) or ""
    if url and not url.startswith(allowed):
        scheme, mark, _ = url.partition("://")
        begins = f"begins with {scheme + mark!r}" if mark else "is no URL"
        raise InvalidSetting(f"{name} {begins}.", f"It begins with {' or '.join(allowed)}.")
    return url


def _absolute(database: str) -> str:
    """A SQLite file named relative to the working directory keeps its place when that changes."""
    scheme, mark, path = database.partition(":///")
    return f"{scheme}{mark}{Path(path).absolute()}" if scheme.startswith("sqlite") and path else database


def _whole(environ: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise InvalidSetting(f"{name} is {text!r}.", f"Set a whole number from {low} to {high}.")
    return int(text)


def _names(environ: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    """What is set but empty is none."""
    return tuple(each.strip() for each in environ.get(name, default).split(",") if each.strip())


def _gpus(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Empty is all, for so is what is not set; none of them has a name of its own."""
    named = _names(environ, "LEVARE_GPUS", "")
    return () if named == ("none",) else named or None


def _tls(environ: Mapping[str, str]) -> Mapping[str, Path]:
    """Both files or none, by the names of the settings."""
    found = {name: environ.get(name) or "" for name in ("LEVARE_TLS_CERT", "LEVARE_TLS_KEY")}
    missing = [name for name, text in found.items() if not text]
    if len(missing) == 1:
        raise InvalidSetting(f"{missing[0]} is not set, but its other half is.", "Set both files, or none of them.")
    for name, text in found.items():
        if text and not Path(text).is_file():
            raise InvalidSetting(f"{name} is {text!r}, which is no file.", "Set it to a PEM file.")
    return {name.removeprefix("LEVARE_").lower(): Path(text).absolute() for name, text in found.items() if text}


def _size(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    try:
        return size_mib(text) if text else None
    except ValueError as error:
        raise InvalidSetting(f"{name}: {error}.", "Set a number with MiB, GiB or TiB.") from None


def _price(environ: Mapping[str, str]) -> float | None:
    text = environ.get("LEVARE_PRICE") or ""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise InvalidSetting(f"LEVARE_PRICE is {text!r}.", "Set the price of an hour as a number such as 2.50.")
    return float(text)


def _currency(environ: Mapping[str, str]) -> str:
    text = environ.get("LEVARE_CURRENCY") or ""
    if len(text) > _LONGEST_CURRENCY or not text.isprintable() or " " in text:
        raise InvalidSetting(
            f"LEVARE_CURRENCY is {text!r}.", f"Set at most {_LONGEST_CURRENCY} characters without spaces, such as EUR."
        )
    return text


def _half_life(environ: Mapping[str, str]) -> timedelta:
    text = environ.get("LEVARE_HALF_LIFE") or "7d"
    try:
        half_life = timedelta(seconds=duration_seconds(text))
    except (ValueError, OverflowError):
        half_life = timedelta()
    if not _SHORTEST_HALF_LIFE <= half_life <= _LONGEST_HALF_LIFE:
        raise InvalidSetting(f"LEVARE_HALF_LIFE is {text!r}.", "Set a duration from 1h to 366d, such as 7d.")
    return half_life


def _networks(environ: Mapping[str, str]) -> tuple[str, ...]:
    found = _names(environ, "LEVARE_CHANNEL_NETWORKS", "")
    for each in found:
        try:
            ip_network(each)
        except ValueError as error:
            raise InvalidSetting(
                f"LEVARE_CHANNEL_NETWORKS: {error}.", "Set networks with commas between them, such as 10.0.0.0/8."
            ) from None
    return found


def _labels(environ: Mapping[str, str]) -> Mapping[str, str]:
    labels = _listed(environ, "LEVARE_LABELS", label)
    for name in _GIVEN_LABELS:
        if name in labels:
            raise InvalidSetting(
                f"LEVARE_LABELS sets {name!r} to {labels[name]!r}, but each node says that of itself.",
                f"Leave it out, or call it otherwise; {' and '.join(_GIVEN_LABELS)} are taken.",
            )
    return labels


def _listed(environ: Mapping[str, str], name: str, read: Callable[[str], tuple[str, Value]]) -> Mapping[str, Value]:
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


def _address(environ: Mapping[str, str]) -> str:
    text = environ.get("LEVARE_ADDRESS") or ""
    if text and not _is_ip(text) and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise InvalidSetting(
            f"LEVARE_ADDRESS is {text!r}.", "Set an IP address or a host name without a port, such as 10.0.0.7."
        )
    return text


def _is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _simulated(environ: Mapping[str, str]) -> str:
    text = environ.get("LEVARE_SIMULATED_GPUS", "")
    try:
        simulated_devices(text) if text else None
    except ValueError as error:
        raise InvalidSetting(f"LEVARE_SIMULATED_GPUS: {error}.", "Set it to, for example, 4x80GiB.") from None
    return text


def _node(environ: Mapping[str, str]) -> str:
    name = environ.get("LEVARE_NODE") or re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower()) or "node"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise InvalidSetting(
            f"LEVARE_NODE is {name!r}.", "Use at most 63 lower-case letters, digits and inner hyphens."
        )
    return name


def _log_format(environ: Mapping[str, str]) -> str:
    text = environ.get("LEVARE_LOG_FORMAT", "")
    if text not in ("", "console", "json"):
        raise InvalidSetting(f"LEVARE_LOG_FORMAT is {text!r}.", "Set it to console or json.")
    return text
