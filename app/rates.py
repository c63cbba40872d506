"""How much one token, or one address without a token, may ask: a bucket for each, that fills again with time."""

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from math import ceil

from levare.errors import Fault, TooManyRequests

_MOST_BUCKETS = 10_000
_IPV6_PREFIX = 64
"""Whoever has one IPv6 address has so many bits of them."""
STRANGERS_PER_SECOND, STRANGERS_AT_ONCE = 50, 200


@dataclass
class Buckets:
    """
    At most `per_second` of each key, and `at_once` of them in a burst; 0 bounds nothing.

    A bounded number of keys is remembered, those that asked last.
    """

    per_second: float
    at_once: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, key: str, now: float) -> float:
        """Take one, and return 0; or the seconds until there is one. `now` is monotonic."""
        if not self.per_second:
            return 0.0
        left = self._now(key, now)
        is_enough = left >= 1
        self._left[key] = (left - 1 if is_enough else left, now)
        self._left.move_to_end(key)
        if len(self._left) > _MOST_BUCKETS:
            self._left.popitem(last=False)
        return 0.0 if is_enough else (1 - left) / self.per_second

    def is_empty(self, key: str, now: float) -> bool:
        """Whether nothing is left; it takes nothing."""
        return bool(self.per_second) and key in self._left and self._now(key, now) < 1

    def _now(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self.at_once, now))
        return min(self.at_once, left + (now - at) * self.per_second)


def refuse(seconds: float, most: float, *, who: str) -> TooManyRequests:
    wait = max(1, ceil(seconds))
    fault = Fault("requests", "are too many", None, f"{most:g} a second")
    return TooManyRequests(
        f"{who} asks more than {most:g} times a second.", f"Ask again in {wait} s.", [fault], retry_after_seconds=wait
    )


def stranger(address: str) -> str:
    """The key of an address; of IPv6 that of its network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or int(found) >> (128 - _IPV6_PREFIX))
    return address
