"""Arrays and sweeps: what a submit says of the elements, and what it means."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from levare.decide.arrays import INDEX, MOST_ELEMENTS, size_of
from levare.errors import Fault, InvalidArray
from levare.manifest.faults import in_words
from levare.manifest.patterns import NO_NUL, VARIABLE
from levare.manifest.values import refusal
from levare.model import Elements, Parameter

_MOST_ROWS = 100_000
_MOST_NAMES = 100
_NEXT_STEP = "/docs shows what an array can be."


def _whole(value: Any) -> Any:
    """JSON makes no difference between 1 and 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told_once(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """What is wrong with a value is what its own kind says of it, not what each kind in turn does."""
    try:
        return check(value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if isinstance(value, str | float):
            raise refusal(str(in_words(found[0 if isinstance(value, str) else -1])[1])) from None
        raise refusal("text, a number, true or false") from None


Name = Annotated[str, Field(pattern=VARIABLE, max_length=100)]
Text = Annotated[str, Field(pattern=NO_NUL, max_length=1000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Annotated[Text | bool | int | Number, WrapValidator(_told_once)]
Row = Annotated[
    dict[Name, Value],
    Field(min_length=1, max_length=_MOST_NAMES, json_schema_extra={"additionalProperties": False}),
]
Rows = Annotated[list[Row], Field(min_length=1, max_length=_MOST_ROWS)]
Values = Annotated[list[Value], Field(min_length=1, max_length=_MOST_ROWS)]
Grid = Annotated[
    dict[Name, Values],
    Field(min_length=1, max_length=_MOST_NAMES, json_schema_extra={"additionalProperties": False}),
]
Count = Annotated[int, Field(ge=1, le=MOST_ELEMENTS), BeforeValidator(_whole)]


class ArrayRequest(BaseModel):
    """Many jobs in one: `size` of them, or one for each combination of `grid`, or one for each row of `list`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: Count | None = Field(None, description="How many; they are told apart by their index.", examples=[100])
    grid: Grid | None = Field(
        None,
        description="Name -> values; one element for each combination, of which the last name varies fastest.",
        examples=[{"lr": [0.1, 0.01], "seed": [1, 2, 3]}],
    )
    list: Rows | None = Field(None, description="The parameters of each element; all have the same names.")
    cap: Count | None = Field(None, description="The most of them that are begun and not ended.", examples=[3])

    def elements(self) -> Elements:
        """Raise InvalidArray if it is not exactly one kind of array, or if its names are not clear."""
        kinds = [name for name in ("size", "grid", "list") if getattr(self, name) is not None]
        if len(kinds) != 1:
            said = " and ".join(kinds) or "nothing"
            raise _refusal("array", f"says {said}", said, "one of size, grid and list")
        if self.grid is not None:
            _check_names("array.grid", [*self.grid])
            return Elements(_sized(self.grid), self.cap, grid=tuple(self.grid.items()))
        if self.list is not None:
            return Elements(len(self.list), self.cap, rows=_alike(self.list))
        return Elements(self.size or 0, self.cap)


def _sized(grid: Mapping[str, Sequence[Parameter]]) -> int:
    size = size_of(grid)
    if size > MOST_ELEMENTS:
        raise _refusal("array.grid", f"has {size} combinations", size, f"at most {MOST_ELEMENTS}")
    return size


def _alike(rows: Sequence[Mapping[str, Parameter]]) -> Sequence[Mapping[str, Parameter]]:
    """The rows, if all have the names of the first."""
    names = set(rows[0])
    _check_names("array.list.0", sorted(names))
    odd = next((number for number, row in enumerate(rows) if set(row) != names), None)
    if odd is not None:
        raise _refusal(f"array.list.{odd}", "has other names than the first row", sorted(rows[odd]), sorted(names))
    return rows


def _check_names(field: str, names: Sequence[str]) -> None:
    """In the environment they stand in capitals; the index has a name already."""
    if len({name.upper() for name in names}) < len(names):
        raise _refusal(field, "has names that differ only in capitals", ", ".join(names), "clearly different names")
    if INDEX in names:
        raise _refusal(field, f"has the name {INDEX}, which every array has", INDEX, "another name")


def _refusal(field: str, message: str, value: object, limit: object) -> InvalidArray:
    return InvalidArray(f"The {field} {message}.", _NEXT_STEP, [Fault(field, message, value, limit)])
