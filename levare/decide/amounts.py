"""Numbers, sizes and lists as they stand in a sentence."""

from collections.abc import Sequence

_GIB = 1024


def counted(number: int, noun: str) -> str:
    """`1 GPU`, `2 GPUs`, `1.5 GPUs`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def size(mib: int) -> str:
    """`64 GiB`, or `30500 MiB` of what is no whole number of GiB: never rounded, so that two can be compared."""
    return f"{mib // _GIB} GiB" if mib and mib % _GIB == 0 else f"{mib} MiB"


def joined(parts: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *firsts, final = parts
    return f"{', '.join(firsts)} {last} {final}" if firsts else final
