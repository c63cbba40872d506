"""Triggers that start each other for ever: each by the end of what another one starts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from levare.decide.pipelines import cycle

Document = Mapping[str, Any]


def loop(triggers: Mapping[str, Document]) -> list[str]:
    """A way from a trigger through what it starts back to itself; empty if there is none."""
    started = {name: [*_started(name, document)] for name, document in triggers.items()}
    starts: dict[str, Sequence[str]] = {
        name: [other for other, document in triggers.items() if _is_about(document, jobs)]
        for name, jobs in started.items()
    }
    return cycle(starts)


def _started(name: str, document: Document) -> Iterator[Mapping[str, str]]:
    """What is known of the runs that it starts."""
    pipeline = document.get("pipeline")
    jobs = pipeline["jobs"] if pipeline else [document["job"]]
    for job in jobs:
        team, project = job.get("team", "default"), job.get("project", "default")
        called = job.get("name") or job.get("step") or PurePath(job["command"][0]).name
        known = {"trigger": name, "name": called, "team": team, "project": project}
        yield {**known, "family": f"{team}/{project}/{called}", "pipeline": (pipeline or {}).get("name", "")}


def _is_about(document: Document, runs: Sequence[Mapping[str, str]]) -> bool:
    """Whether every end of one of these runs starts it."""
    ended = document["when"].get("ended")
    if ended is None or ended.get("outcome", "success") == "failure":
        return False
    said = {name: value for name, value in ended.items() if name != "outcome"}
    return any(all(run.get(name) == value for name, value in said.items()) for run in runs)
