"""
The exceptions with which a log ends, and which of them counts.

Of a chain that names a cause (`raise ... from`) the first exception with a class of its own counts, for it is the
cause; where one came up while another was handled the last one does, for what was handled had been expected (`try:
import a`, `except ImportError: import b`). An exception that says nothing special counts less than one that does, and
one that only reports another process counts nothing. Of several processes the first counts: the others fail because it
is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from levare.decide.lastwords import Line, Raised, alone, raised
from levare.decide.signs import SYMPTOMS, WRAPPERS, is_harmless, sign_in
from levare.model.failures import COMMAND_NOT_FOUND, DISTRIBUTED_ERROR, NETWORK_ERROR, PERMISSION_DENIED

NEAR_THE_END = 40
"""So many lines before the end, or before another exception, an exception still belongs to the end."""


@dataclass(frozen=True)
class Sign:
    name: str
    line: Line
    place: int


def last_exceptions(lines: Sequence[Line]) -> list[Raised]:
    """Those at the end: from the last one back, as long as there is little between them."""
    found = raised(lines) or [each for place, line in enumerate(lines) if (each := _lone(line, place))]
    kept: list[Raised] = []
    end = len(lines)
    for each in reversed(found):
        if _between(lines, each.place, end) > NEAR_THE_END:
            break
        kept.append(each)
        end = _begin_of(lines, each.place)
    return kept[::-1]


def _lone(line: Line, place: int) -> Raised | None:
    return None if is_harmless(line.text) else alone(line, place)


def _between(lines: Sequence[Line], place: int, end: int) -> int:
    """How many lines of the same process lie between."""
    return sum(line.rank == lines[place].rank for line in lines[place + 1 : end])


def _begin_of(lines: Sequence[Line], place: int) -> int:
    """Where the traceback begins that ends here."""
    rank, at = lines[place].rank, place
    while at and (lines[at].rank != rank or "Traceback (most recent" not in lines[at].text):
        at -= 1
    return at if "Traceback (most recent" in lines[at].text else place


def signs_of(chain: Sequence[Raised]) -> list[Sign]:
    """What the last exceptions are signs of, the best first."""
    chains = _chains(chain)
    if len({each.line.rank for each in chain}) <= 1:
        chains = chains[::-1]  # of one process the last one ended it, of several the first
    return [sign for one in chains for sign in _ordered(one)]


def _chains(found: Sequence[Raised]) -> list[list[Raised]]:
    chains: dict[str, list[list[Raised]]] = {}
    for each in found:
        of_rank = chains.setdefault(each.line.rank, [])
        if each.after and of_rank:
            of_rank[-1].append(each)
        else:
            of_rank.append([each])
    return sorted((chain for of_rank in chains.values() for chain in of_rank), key=lambda chain: chain[-1].place)


def _ordered(chain: Sequence[Raised]) -> list[Sign]:
    """
    The signs of a chain, the best first.

    From the last exception back: a named cause goes before what it has caused, what was only handled goes behind.
    """
    signs: list[Sign] = []
    for place in reversed(range(len(chain))):
        name = _class_of(chain[place])
        if name is None:
            continue
        sign = Sign(name, chain[place].line, chain[place].place)
        is_cause = place + 1 < len(chain) and chain[place + 1].after == "cause"
        signs = [sign, *signs] if is_cause else [*signs, sign]
    return signs


def _class_of(each: Raised) -> str | None:
    if WRAPPERS.search(each.type):
        return None
    if each.from_subprocess and each.type in ("FileNotFoundError", "PermissionError"):
        return COMMAND_NOT_FOUND if each.type == "FileNotFoundError" else PERMISSION_DENIED
    return sign_in(each.text)


def signs_in(lines: Sequence[Line]) -> list[Sign]:
    """Of several lines the last one of a kind that is special."""
    pairs = [(place, line, sign_in(line.text)) for place, line in enumerate(lines) if not is_harmless(line.text)]
    return [Sign(name, line, place) for place, line, name in reversed(pairs) if name]


def strength(sign: Sign) -> int:
    return SYMPTOMS.index(sign.name) if sign.name in SYMPTOMS else -1


def is_echo(signs: Sequence[Sign]) -> bool:
    return all(sign.name in (DISTRIBUTED_ERROR, NETWORK_ERROR) for sign in signs)


def has_plain_cause(chain: Sequence[Raised]) -> bool:
    """Whether one of several processes failed by itself before the others missed it."""
    first = next((each for each in chain if not WRAPPERS.search(each.type)), None)
    return first is not None and len({each.line.rank for each in chain}) > 1 and _class_of(first) is None


def root_of(chain: Sequence[Raised]) -> Raised:
    """The last one, or the cause that it names; of several processes that of the first one."""
    if len({each.line.rank for each in chain}) > 1:
        return chain[0]
    place = len(chain) - 1
    while place and chain[place].after == "cause":
        place -= 1
    return chain[place]
