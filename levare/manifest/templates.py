"""Templates: jobs and pipelines with parameters, which schedules and triggers name instead of saying them again."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from levare.errors import Contradiction, Fault
from levare.manifest.arrays import Name, Value
from levare.manifest.jobs import JobRequest
from levare.manifest.pipelines import PipelineRequest
from levare.manifest.schedules import Line, distinct_in_capitals
from levare.manifest.values import Body

ParameterType = Literal["string", "integer", "number", "boolean"]
_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_WORDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_MOST_PARAMETERS = 100
_MOST_CHOICES = 100


class ParameterSpec(Body):
    """What a parameter or a variable may be. A value alone is its default."""

    type: ParameterType | None = Field(
        None, description="Its type; that of its default where it has one, or else text.", examples=["integer"]
    )
    default: Value | None = Field(None, description="What it is if nobody says; without one somebody must.")
    choices: list[Value] | None = Field(
        None, min_length=1, max_length=_MOST_CHOICES, description="All that it may be.", examples=[["small", "large"]]
    )
    description: Line = Field("", description="For people.", examples=["How often the data are gone through."])

    @property
    def kind(self) -> str:
        if self.type or self.default is None:
            return self.type or "string"
        return next(name for name, kinds in _KINDS.items() if type(self.default) in kinds)

    def limit_for(self, value: Any) -> str | None:
        """What it must be, where this value is not that."""
        if type(value) not in _KINDS[self.kind]:
            return _WORDS[self.kind]
        if self.choices is not None and value not in self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return None

    def faults(self) -> list[Fault]:
        limit = None if self.default is None else self.limit_for(self.default)
        wrong = [Fault("default", f"must be {limit}", self.default, limit)] if limit else []
        for place, choice in enumerate(self.choices or ()):
            if type(choice) not in _KINDS[self.kind]:
                wrong.append(Fault(f"choices.{place}", f"must be {_WORDS[self.kind]}", choice, _WORDS[self.kind]))
        return wrong


Specs = Annotated[
    dict[Name, ParameterSpec],
    AfterValidator(distinct_in_capitals),
    Field(max_length=_MOST_PARAMETERS, json_schema_extra={"additionalProperties": False}),
]
_PARAMETERS: Any = Field(
    default_factory=dict,
    description="What may differ: `{name}` in an argument becomes its value, and jobs find it in LEVARE_PARAM_<NAME>.",
    examples=[{"epochs": {"type": "integer", "default": 10}}],
)
_DESCRIPTION: Any = Field("", description="For people.", examples=["Trains on the digits."])


class JobTemplate(JobRequest):
    """A job that schedules and triggers name."""

    parameters: Specs = _PARAMETERS
    description: Line = _DESCRIPTION

    def definition(self) -> dict[str, Any]:
        """As it is kept. Raise Contradiction for parameters that cannot be meant."""
        return _definition(self)


class PipelineTemplate(PipelineRequest):
    """A pipeline that schedules and triggers name."""

    parameters: Specs = _PARAMETERS
    description: Line = _DESCRIPTION

    def definition(self) -> dict[str, Any]:
        """As it is kept. Raise Contradiction for parameters that cannot be meant."""
        return _definition(self)


def _definition(template: JobTemplate | PipelineTemplate) -> dict[str, Any]:
    faults = [
        Fault(f"parameters.{name}.{fault.field}", fault.message, fault.value, fault.limit)
        for name, spec in template.parameters.items()
        for fault in spec.faults()
    ]
    if faults:
        raise Contradiction(f"{faults[0].field} {faults[0].message}.", "docs/manifest.md shows templates.", faults)
    template.check()
    return template.model_dump(mode="json", by_alias=True, exclude_defaults=True)
