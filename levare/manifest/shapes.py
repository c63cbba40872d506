"""Where a model has which type, and the names that people may write there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SECONDS, MIB = "_seconds", "_mib"
UNITS = (SECONDS, MIB)
"""The endings of numbers that people may write with a unit instead: `timeout: 2h` for `timeout_seconds: 7200`."""

Shapes = Sequence[Any]
"""The types that a value may have."""


def alternatives(annotation: Any) -> Iterator[Any]:
    """The types of a union, each without what is annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from alternatives(each)
    elif annotation is not type(None):
        yield annotation


def models(shapes: Shapes) -> list[type[BaseModel]]:
    return [each for each in shapes if isinstance(each, type) and issubclass(each, BaseModel)]


@cache
def fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """By the names that stand in a document."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def within(shapes: Shapes, part: str | int) -> list[Any]:
    """The types of a part of a value of these types."""
    return [found for shape in shapes for each in _part(shape, part) for found in alternatives(each)]


def _part(shape: Any, part: str | int) -> Iterable[Any]:
    if not isinstance(shape, type) or get_origin(shape):
        return get_args(shape)[-1:] if get_origin(shape) in (dict, list) else ()
    field = fields(shape).get(str(part)) if issubclass(shape, BaseModel) else None
    return [field.annotation] if field else ()


def known_names(shapes: Shapes) -> list[str]:
    """What may be written in a mapping of these types; with a unit where that is possible."""
    names = [name for model in models(shapes) for name in fields(model)]
    return list(dict.fromkeys(shortened(name) for name in names))


def shortened(name: str) -> str:
    """`timeout` for `timeout_seconds`."""
    return next((name.removesuffix(unit) for unit in UNITS if name.endswith(unit)), name)


def lengthened(name: str, shapes: Shapes) -> str | None:
    """`timeout_seconds` for `timeout`, where the one is known and the other not."""
    for model in models(shapes):
        known = fields(model)
        if name in known:
            return None
        if found := next((name + unit for unit in UNITS if name + unit in known), None):
            return found
    return None
