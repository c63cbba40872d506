"""Where a schedule or a trigger does what a template says, the name of the template again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from levare.manifest.kinds import OF_KIND, STARTS, declared
from levare.manifest.problems import Findings
from levare.manifest.resolving import WORKS, Template, resolved
from levare.manifest.templates import JobTemplate, PipelineTemplate
from levare.manifest.tree import Node, Place, Source
from levare.model import Declared

_NOWHERE = Place(Source("", "", []), 0, 0)
Document = Mapping[str, Any]


def named(objects: Sequence[Declared]) -> dict[tuple[str, str], Document]:
    """The documents by kind and name; those that are a template filled with their parameters name it."""
    templates = {work: [*_templates(objects, work)] for work in WORKS}
    return {(each.kind, each.name): _named(each, templates) for each in objects}


def _templates(objects: Iterable[Declared], work: str) -> Iterable[Template]:
    for each in objects:
        if each.kind == work:
            body = OF_KIND[each.kind].model.model_validate(each.document)
            if isinstance(body, JobTemplate | PipelineTemplate):
                yield Template(each.name, body, _tree(each.document))


def _named(each: Declared, templates: Mapping[str, Sequence[Template]]) -> Document:
    work = next((name for name in WORKS if name in each.document), "") if each.kind in STARTS else ""
    for template in templates.get(work, ()):
        parameters = dict(each.document.get("parameters", {}))
        specs = template.body.parameters
        if not _is_alike(template, each.document[work]):
            continue
        given = {name: value for name, value in parameters.items() if name not in specs or value != specs[name].default}
        short = {**each.document, work: template.name, "parameters": given}
        if not given:
            del short["parameters"]
        if _means(short, each, template, work):
            return short
    return each.document


def _is_alike(template: Template, work: Document) -> bool:
    """Whether all is the same but what parameters may have changed."""
    other = template.node.plain()
    names = (other.keys() | work.keys()) - {"command", "name", "jobs", "parameters", "description"}
    return all(other.get(name) == work.get(name) for name in names)


def _means(short: Document, each: Declared, template: Template, work: str) -> bool:
    """Whether the short form is read as the object."""
    findings = Findings()
    known = {other: {template.name: template} if other == work else {} for other in WORKS}
    whole = resolved(_tree(short), known, findings)
    return whole is not None and not findings and declared(each.kind, each.name, whole.plain()) == each


def _tree(value: Any) -> Node:
    if isinstance(value, Mapping):
        keys = {name: Node(name, _NOWHERE) for name in value}
        return Node({name: _tree(each) for name, each in value.items()}, _NOWHERE, keys)
    return Node([_tree(each) for each in value] if isinstance(value, list) else value, _NOWHERE)
