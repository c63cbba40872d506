"""The kinds of what is declared: where each stands in a manifest, by which model, and what is kept of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from levare.errors import InvalidRequest
from levare.manifest.alerts import AlertRuleRequest
from levare.manifest.channels import ChannelRequest
from levare.manifest.patterns import POOL
from levare.manifest.pools import PoolRequest
from levare.manifest.schedules import ScheduleRequest
from levare.manifest.teams import TeamRequest
from levare.manifest.templates import JobTemplate, PipelineTemplate
from levare.manifest.triggers import TriggerRequest
from levare.manifest.windows import WindowRequest
from levare.model import Declared, DeclaredKind
from levare.written import LABEL


@dataclass(frozen=True)
class Kind:
    """A kind: its key of a manifest, and the model of its documents."""

    name: DeclaredKind
    section: str
    model: type[BaseModel]
    about: str
    names: str = LABEL

    @property
    def noun(self) -> str:
        return self.name.replace("_", " ")

    def is_name(self, text: str) -> bool:
        return re.fullmatch(self.names, text) is not None

    def definition(self, name: str, body: Any) -> dict[str, Any]:
        """What is kept of a body of this model. Raises what its own checks refuse."""
        return body.definition(name) if self.name == "schedule" else body.definition()


KINDS = (
    Kind("team", "teams", TeamRequest, "Who shares the machines: weights and quotas."),
    Kind("window", "windows", WindowRequest, "Times for which nodes are kept."),
    Kind("pool", "pools", PoolRequest, "How many workers run on which machines, and what each offers.", POOL),
    Kind("job", "jobs", JobTemplate, "Templates of jobs, which schedules and triggers name."),
    Kind("pipeline", "pipelines", PipelineTemplate, "Templates of pipelines, which schedules and triggers name."),
    Kind("schedule", "schedules", ScheduleRequest, "What is submitted at which times."),
    Kind("trigger", "triggers", TriggerRequest, "What is submitted when something happens."),
    Kind("alert_rule", "alerts", AlertRuleRequest, "What is worth an alert."),
    Kind("channel", "channels", ChannelRequest, "Ways to tell people."),
)
"""In the order in which they refer to each other, and in which they are written."""
OF_KIND = {kind.name: kind for kind in KINDS}
STARTS = ("schedule", "trigger")
"""The kinds that submit something: a job or a pipeline, said there or named."""
OF_SECTION = {kind.section: kind for kind in KINDS}


def declared(kind: str, name: str, document: Mapping[str, Any]) -> Declared:
    """
    The object of a document as a PUT takes it, in the one form in which it is kept.

    Two documents that mean the same have the same form: what is as usual is left out. Raise pydantic's ValidationError
    or a LevareError for what is refused.
    """
    known = OF_KIND.get(kind)
    if known is None or not known.is_name(name):
        raise InvalidRequest(f"There is no {kind} {name!r}.", f"Kinds are {', '.join(OF_KIND)}.")
    return Declared(known.name, name, known.definition(name, known.model.model_validate(document)))
