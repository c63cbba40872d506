"""
What is worked out once for a node, and not again as long as nothing of the node changes.

Beat reads a node of which all is as it was as the same object, so what is asked of thousands of runs costs as much as
those of them that changed. What is said here is true of the node at any time; what depends on now is not.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from levare.model import Node

Answer = TypeVar("Answer")
_BEGIN, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def once(ask: Callable[[Node], Answer]) -> Callable[[Node], Answer]:
    """A pure question, which each node is asked once; nobody may change the answer."""
    name = f"{ask.__module__}.{ask.__qualname__}"

    @wraps(ask)
    def answer(node: Node) -> Answer:
        known: dict[str, Any] = vars(node)
        if name not in known:
            known[name] = ask(node)
        return known[name]

    return answer


def instant(moment: datetime) -> int:
    """In whole microseconds since 1970, which are quick to reckon with."""
    return (moment - _BEGIN) // _MICROSECOND


def span(time: timedelta) -> int:
    """In whole microseconds."""
    return time // _MICROSECOND
