"""The `LEVARE_*` variables of the processes: read once, checked, frozen. One sentence each."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex, token_urlsafe

from levare import variables
from levare.errors import InvalidSetting
from levare.written import amount

_COMPANIONS = "Xorg,Xwayland,gnome-shell,kwin_wayland,nvidia-cuda-mps-server"
_UNIX_PATH_LIMIT = 100  # sun_path holds 108 bytes with its end mark


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
    def sqlite_file(self) -> Path | None:
        """The database, if it is a file."""
        scheme, _, path = self.database.partition(":///")
        return Path(path) if scheme.startswith("sqlite") else None

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
    tls_cert, tls_key = variables.tls(environ, "LEVARE_TLS_CERT", "LEVARE_TLS_KEY")
    return Settings(
        home=home,
        secrets=Path(environ.get("LEVARE_SECRETS") or home / "secrets").absolute(),
        database=variables.database(environ, "LEVARE_DATABASE", home=home),
        redis=variables.url(environ, "LEVARE_REDIS", variables.REDISES),
        host=environ.get("LEVARE_HOST") or "127.0.0.1",
        port=variables.whole(environ, "LEVARE_PORT", 8420, low=0, high=65535),
        names=tuple(name.lower() for name in variables.names(environ, "LEVARE_NAMES", "")),
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure=variables.whole(environ, "LEVARE_INSECURE", 0, low=0, high=1) == 1,
        rate=variables.whole(environ, "LEVARE_RATE", 500, low=0, high=1_000_000),
        flower_port=variables.whole(environ, "LEVARE_FLOWER_PORT", 5555, low=0, high=65535),
        flower_actions=variables.whole(environ, "LEVARE_FLOWER_ACTIONS", 0, low=0, high=1) == 1,
        node=variables.node(environ, "LEVARE_NODE"),
        cpus=variables.whole(environ, "LEVARE_CPUS", len(os.sched_getaffinity(0)), low=1, high=65536),
        memory_mib=variables.size(environ, "LEVARE_MEMORY"),
        labels=variables.labels(environ, "LEVARE_LABELS"),
        resources=variables.listed(environ, "LEVARE_RESOURCES", amount),
        scratch_mib=variables.size(environ, "LEVARE_SCRATCH"),
        price=variables.price(environ, "LEVARE_PRICE"),
        currency=variables.currency(environ, "LEVARE_CURRENCY"),
        address=variables.address(environ, "LEVARE_ADDRESS"),
        licences=variables.listed(environ, "LEVARE_LICENCES", amount),
        simulated_gpus=variables.simulated(environ, "LEVARE_SIMULATED_GPUS"),
        gpus=variables.gpus(environ, "LEVARE_GPUS"),
        node_database=variables.url(environ, "LEVARE_NODE_DATABASE", variables.DATABASES),
        node_redis=variables.url(environ, "LEVARE_NODE_REDIS", variables.REDISES),
        gpu_companions=variables.names(environ, "LEVARE_GPU_COMPANIONS", _COMPANIONS),
        mlflow=variables.whole(environ, "LEVARE_MLFLOW", 1, low=0, high=1) == 1,
        reap_orphans=variables.whole(environ, "LEVARE_REAP_ORPHANS", 0, low=0, high=1) == 1,
        lost_after=timedelta(seconds=variables.whole(environ, "LEVARE_LOST_AFTER", 60, low=4, high=86400)),
        half_life=variables.half_life(environ, "LEVARE_HALF_LIFE"),
        channel_networks=variables.networks(environ, "LEVARE_CHANNEL_NETWORKS"),
        log_limit_mib=variables.size(environ, "LEVARE_LOG_LIMIT") or 8,
        log_format=variables.log_format(environ, "LEVARE_LOG_FORMAT"),
    )


def is_loopback(host: str) -> bool:
    """Whether nobody outside of this machine can reach what listens there."""
    return host == "localhost" or (variables.is_ip(host) and ip_address(host).is_loopback)


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
