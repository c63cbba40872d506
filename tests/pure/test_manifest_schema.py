"""The schema of manifests, by a validator that is not ours: what it takes, what it refuses, what it tells."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from levare.manifest.schema import schema
from levare.manifest.tree import parse, source_of
from tests.pure.wrong_manifests import WRONG

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/levare.yaml"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return schema()


@pytest.fixture(scope="module")
def validator(document: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(document)


def plain(text: str) -> Any:
    return parse(source_of("a", text.encode())).plain()


def test_it_is_a_schema_of_its_draft(document: dict[str, Any]):
    assert document["$schema"].endswith("draft/2020-12/schema")

    jsonschema_rs.meta.validate(document)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_it_takes_the_examples_which_name_it(path: Path, validator: Any):
    assert path.read_text().startswith("# yaml-language-server: $schema=levare.schema.json\n")

    assert [str(error) for error in validator.iter_errors(plain(path.read_text()))] == []


@pytest.mark.parametrize(
    "text",
    [
        "{version: 1, jobs: {a: {command: [ls], timeout: 2h, memory: 1.5GiB, parameters: {a: 1, b: }}}}",
        "{version: 1, schedules: {a: {every: 1h, job: t, parameters: {a: b}}}}",
        "{version: 1, alerts: {a: {when: {absence: {team: a, for: 26h}}}, b: {when: {absence: {for_seconds: 5}}}}}",
        "{version: 1, variables: {A: 1, B: {default: 2}}, jobs: {a: {command: [ls], gpus: '${A}', spread: '${B}'}}}",
        "{version: 1, environments: {a: {schedules: {x: null, y: {cron: null, calendar: {days: MON}}}}, b: null}}",
        "{version: 1, teams: null}",
    ],
)
def test_it_takes_what_people_write(text: str, validator: Any):
    assert [str(error) for error in validator.iter_errors(plain(text))] == []


@pytest.mark.parametrize(
    "name",
    [
        "an unknown key",
        "an unknown field",
        "an unknown field inside",
        "a field that is missing",
        "a field that is misspelt and needed",
        "a name of a pool that is none",
        "too small a number",
        "a choice that is none",
        "a duration that is none",
        "a secret as it is",
        "no version",
        "another version",
    ],
)
def test_it_refuses_what_an_editor_is_to_underline(name: str, validator: Any):
    text, _ = WRONG[name]

    assert not validator.is_valid(plain(text.replace("§", "")))


def test_it_tells_of_every_field(document: dict[str, Any]):
    silent = [
        f"{name}.{field}"
        for name, made in document["$defs"].items()
        if not name.startswith("Over")
        for field, told in made.get("properties", {}).items()
        if "description" not in told
    ]

    assert sorted(silent) == []
