"""What is wrong between objects, and with what each of them would do: whatever one document alone cannot tell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from levare.decide.contradictions import of_itself
from levare.decide.pipelines import cycle
from levare.decide.times import lint, next_after
from levare.decide.timing import timing_of
from levare.manifest.fitting import unfit
from levare.manifest.jobs import JobRequest
from levare.manifest.kinds import STARTS, Kind
from levare.manifest.loops import loop
from levare.manifest.pipelines import PipelineRequest
from levare.manifest.pools import PoolRequest
from levare.manifest.problems import Findings, nearest
from levare.manifest.resolving import argument_names, wrong_arguments
from levare.manifest.templates import JobTemplate, PipelineTemplate
from levare.manifest.tree import Node
from levare.model import Declared

_ANY_TEAM = "default"
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
Path = list[str | int]


@dataclass(frozen=True)
class Compiled:
    """An object that is valid by itself, with its body and where it stands."""

    kind: Kind
    declared: Declared
    body: BaseModel
    node: Node
    key: Node
    """Of its name."""


class Checks:
    """
    `names` are those of each kind that the manifest declares, also of what is not valid by itself.

    With `now` the times of schedules are looked at too, for what may not be meant.
    """

    def __init__(
        self,
        objects: Sequence[Compiled],
        names: Mapping[str, Sequence[str]],
        findings: Findings,
        now: datetime | None = None,
    ) -> None:
        self.objects, self.names, self.findings, self.now = objects, names, findings, now
        self.pools = {each.declared.name: each.body for each in objects if isinstance(each.body, PoolRequest)}

    def run(self) -> None:
        for each in self.objects:
            self._references(each)
            for path, job in jobs_of(each):
                self._job(each, path, job)
            self._steps(each)
            if each.kind.name == "schedule":
                self._is_ever_due(each)
        self._loops()

    def _references(self, each: Compiled) -> None:
        for path, kind, name in _references(each.declared.kind, each.declared.document):
            known = self.names.get(kind, ())
            if name in known or (kind == "team" and name == _ANY_TEAM):
                continue
            if kind == "team":
                self._doubt_team(each, path, name)
                continue
            limit = f"one of {', '.join(known)}" if known else f"a {_told(kind)}: none is declared"
            self._tell(each, path, f"there is no {_told(kind)} {name}", limit, nearest(name, known))

    def _doubt_team(self, each: Compiled, path: Path, name: str) -> None:
        """A team needs no declaration; where others have one, it may be misspelt."""
        known = self.names["team"]
        if known:
            message = f"the team {name} is not declared: it weighs 1 and has no quota"
            self.findings.doubt(each.node.at(path), message, hint=nearest(name, known))

    def _tell(self, each: Compiled, path: Path, message: str, limit: str | None, hint: str | None = None) -> None:
        self.findings.add(each.node.at(path), message, limit=limit, hint=hint)

    def _job(self, each: Compiled, path: Path, job: JobRequest) -> None:
        for fault in of_itself(job):
            where = each.node.at([*path, *fault.field.split(".")])
            self.findings.add(where, f"{fault.field} {fault.message}", limit=str(fault.limit))
        self._arguments(each, path, job)
        reason = unfit(job, self.pools) if self.pools else None
        if reason:
            field, message = reason
            where = each.node.at(path)
            told = where.value.get(field) or where.value.get("avoid") or each.key
            self.findings.add(told, f"no pool could ever run this: {message}", limit=None)

    def _arguments(self, each: Compiled, path: Path, job: JobRequest) -> None:
        specs = each.body.parameters if isinstance(each.body, JobTemplate | PipelineTemplate) else {}
        for number, found in wrong_arguments(job, specs):
            where = each.node.at([*path, "command", number])
            named = ", ".join(f"{{{name}}}" for name in argument_names(job, specs))
            hint = "{{ and }} stand for braces themselves"
            self.findings.add(where, f"{found} is no parameter", limit=f"one of {named}", hint=hint)

    def _steps(self, each: Compiled) -> None:
        for path, pipeline in pipelines_of(each):
            steps = [job.step for job in pipeline.jobs]
            for number, job in enumerate(pipeline.jobs):
                if job.step in steps[:number]:
                    self._tell(each, [*path, "jobs", number, "step"], f"the step {job.step} is there twice", "once")
            self._needs_of(each, path, pipeline, steps)

    def _needs_of(self, each: Compiled, path: Path, pipeline: PipelineRequest, steps: list[str]) -> None:
        unknown = False
        for number, job in enumerate(pipeline.jobs):
            for place, need in enumerate(job.needs):
                if need.job not in steps:
                    unknown = True
                    where: Path = [*path, "jobs", number, "needs", place]
                    limit = f"one of {', '.join(steps)}"
                    self._tell(each, where, f"there is no step {need.job}", limit, nearest(need.job, steps))
        way = [] if unknown else cycle({job.step: [need.job for need in job.needs] for job in pipeline.jobs})
        if way:
            where = [*path, "jobs", steps.index(way[0]), "needs"]
            self._tell(each, where, f"the steps need each other: {' -> '.join(way)}", "no cycle")

    def _is_ever_due(self, each: Compiled) -> None:
        document = each.declared.document
        rule = timing_of(document).rule
        if rule.start and rule.end and rule.end <= rule.start:
            self._tell(each, ["ends"], "the schedule ends before it starts", f"later than {document['starts']}")
        elif next_after(rule, _BEGINNING) is None:
            field = next(name for name in ("cron", "at", "every_seconds") if name in document)
            self._tell(each, [field], "the schedule is never due", "a time that comes, and that its calendar admits")
        elif self.now:
            for found in lint(rule, now=self.now):
                self.findings.doubt(each.key, f"{each.declared.name}: {found.message}")

    def _loops(self) -> None:
        triggers = {each.declared.name: each for each in self.objects if each.kind.name == "trigger"}
        way = loop({name: each.declared.document for name, each in triggers.items()})
        if way:
            where: Path = ["when", "ended"]
            self._tell(
                triggers[way[0]], where, f"the triggers start each other for ever: {' -> '.join(way)}", "no loop"
            )


def jobs_of(each: Compiled) -> Iterator[tuple[Path, JobRequest]]:
    """The jobs in an object, with the way to each."""
    body = each.body
    if isinstance(body, JobRequest):
        yield [], body
    job = getattr(body, "job", None) if each.kind.name in STARTS else None
    if job is not None:
        yield ["job"], job
    for path, pipeline in pipelines_of(each):
        for number, step in enumerate(pipeline.jobs):
            yield [*path, "jobs", number], step


def pipelines_of(each: Compiled) -> Iterator[tuple[Path, PipelineRequest]]:
    body = each.body
    if isinstance(body, PipelineRequest):
        yield [], body
    pipeline = getattr(body, "pipeline", None) if each.kind.name in STARTS else None
    if pipeline is not None:
        yield ["pipeline"], pipeline


def _told(kind: str) -> str:
    return kind.replace("_", " ")


def _references(kind: str, document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Which names an object uses of which kinds, and where."""
    for find in _FINDERS.get(kind, ()):
        yield from find(document)


def _of_work(document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for path, job in _job_documents(document):
        if "team" in job:
            yield [*path, "team"], "team", job["team"]
        if not path or path == ["job"]:
            yield from (
                ([*path, "needs", place], "step", _need(each)) for place, each in enumerate(job.get("needs", ()))
            )


def _job_documents(document: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if "command" in document:
        yield [], document
    if "job" in document:
        yield ["job"], document["job"]
    for before, whole in ((["pipeline"], document.get("pipeline") or {}), ([], document)):
        for number, step in enumerate(whole.get("jobs", ())):
            yield [*before, "jobs", number], step


def _need(each: Any) -> str:
    return each if isinstance(each, str) else each["job"]


def _of_when(document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for name, when in document["when"].items():
        for kind in ("team", "schedule", "trigger"):
            if kind in when:
                yield ["when", name, kind], kind, when[kind]


def _of_channels(document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for place, name in enumerate(document.get("channels", ())):
        yield ["channels", place], "channel", name


def _of_routes(document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for place, name in enumerate(document.get("routes", {}).get("teams", ())):
        yield ["routes", "teams", place], "team", name


def _of_window(document: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    if "team" in document:
        yield ["team"], "team", document["team"]


Finder = Callable[[Mapping[str, Any]], Iterator[tuple[Path, str, str]]]
_FINDERS: Mapping[str, Sequence[Finder]] = {
    "window": (_of_window,),
    "job": (_of_work,),
    "pipeline": (_of_work,),
    "schedule": (_of_work,),
    "trigger": (_of_work, _of_when),
    "alert_rule": (_of_when, _of_channels),
    "channel": (_of_routes,),
}
