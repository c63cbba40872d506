"""Which teams something belongs to, from what was declared of it; what belongs to none is the fleet's."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
Teams = frozenset[str]

NOBODY: Teams = frozenset()
_USUAL = "default"


def teams_of_work(definition: Document) -> Teams:
    """Those for which the jobs of a schedule or trigger are."""
    if definition.get("job") is not None:
        return frozenset({_team_of(definition["job"])})
    steps = (definition.get("pipeline") or {}).get("jobs", ())
    return frozenset(map(_team_of, steps))


def teams_of_rule(definition: Document) -> Teams:
    """The team whose jobs a rule of alerts is about; a rule that does not say so is about those of all."""
    [when] = definition["when"].values()
    return teams_of_runs(when or {})


def teams_of_runs(said: Document) -> Teams:
    """The team to which a choice of runs is confined, if it is to one."""
    if said.get("team"):
        return frozenset({said["team"]})
    return frozenset({team_of_family(said["family"])}) if "/" in (said.get("family") or "") else NOBODY


def team_of_family(name: str) -> str:
    return name.partition("/")[0]


def watched_by(definition: Document) -> Teams | None:
    """
    Whose runs the `when` of a trigger is about; nobody's for what is not about runs.

    None for what is about the runs of all teams, or about files of the machine where beat runs.
    """
    [(kind, when)] = definition["when"].items()
    if kind == "files":
        return NOBODY if when.get("node") else None
    if kind not in ("ended", "metric", "absence") or when.get("event"):
        return NOBODY
    return teams_of_runs(when) or None


def _team_of(job: Document) -> str:
    return job.get("team") or _USUAL
