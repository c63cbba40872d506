"""From `job: NAME` and `pipeline: NAME` to what is submitted: the template, filled with its parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from levare.decide import arrays
from levare.manifest.jobs import JobRequest
from levare.manifest.problems import Findings, nearest
from levare.manifest.templates import JobTemplate, ParameterSpec, PipelineTemplate
from levare.manifest.tree import Node

_OF_TEMPLATE = ("parameters", "description")
WORKS = ("job", "pipeline")


@dataclass(frozen=True)
class Template:
    """A template that has been checked, and the tree that it came from."""

    name: str
    body: JobTemplate | PipelineTemplate
    node: Node


Templates = Mapping[str, Mapping[str, Template]]
"""By `job` and `pipeline`, and by their names. One that is not valid is None."""


def resolved(body: Node, templates: Mapping[str, Mapping[str, Template | None]], findings: Findings) -> Node | None:
    """A schedule or a trigger with its work in place of a template's name; None where that cannot be found."""
    for work in WORKS:
        named = body.value.get(work)
        if named is None or not isinstance(named.value, str):
            continue
        known = templates[work]
        template = known.get(named.value)
        if template is None:
            if named.value not in known:
                limit = f"one of {', '.join(known)}" if known else f"a {work}: none is declared under {work}s"
                hint = nearest(named.value, [*known])
                findings.add(named, f"there is no {work} {named.value}", limit=limit, hint=hint)
            return None
        return _with_work(body, work, named, template, findings)
    return body


def stubbed(body: Node) -> Node:
    """The same with some work in place of what is not known, or wrong."""
    works = {work: each for work, each in body.value.items() if work in WORKS and each.value is not None}
    stubs = {work: each.replaced(value={}) for work, each in works.items()}
    for work, stub in stubs.items():
        command = stub.replaced(value={"command": stub.replaced(value=[stub.replaced(value="true")])}, keys={})
        step = command.replaced(value={**command.value, "step": stub.replaced(value="a")})
        stubs[work] = command if work == "job" else stub.replaced(value={"jobs": stub.replaced(value=[step])})
    return body.replaced(value={**body.value, **stubs})


def _with_work(body: Node, work: str, named: Node, template: Template, findings: Findings) -> Node | None:
    given = body.value.get("parameters") or body.replaced(value={}, keys={})
    if not isinstance(given.value, dict):
        findings.add(given, f"parameters must be a mapping, and is {given.kind}", limit="a mapping")
        return None
    specs = template.body.parameters
    if not _are_given(specs, given, named, template, findings):
        return None
    usual = {name: spec.default for name, spec in specs.items() if spec.default is not None}
    values = {name: named.replaced(value=value, keys={}) for name, value in usual.items()} | given.value
    texts = {name: arrays.text(value.value) for name, value in values.items() if not isinstance(value.value, dict)}
    runtime = [name for name in values if name not in texts]
    filled = _filled(template, texts, runtime, named, findings)
    if filled is None:
        return None
    made = body.replaced(value={**body.value, work: filled}, keys=dict(body.keys))
    if values:
        made.value["parameters"] = given.replaced(value=values, keys=dict.fromkeys(usual, named) | given.keys)
        made.keys.setdefault("parameters", named)
    return made


def _are_given(
    specs: Mapping[str, ParameterSpec], given: Node, named: Node, template: Template, findings: Findings
) -> bool:
    wrong = False
    for name, value in given.value.items():
        spec = specs.get(name)
        if spec is None:
            limit = f"one of {', '.join(specs)}" if specs else "none: it has no parameters"
            message = f"{template.name} has no parameter {name}"
            findings.add(given.keys[name], message, limit=limit, hint=nearest(name, [*specs]))
            wrong = True
        elif not isinstance(value.value, dict) and (limit := spec.limit_for(value.value)):
            findings.add(value, f"the parameter {name} of {template.name} must be {limit}", limit=limit)
            wrong = True
    missing = [name for name, spec in specs.items() if spec.default is None and name not in given.value]
    if missing:
        names = ", ".join(missing)
        findings.add(named, f"{template.name} needs {names}", limit=f"parameters: {{{missing[0]}: ...}}")
    return not wrong and not missing


def _filled(
    template: Template, texts: Mapping[str, str], runtime: list[str], named: Node, findings: Findings
) -> Node | None:
    """
    The work of a template: `{name}` in an argument is a parameter's value, and the program stays.

    None where an argument names what is no parameter: that is told of the template.
    """
    node = template.node
    kept = {name: each for name, each in node.value.items() if name not in _OF_TEMPLATE}
    made = node.replaced(value=kept)
    if "name" not in kept:
        made.value["name"] = node.replaced(value=template.name, keys={})
    if not template.body.parameters:
        return made
    if any(wrong_arguments(job, template.body.parameters) for job in jobs_in(template.body)):
        return None
    for name in runtime:
        if any(_names(command, name) for command in commands(node)):
            message = f"{name} is known only when the event comes, and {template.name} has it in an argument"
            findings.add(named, message, limit=f"LEVARE_PARAM_{name.upper()} in its environment")
            return None
    if "jobs" not in kept:
        return _with_command(made, texts)
    steps = kept["jobs"]
    made.value["jobs"] = steps.replaced(value=[_with_command(step, texts) for step in steps.value])
    return made


def jobs_in(body: JobTemplate | PipelineTemplate) -> Sequence[JobRequest]:
    return [body] if isinstance(body, JobTemplate) else body.jobs


def argument_names(job: JobRequest, parameters: Iterable[str]) -> list[str]:
    """What an argument may have in braces."""
    return [*parameters, *(arrays.names(job.array.elements()) if job.array else ())]


def wrong_arguments(job: JobRequest, parameters: Mapping[str, Any]) -> list[tuple[int, str]]:
    """What stands in braces and is no parameter, where braces mean anything: the argument's number, the text."""
    if job.array is None and not parameters:
        return []
    return arrays.wrong_placeholders(job.command, argument_names(job, parameters))


def commands(node: Node) -> Iterator[Node]:
    """Of a job, or of all steps of a pipeline, as far as they are lists of texts."""
    steps = node.value.get("jobs")
    jobs = [node] if steps is None else steps.value if isinstance(steps.value, list) else []
    for job in jobs:
        command = job.value.get("command") if isinstance(job.value, dict) else None
        if command is not None and isinstance(command.value, list):
            yield command


def _names(command: Node, name: str) -> bool:
    words = [str(word.value) for word in command.value]
    return f"{{{name}}}" in {found for _, found in arrays.wrong_placeholders(words, ())}


def _with_command(job: Node, texts: Mapping[str, str]) -> Node:
    command = job.value["command"]
    words = [word.value for word in command.value]
    is_array = "array" in job.value
    filled = [words[0], *(_argument(word, texts, is_array=is_array) for word in words[1:])]
    made = [word.replaced(value=text) for word, text in zip(command.value, filled, strict=True)]
    return job.replaced(value={**job.value, "command": command.replaced(value=made)})


def _argument(word: str, texts: Mapping[str, str], *, is_array: bool) -> str:
    """An array fills its own names later, so all that it would read then stays, or is written for it."""
    if not is_array:
        return arrays.filled(word, texts)
    escaped = {name: text.replace("{", "{{").replace("}", "}}") for name, text in texts.items()}
    return arrays.filled(word, escaped, keep=True)
