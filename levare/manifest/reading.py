"""From files to what they declare: read, laid over, filled, checked; all that is wrong is told at once."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from levare.errors import InvalidRequest
from levare.manifest.bodies import body_of, declared_of
from levare.manifest.checks import Checks, Compiled
from levare.manifest.kinds import KINDS, OF_SECTION, STARTS, Kind
from levare.manifest.overlays import overlaid
from levare.manifest.patterns import in_words
from levare.manifest.problems import Findings, Problem, nearest
from levare.manifest.resolving import WORKS, Template, resolved, stubbed
from levare.manifest.templates import JobTemplate, ParameterSpec, PipelineTemplate
from levare.manifest.tree import Node, Place, Source, Unreadable, parse, source_of
from levare.manifest.units import measured
from levare.manifest.variables import substituted, values_of
from levare.model import Declared

VERSION = 1
FILE = "levare.yaml"
ENDINGS = (".yaml", ".yml")
SECTIONS = (*OF_SECTION, "environments", "variables")
KEYS = ("version", *SECTIONS)
_OF_A_PLAN = {"base", "digest", "changes"}
_MOST_FILES = 1000
_TEMPLATES = {"job": JobTemplate, "pipeline": PipelineTemplate}


@dataclass(frozen=True)
class Manifest:
    """What files declare, for one environment; each name once a kind."""

    objects: tuple[Declared, ...]
    environments: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=(), compare=False)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    """What is allowed and may not be meant."""


def read(
    paths: Sequence[Path], *, environment: str | None = None, variables: Mapping[str, str] | None = None
) -> Manifest:
    """
    What the files declare; of a folder all .yaml and .yml files in it, whatever their depth.

    Raise InvalidManifest with every problem, each with its file, line and column, and OSError for what is not there.
    """
    files, root, findings = _loaded(paths)
    found = _Reading(root, findings).run(environment, variables or {})
    return _manifest(files, root, found, findings)


def check(
    paths: Sequence[Path],
    *,
    now: datetime,
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Manifest:
    """
    As `read`, with warnings; without an environment what holds for all, and each environment too.

    Where nothing holds for all, as some variable has its value from environments alone, it is what the first declares.
    """
    files, root, findings = _loaded(paths)
    others = [] if environment else [name for name, each in _section(root, "environments").value.items() if each.value]
    found = _Reading(root, findings, now, is_partial=bool(others)).run(environment, variables or {})
    each = [_Reading(root, findings, now).run(other, variables or {}) for other in others]
    return _manifest(files, root, found or next(filter(None, each), []), findings)


def _loaded(paths: Sequence[Path]) -> tuple[list[Path], Node, Findings]:
    files, findings = list(_files(paths)), Findings()
    return files, _joined([tree for file in files if (tree := _tree(file, findings)) is not None], findings), findings


def _manifest(files: list[Path], root: Node, found: Iterable[Declared], findings: Findings) -> Manifest:
    if findings:
        raise findings.error()
    environments = tuple(_section(root, "environments").value)
    return Manifest(tuple(found), environments, tuple(files), tuple(findings.warnings))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    count = 0
    for path in paths:
        for file in _in_folder(path) if path.is_dir() else [path]:
            count += 1
            if count > _MOST_FILES:
                raise InvalidRequest(f"There are more than {_MOST_FILES} files.", "Name those that are meant.")
            yield file


def _in_folder(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if name.endswith(ENDINGS) and not name.startswith(".")]
    if not found:
        raise InvalidRequest(f"{folder} holds no file that ends in {' or '.join(ENDINGS)}.", f"Write a {FILE}.")
    return found


def _tree(file: Path, findings: Findings) -> Node | None:
    try:
        source = source_of(str(file), file.read_bytes())
        tree = parse(source)
    except Unreadable as wrong:
        findings.add(wrong.place, wrong.message, limit=wrong.limit, hint=wrong.hint)
        return None
    return tree if _is_manifest(tree, findings) else None


def _is_manifest(tree: Node, findings: Findings) -> bool:
    if not isinstance(tree.value, dict):
        said = "is empty" if tree.value is None else f"must be a mapping, and is {tree.kind}"
        findings.add(tree, f"the manifest {said}", limit=f"version: {VERSION}, and what is declared")
        return False
    if tree.value.keys() >= _OF_A_PLAN:
        findings.add(tree, "is a saved plan, and no manifest", limit="`levare apply`, which takes one as it is")
        return False
    for name, key in tree.keys.items():
        if name not in KEYS:
            findings.add(
                key, f"a manifest has no key {name}", limit=f"one of {', '.join(KEYS)}", hint=nearest(name, KEYS)
            )
    version = tree.value.get("version")
    if version is None:
        findings.add(Place(tree.place.source, 1, 1), "the manifest has no version", limit=f"version: {VERSION}")
    elif version.value != VERSION or isinstance(version.value, bool):
        findings.add(version, f"there is no version {version.value} of manifests", limit=str(VERSION))
    return True


def _joined(trees: Sequence[Node], findings: Findings) -> Node:
    """One tree of several files: each has its own names."""
    nowhere = Place(Source("", "", []), 0, 0)
    root = Node({name: Node({}, nowhere) for name in SECTIONS}, nowhere)
    for tree in trees:
        for name in SECTIONS:
            part = tree.value.get(name)
            if part is None or part.value is None:
                continue
            if isinstance(part.value, dict):
                _add(root.value[name], part, findings)
            else:
                findings.add(part, f"{name} must be a mapping of names, and is {part.kind}", limit="a mapping")
    return root


def _add(whole: Node, part: Node, findings: Findings) -> None:
    for name, child in part.value.items():
        first = whole.keys.get(name)
        if first:
            findings.add(part.keys[name], f"{name} is said twice, first at {first.place}", limit="each name once")
        else:
            whole.keys[name], whole.value[name] = part.keys[name], child


def _section(root: Node, name: str) -> Node:
    return root.value[name]


class _Reading:
    """
    One reading of a tree, for one environment. What is partial may leave the values of variables to environments.

    The tree itself stays as it is.
    """

    def __init__(
        self, root: Node, findings: Findings, now: datetime | None = None, *, is_partial: bool = False
    ) -> None:
        self.root, self.findings, self.now, self.is_partial = (
            root.replaced(value=dict(root.value)),
            findings,
            now,
            is_partial,
        )

    def run(self, environment: str | None, given: Mapping[str, str]) -> list[Declared]:
        over = self._environment(environment)
        if not self._fill(over, given):
            return []
        sections = {kind.section: self._measured(kind, _section(self.root, kind.section)) for kind in KINDS}
        whole = self.root.replaced(value=sections, keys={})
        if over is not None:
            whole = overlaid(whole, self._overlay(over), self.findings)
        return self._compiled(whole)

    def _environment(self, name: str | None) -> Node | None:
        known = _section(self.root, "environments")
        for each in known.value.values():
            self._check_environment(each)
        if name is None:
            return None
        found = known.value.get(name)
        if found is None:
            limit = f"one of {', '.join(known.value)}" if known.value else "none: the manifest declares none"
            place = Place(Source(f"--env {name}", "", []), 0, 0)
            self.findings.add(place, f"there is no environment {name}", limit=limit, hint=nearest(name, [*known.value]))
        return found if found is not None and isinstance(found.value, dict) else None

    def _check_environment(self, over: Node) -> None:
        if not isinstance(over.value, dict):
            if over.value is not None:
                self.findings.add(over, f"an environment must be a mapping, and is {over.kind}", limit="a mapping")
            return
        allowed = [*OF_SECTION, "variables"]
        for name, key in over.keys.items():
            if name not in allowed:
                limit = f"one of {', '.join(allowed)}"
                self.findings.add(key, f"an environment has no key {name}", limit=limit, hint=nearest(name, allowed))

    def _fill(self, over: Node | None, given: Mapping[str, str]) -> bool:
        """Put the values of the variables into the whole tree; False where they are not known."""
        before = len(self.findings)
        declared = self._variables(_section(self.root, "variables"))
        others = over.value.get("variables") if over is not None else None
        if others is not None and isinstance(others.value, dict):
            base = self.root.replaced(value={"variables": declared}, keys={"variables": declared})
            asked = over.replaced(value={"variables": self._variables(others)}) if over else base
            declared = overlaid(base, asked, self.findings).value["variables"]
        specs: dict[str, ParameterSpec] = {}
        for name, node in declared.value.items():
            spec = body_of(ParameterSpec, node, self.findings, what=f"the variable {name}")
            if isinstance(spec, ParameterSpec) and not self._is_wrong(name, spec, node):
                specs[name] = spec
        missing = [name for name, spec in specs.items() if spec.default is None and name not in given]
        values = values_of(specs, declared.keys, given, self.findings, is_partial=self.is_partial)
        if len(self.findings) > before or missing:
            return False
        for section in (*OF_SECTION, "environments"):
            self.root.value[section] = substituted(_section(self.root, section), values, declared.value, self.findings)
        return True

    def _is_wrong(self, name: str, spec: ParameterSpec, node: Node) -> bool:
        faults = spec.faults()
        for fault in faults:
            where = node.at([*fault.field.split(".")])
            self.findings.add(where, f"{name}.{fault.field} {fault.message}", limit=str(fault.limit))
        return bool(faults)

    def _variables(self, node: Node) -> Node:
        """A value alone is a default."""
        return node.replaced(value={name: spec_of(each) for name, each in node.value.items()})

    def _measured(self, kind: Kind, section: Node) -> Node:
        made = {name: measured(each, [kind.model], self.findings) for name, each in section.value.items()}
        if kind.name in _TEMPLATES:
            made = {name: _with_specs(each) for name, each in made.items()}
        return section.replaced(value=made)

    def _overlay(self, over: Node) -> Node:
        made = {
            name: self._measured(OF_SECTION[name], each) if isinstance(each.value, dict) else each
            for name, each in over.value.items()
            if name in OF_SECTION
        }
        return over.replaced(value=made)

    def _compiled(self, whole: Node) -> list[Declared]:
        names = {kind.name: list(whole.value[kind.section].value) for kind in KINDS}
        templates: dict[str, dict[str, Template | None]] = {work: {} for work in WORKS}
        found: list[Compiled] = []
        for kind in KINDS:
            section = whole.value[kind.section]
            for name, node in section.value.items():
                made = self._object(kind, name, node, section.keys[name], templates)
                if kind.name in templates:
                    body = made and made.body
                    is_template = isinstance(body, JobTemplate | PipelineTemplate)
                    templates[kind.name][name] = Template(name, body, node) if is_template else None
                if made:
                    found.append(made)
        Checks(found, names, self.findings, self.now).run()
        return [each.declared for each in found]

    def _object(
        self, kind: Kind, name: str, node: Node, key: Node, templates: Mapping[str, Mapping[str, Template | None]]
    ) -> Compiled | None:
        if not kind.is_name(name):
            self.findings.add(key, f"{name!r} is no name of a {kind.noun}", limit=in_words(kind.names))
            return None
        starts = kind.name in STARTS and isinstance(node.value, dict)
        whole = resolved(node, templates, self.findings) if starts else node
        body = whole and body_of(kind.model, whole, self.findings, what=f"the {kind.noun} {name}")
        if starts and body is None:
            self._without_work(kind, node, key)
        declared = whole and body and declared_of(kind, key, body, whole, self.findings)
        return Compiled(kind, declared, body, whole, key) if whole and body and declared else None

    def _without_work(self, kind: Kind, node: Node, key: Node) -> None:
        """What it starts is not known, or wrong: check all else."""
        whole = stubbed(node)
        body = body_of(kind.model, whole, self.findings, what=f"the {kind.noun} {key.value}")
        if body:
            declared_of(kind, key, body, whole, self.findings)


def spec_of(node: Node) -> Node:
    """A value alone is a default, and nothing is a text that somebody must give."""
    if isinstance(node.value, dict):
        return node
    return node.replaced(value={} if node.value is None else {"default": node}, keys={"default": node})


def _with_specs(template: Node) -> Node:
    """The template with the whole form of its parameters."""
    given = template.value.get("parameters") if isinstance(template.value, dict) else None
    if given is None or not isinstance(given.value, dict):
        return template
    specs = given.replaced(value={name: spec_of(each) for name, each in given.value.items()})
    return template.replaced(value={**template.value, "parameters": specs})
