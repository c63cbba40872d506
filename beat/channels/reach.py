"""Where a channel may connect to: not into the machine or the network behind it, unless the operator allows that."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from beat.channels.undelivered import Undelivered

Address = IPv4Address | IPv6Address


class Reach:
    """`allowed` are networks such as 10.0.0.0/8; what is global is always allowed."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = [ip_network(each) for each in allowed]

    def address_of(self, host: str, port: int) -> str:
        """An address of the host to connect to, and to no other: what a second look-up says may differ."""
        found = _resolved(host, port)
        permitted = [address for address in found if self._is_permitted(address)]
        if not permitted:
            raise Undelivered(
                f"{_named(host, found[0])} private: the operator may allow it with LEVARE_CHANNEL_NETWORKS."
            )
        return str(permitted[0])

    def _is_permitted(self, address: Address) -> bool:
        inner = _inner(address)
        if any(each in network for each in (address, inner) for network in self._allowed):
            return True
        return all(each.is_global and not each.is_multicast for each in (address, inner))


def _named(host: str, address: Address) -> str:
    return f"{host} is" if host == str(address) else f"{host} is {address}, which is"


def _inner(address: Address) -> Address:
    """The IPv4 address that one of IPv6 stands for."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or _nat64(address) or address


def _nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _resolved(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undelivered(f"There is no host {host}.") from None
    return [ip_address(str(each[4][0]).partition("%")[0]) for each in found]


_NAT64 = ip_network("64:ff9b::/96")
