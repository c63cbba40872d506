"""Which endings are tried again, when, where not, and with how much memory."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from levare.decide.capacity import could_serve
from levare.decide.health import failed_soon
from levare.model import (
    BLOCKED,
    FAILED,
    LIVE,
    LOST,
    OUT_OF_MEMORY,
    TIMED_OUT,
    WAITING,
    Ended,
    Move,
    Node,
    Request,
)
from levare.model.failures import FAILURE_CLASSES, HOST_MEMORY, NODE_LOST, TIMEOUT, UNKNOWN

LONGEST_PAUSE = timedelta(hours=1)
"""Before its jitter."""
JITTER = 0.2
"""A pause is up to this part shorter or longer, so that what failed together does not come back together."""
MOST_SHUNNED = 3
"""A job stays away from so many nodes at most, those where it failed last."""
CURABLE = (FAILED, TIMED_OUT, OUT_OF_MEMORY)
"""What is tried again where the job does not say."""
_SAYS_LITTLE = (None, UNKNOWN, TIMEOUT, NODE_LOST)
"""Classes that tell no more than the ending itself."""
_EXIT_CODES = re.compile(r"exit:(?P<low>[0-9]{1,3})(?:-(?P<high>[0-9]{1,3}))?")


def is_tried_again(ended: Ended) -> bool:
    """Whether the job's own retries cover this ending: what a retry cannot cure only where the job says so."""
    return _tries(ended) <= ended.retries and _is_covered(ended)


def _is_covered(ended: Ended) -> bool:
    if not ended.retry_on:
        return ended.outcome in CURABLE and not is_hopeless(ended)
    is_named = ended.outcome in ended.retry_on or ended.failure in ended.retry_on
    return is_named or (ended.outcome == FAILED and _is_listed(ended.exit_code, ended.retry_on))


def is_hopeless(ended: Ended) -> bool:
    """Whether it has failed by something that another try finds as it was."""
    return ended.outcome == FAILED and ended.failure is not None and not FAILURE_CLASSES[ended.failure].retried


def why_not(ended: Ended) -> str:
    """Why it is not tried again though it has retries left; empty where it has none."""
    if ended.retry_on or _tries(ended) > ended.retries or not is_hopeless(ended):
        return ""
    return f" It is not tried again: a retry does not cure {ended.failure}; --retry-on {ended.failure} has it tried."


def _tries(ended: Ended) -> int:
    """How many attempts have ended through its own fault, this one included."""
    return ended.attempt - ended.losses


def _is_listed(exit_code: int | None, wanted: Sequence[str]) -> bool:
    """Whether one of `exit:3` or `exit:64-78` is about this exit code."""
    ranges = (_EXIT_CODES.fullmatch(each) for each in wanted)
    return exit_code is not None and any(
        int(found["low"]) <= exit_code <= int(found["high"] or found["low"]) for found in ranges if found
    )


def again(ended: Ended, nodes: Sequence[Node], *, now: datetime) -> Move:
    """Back to the queue by a retry of its own: after its pause, with more memory if it lacked some."""
    pause, memory_mib = pause_before_retry(ended), grown_memory_mib(ended, nodes)
    request = replace(ended.request, memory_mib=memory_mib or ended.request.memory_mib)
    at = now + pause if pause else None
    return Move(
        ended.job_id,
        LIVE,
        BLOCKED if at else WAITING,
        f"{_plan(ended, at)}{_more(ended, memory_mib)}",
        ended.exit_code,
        not_before=at,
        memory_mib=memory_mib,
        shunned=shunned(ended, request, nodes),
    )


def pause_before_retry(ended: Ended) -> timedelta:
    """`backoff`, doubled for each retry after the first, at most an hour; the id of the attempt decides the jitter."""
    doublings = min(max(_tries(ended) - 1, 0), 12)
    return min(min(ended.backoff, LONGEST_PAUSE) * 2**doublings, LONGEST_PAUSE) * _jitter(ended.attempt_id)


def _jitter(attempt_id: str) -> float:
    fraction = int.from_bytes(sha256(attempt_id.encode()).digest()[:4]) / 2**32
    return 1 + JITTER * (2 * fraction - 1)


def grown_memory_mib(ended: Ended, nodes: Sequence[Node]) -> int | None:
    """
    What it asks for after it used more memory than it had asked for, within the largest node that could run it.

    None if it asks for as much as before.
    """
    asked = ended.request.memory_mib
    has_lacked = ended.outcome == OUT_OF_MEMORY or ended.failure == HOST_MEMORY
    if not has_lacked or not asked or ended.memory_growth <= 1:
        return None
    possible = (node for node in nodes if node.state != "lost" and could_serve(ended.request, node))
    largest = max((node.memory_mib for node in possible), default=asked)
    grown = min(round(asked * ended.memory_growth), largest)
    return grown if grown > asked else None


def shunned(ended: Ended, request: Request, nodes: Sequence[Node]) -> tuple[str, ...] | None:
    """The nodes to stay away from, this one included, if others can run it; None if that changes nothing."""
    if not _might_be_cured_elsewhere(ended) or ended.node in ended.shunned[-1:]:
        return None
    wanted = (*(name for name in ended.shunned if name != ended.node), ended.node)[-MOST_SHUNNED:]
    others = [node for node in nodes if _takes_jobs(node) and node.name not in wanted and could_serve(request, node)]
    return wanted if len(others) >= request.nodes else None


def _might_be_cured_elsewhere(ended: Ended) -> bool:
    """It lost its node, failed by its machine, as soon as it started there, or met the machine's limit, not its own."""
    if ended.outcome == OUT_OF_MEMORY:
        return not ended.request.memory_mib
    if ended.outcome == FAILED and ended.failure and FAILURE_CLASSES[ended.failure].elsewhere:
        return True
    return ended.outcome == LOST or failed_soon(ended.outcome, ended.started_at, ended.ended_at)


def _takes_jobs(node: Node) -> bool:
    return node.state == "ready" and not node.note


def _plan(ended: Ended, at: datetime | None) -> str:
    when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    told = "" if ended.failure in _SAYS_LITTLE else f"{ended.failure}, "
    return f"Tries again{when} after it {_what_happened(ended)} ({told}{_tries(ended)} of {ended.retries} retries)."


def _what_happened(ended: Ended) -> str:
    words = {TIMED_OUT: "reached its limit of time", OUT_OF_MEMORY: "ran out of memory", LOST: "was lost"}
    if ended.outcome in words:
        return words[ended.outcome]
    return "failed" if ended.exit_code is None else f"failed with exit code {ended.exit_code}"


def _more(ended: Ended, memory_mib: int | None) -> str:
    before = ended.request.memory_mib
    return f" It asks for {memory_mib} MiB of memory instead of {before} from now on." if memory_mib else ""
