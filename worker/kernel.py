"""What the kernel says of processes that it killed and of GPUs in trouble, where this user may read it."""

import os
import re
import time
from contextlib import suppress

_TELLING = re.compile(r"Out of memory: Killed process|oom-kill:|Memory cgroup out of memory|NVRM: Xid")
_MOST_RECORDS = 20_000
_MOST_LINES = 20
_RECORD = 8192


def lines_since(since: float) -> list[str]:
    """The telling lines of the kernel's log from this time (Unix seconds) on; none where it may not be read."""
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    with suppress(OSError):
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read(log, since - booted)[-_MOST_LINES:]
        finally:
            os.close(log)
    return []


def _read(log: int, since: float) -> list[str]:
    found: list[str] = []
    for _ in range(_MOST_RECORDS):
        try:
            record = os.read(log, _RECORD).decode("utf-8", "replace")
        except BrokenPipeError:  # overwritten while it was read: go on with the next
            continue
        except OSError:  # that was the last
            break
        head, _, text = record.partition(";")
        line = text.partition("\n")[0]
        if _TELLING.search(line) and _seconds(head) >= since:
            found.append(line)
    return found


def _seconds(head: str) -> float:
    """Since boot, from `priority,number,microseconds,...`."""
    parts = head.split(",")
    return int(parts[2]) / 1e6 if len(parts) > 2 and parts[2].isdigit() else 0.0  # noqa: PLR2004
