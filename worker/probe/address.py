"""Where the other nodes reach this one."""

import socket

from sqlalchemy import make_url

from levare.settings import Settings

_LOOPBACK = "127.0.0.1"
_ANYWHERE = ("192.0.2.1", 9)  # belongs to nobody (RFC 5737); nothing is sent there
_POSTGRESQL_PORT = 5432


def address(settings: Settings) -> str:
    """
    As set, or else the address from which this machine reaches its database, for there others reach it too.

    With SQLite there are no others. A database on this very machine tells nothing: then it is the address of the
    route to anywhere, and without one the host name.
    """
    url = make_url(settings.database)
    if settings.address:
        return settings.address
    if url.get_backend_name() == "sqlite":
        return _LOOPBACK
    database = (url.host, url.port or _POSTGRESQL_PORT) if url.host else _ANYWHERE
    return own_address_towards(*database) or own_address_towards(*_ANYWHERE) or socket.gethostname()


def own_address_towards(host: str, port: int) -> str | None:
    """What packets to there would come from; None for a loopback address, or where no way leads there."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)  # of a datagram socket: it only asks for the route
            own: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if own.startswith("127.") or own == "::1" else own
