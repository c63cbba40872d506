"""Values as people write them, in options, variables and requests: each read, or refused with an example."""

import re
from collections.abc import Sequence

LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""Names of labels and custom resources, and the values of labels."""
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
HOURS = rf"^{_CLOCK}-{_CLOCK}$"
_CODE = r"([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
FAILURES = (
    *("host_memory", "gpu_memory", "shared_memory", "nan", "cuda_error", "distributed_error", "disk_full"),
    *("file_limit", "network_error", "import_error", "bad_argument", "command_not_found", "data_not_found"),
    *("permission_denied", "cannot_start", "assertion", "exception", "segfault", "killed", "timeout", "node_lost"),
    *("preemption", "unknown"),
)
"""The names of the classes of failures."""
RETRY_ON = rf"^(failed|timed_out|out_of_memory|lost|preempted|{'|'.join(FAILURES)}|exit:{_CODE}(-{_CODE})?)$"
"""A kind of ending, a class of failure, or exit codes such as `exit:75` and `exit:64-78`."""
ENDINGS_IN_WORDS = (
    "failed, timed_out, out_of_memory, lost, preempted, exit codes such as exit:75 or exit:64-78, or a class of "
    "failure: " + ", ".join(FAILURES)
)
SIGNALS = ("USR1", "USR2", "INT", "HUP", "TERM")
"""Those that a job may be warned by."""
MOST_OF_RESOURCE = 1_000_000

_SIZES_MIB = {"": 1, "MIB": 1, "M": 1, "GIB": 1024, "G": 1024, "TIB": 1024**2, "T": 1024**2}
_LEAST_BARE_MIB = 64
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MOST_SIMULATED = 64
_LONGEST_LABEL = 63


def size_mib(text: str) -> int:
    """
    `20GiB`, `20G` and `20480` are 20480 MiB; raise ValueError for anything else.

    A bare number is MiB. A small one is refused: nothing runs in 10 MiB, so 10 GiB were meant.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _SIZES_MIB:
        raise ValueError(f"{text!r} is not a size such as 512MiB, 20GiB or 1TiB")
    if not match[2] and 0 < float(match[1]) < _LEAST_BARE_MIB:
        raise ValueError(f"{text!r} has no unit and would be {match[1]} MiB: write {match[1]}GiB or {match[1]}MiB")
    return round(float(match[1]) * _SIZES_MIB[match[2].upper()])


def duration_seconds(text: str) -> int:
    """`90s`, `15m`, `2h`, `1d` or `1h30m`; a bare number is seconds. Raise ValueError for anything else."""
    if text.isdecimal():
        return int(text)
    if not re.fullmatch(r"(?:\d+[smhdw])+", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 2h or 1d")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", text))


def simulated_devices(text: str) -> list[int]:
    """`4x80GiB` is four devices of 81920 MiB; raise ValueError for anything else."""
    count, _, size = text.partition("x")
    if not count.isdigit() or not 0 < int(count) <= _MOST_SIMULATED:
        raise ValueError(
            f"{text!r} is not a number of devices and a size such as 4x80GiB (1 to {_MOST_SIMULATED} devices)"
        )
    return [size_mib(size)] * int(count)


def label(text: str) -> tuple[str, str]:
    """`zone=a` is the label `zone` with the value `a`; raise ValueError for anything else."""
    name, _, value = (part.strip() for part in text.partition("="))
    if not re.fullmatch(LABEL, name) or not re.fullmatch(LABEL, value):
        raise ValueError(f"{text!r} is not a label and its value such as disk=nvme (letters, digits and . _ -)")
    return name, value


def gpu_label(models: Sequence[str]) -> dict[str, str]:
    """The label `gpu` of a node: the model of its first GPU, as a label may be; none without a GPU."""
    model = re.sub(r"[^a-z0-9._-]+", "-", models[0].lower()).strip("._-") if models else ""
    return {"gpu": model[:_LONGEST_LABEL]} if model else {}


def amount(text: str) -> tuple[str, int]:
    """`licence=3` is three of `licence`; raise ValueError for anything else."""
    name, _, number = (part.strip() for part in text.partition("="))
    is_number = re.fullmatch(r"[0-9]{1,7}", number) and 1 <= int(number) <= MOST_OF_RESOURCE
    if not re.fullmatch(LABEL, name) or not is_number:
        raise ValueError(f"{text!r} is not a resource and a number from 1 to {MOST_OF_RESOURCE} such as licence=3")
    return name, int(number)


def ending(text: str) -> str:
    """A kind of ending, or exit codes; raise ValueError for anything else."""
    if not re.fullmatch(RETRY_ON, text):
        raise ValueError(f"{text!r} is none of {ENDINGS_IN_WORDS}")
    return text


def hours(text: str) -> str:
    """Hours of the day such as `22:00-06:00`; raise ValueError for anything else."""
    starts, _, ends = text.partition("-")
    if not re.fullmatch(HOURS, text) or starts == ends:
        raise ValueError(f"{text!r} is not two different times of the day in UTC such as 22:00-06:00")
    return text
