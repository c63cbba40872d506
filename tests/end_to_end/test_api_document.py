"""The API keeps to its own OpenAPI document, whatever is sent to it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from tests.api_checks import is_about_the_data
from tests.end_to_end.serving import Api, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Api]:
    """One API for all requests, with nodes and a job whose log has a cut."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(migrated_sqlite, folder / "levare.db")
    with serving(folder, f"sqlite:///{folder / 'levare.db'}") as api:
        api.join("node-a", gpus=64, cpus=65536)
        api.join()
        attempt = api.start(api.submit())
        api.write(attempt, (0, b"head"), (100, b"tail"))
        api.finish(attempt)
        yield api


@pytest.fixture(scope="module")
def operations(served: Api) -> list[APIOperation]:
    document = schemathesis.openapi.from_dict(served.client.get("/openapi.json", timeout=60).json())
    found = list(document.get_all_operations())
    valid = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(valid) == len(found) > 0
    return valid


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example],
)
@given(data=st.data())
def test_every_answer_is_one_that_the_document_promises(
    served: Api, operations: list[APIOperation], mode: GenerationMode, data: st.DataObject
):
    able = [operation for operation in operations if mode is GenerationMode.POSITIVE or _takes_anything(operation)]
    operation = data.draw(st.sampled_from(able).map(lambda operation: operation.label))
    [chosen] = [each for each in able if each.label == operation]
    case = data.draw(chosen.as_strategy(generation_mode=mode))
    _keep_to_what_ends(case)
    headers = {"Authorization": served.client.headers["authorization"]}

    answer = case.call(served.url, headers=headers, timeout=20)

    case.validate_response(answer, excluded_checks=_not_for(case), headers=headers)
    if answer.status_code == 422 and mode is GenerationMode.POSITIVE:
        is_about_the_data(case, answer.json())


def _takes_anything(operation: APIOperation) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters)


def _keep_to_what_ends(case: Case) -> None:
    """A stream of a job that waits ends only with the job."""
    if case.query:
        case.query.pop("follow", None)


def _not_for(case: Case) -> list[Any]:
    """With `fields` an item has only those; that valid requests are taken is checked below."""
    partial = ["response_schema_conformance"] if case.query and "fields" in case.query else []
    return CHECKS.get_by_names(["positive_data_acceptance", *partial])
