"""The API keeps to its own OpenAPI document, whatever is sent to it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CHECKS
from schemathesis.schemas import BaseSchema

from tests.end_to_end.serving import Api, serving

IN_THE_DATA = ("idempotency-mismatch", "unknown-needs", "can-never-run")
"""Refusals of valid requests that contradict what is stored."""

schema = schemathesis.pytest.from_fixture("document")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Api]:
    """One API for all requests, with a node and a job whose log has a cut."""
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
def document(served: Api) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_promises(case: Case, served: Api):
    _keep_to_what_ends(case)

    answer = case.call(headers={"Authorization": served.client.headers["authorization"]}, timeout=20)

    case.validate_response(answer, excluded_checks=_not_for(case), headers=dict(served.client.headers))
    if answer.status_code == 422 and case.meta.generation.mode is GenerationMode.POSITIVE:
        _is_about_the_data(answer)


def _keep_to_what_ends(case: Case) -> None:
    """A stream of a job that waits ends only with the job."""
    if case.query:
        case.query.pop("follow", None)


def _not_for(case: Case) -> list[object]:
    """With `fields` an item has only those; that valid requests are taken is checked below."""
    partial = ["response_schema_conformance"] if case.query and "fields" in case.query else []
    return CHECKS.get_by_names(["positive_data_acceptance", *partial])


def _is_about_the_data(answer: Response) -> None:
    problem = answer.json()
    fields = [error["field"] for error in problem["errors"]]
    assert problem["code"] in IN_THE_DATA or fields == ["cursor"], problem
