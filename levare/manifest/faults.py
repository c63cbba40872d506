"""What pydantic finds wrong, in our words."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from levare.manifest import patterns

_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} long",
    "too_short": "at least {min_length} long",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "string_type": "text",
    "string_unicode": "text in valid Unicode",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of at most 18 digits",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "timezone_aware": "a time with a zone, such as 2030-01-01T12:00:00Z",
    "datetime_type": "a time such as 2030-01-01T12:00:00Z",
    "datetime_parsing": "a time such as 2030-01-01T12:00:00Z",
    "datetime_from_date_parsing": "a time such as 2030-01-01T12:00:00Z",
    "datetime_object_invalid": "a time such as 2030-01-01T12:00:00Z",
}


def in_words(error: Mapping[str, Any]) -> tuple[str, Any]:
    """What is wrong with a value, and what is allowed."""
    kind, context = error["type"], error.get("ctx") or {}
    limit = _limit(kind, context)
    message = f"must be {limit}" if limit else error["msg"].removeprefix("Value error, ")
    return message, limit or context.get("limit")


def _limit(kind: str, context: Mapping[str, Any]) -> str | None:
    if kind == "string_pattern_mismatch":
        return patterns.in_words(context["pattern"])
    text = _LIMITS.get(kind)
    return text.format(**context) if text else None


def fields_at(annotation: Any, place: Sequence[str | int]) -> list[str]:
    """The names that are known where `place` leads from a value of this type."""
    model = model_in(annotation)
    for part in place:
        if model and part in model.model_fields:
            model = model_in(model.model_fields[str(part)].annotation)
    return list(model.model_fields) if model else []


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a type such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part))), None)
