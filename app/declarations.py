"""Documents of what is declared, checked by their models: all that is wrong is told at once."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from app import problems
from levare.decide.plan import Document
from levare.errors import Fault, InvalidDeclaration, LevareError
from levare.manifest import declared
from levare.manifest.faults import fields_at, in_words
from levare.manifest.kinds import OF_KIND
from levare.model import Declared
from levare.store.kinds import KINDS

_MOST_FAULTS = 100


def checked(given: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[Declared]:
    """The objects, each in the one form in which it is kept. Raise InvalidDeclaration with what is wrong with them."""
    found: dict[tuple[str, str], Declared] = {}
    faults: list[Fault] = []
    for kind, name, document in given:
        if kind not in KINDS:
            faults.append(Fault(f"{kind}.{name}", "is of a kind that is not known here", kind, ", ".join(KINDS)))
            continue
        try:
            known = declared(kind, name, document)
        except (ValidationError, LevareError) as error:
            faults += _faults(kind, f"{kind}.{name}", error)
            continue
        if (kind, name) in found:
            faults.append(Fault(f"{kind}.{name}", "is declared twice", name, "each name once"))
        found[kind, name] = known
    if faults:
        wrong = problems.invalid(faults[:_MOST_FAULTS])
        raise InvalidDeclaration(wrong.detail, wrong.next_step, wrong.faults)
    return list(found.values())


def normal(kind: str, document: Document) -> Document:
    """The one form of a document, though it was declared when there was another; as it is where there is none."""
    try:
        return declared(kind, "x", document).document
    except (ValidationError, LevareError):
        return document


def _faults(kind: str, place: str, error: ValidationError | LevareError) -> Iterator[Fault]:
    if isinstance(error, LevareError):
        faults = error.faults or [Fault("", error.detail)]
        yield from (Fault(_joined(place, each.field), each.message, each.value, each.limit) for each in faults)
        return
    for each in error.errors(include_url=False):
        if each["type"] == "extra_forbidden":
            known = fields_at(OF_KIND[kind].model, each["loc"][:-1])
            yield problems.unknown(_joined(place, ".".join(map(str, each["loc"]))), known)
            continue
        message, limit = in_words(each)
        yield Fault(_joined(place, ".".join(map(str, each["loc"]))), message, each.get("input"), limit)


def _joined(place: str, field: str) -> str:
    return f"{place}.{field}" if field else place
