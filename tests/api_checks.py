"""
What schemathesis checks of the API besides its own; `SCHEMATHESIS_HOOKS=tests.api_checks` loads it.

Two of its own checks are replaced, for they cannot know what the document says in words. An answer to `fields` has only
these fields: each must be as the schema says, and there must be no other. A request that the schema allows may
contradict what is stored, or the time: that must be told by a code that says so, never as an invalid request.
"""

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, Response

IN_THE_DATA = (
    *("idempotency-mismatch", "unknown-needs", "can-never-run", "contradiction"),
    *("invalid-array", "invalid-pipeline", "invalid-schedule", "invalid-declaration", "unfit-event"),
)
"""Refusals of valid requests that contradict what is stored, the time, or themselves."""
UNPROCESSABLE, OK = 422, 200


@schemathesis.check
def schema_but_for_fields_that_were_not_asked_for(_: CheckContext, response: Response, case: Case) -> bool | None:
    """As `response_schema_conformance`; of an answer to `fields` no field may be missed, and none be too many."""
    fields = (case.query or {}).get("fields")
    if fields is None or response.status_code != OK:
        case.operation.validate_response(response, case=case)
        return None
    document = response.json()
    for item in document.get("items", [document]):
        assert set(item) == {name.strip() for name in str(fields).split(",")}, "exactly the fields that are asked for"
    return None


@schemathesis.check
def valid_requests_are_refused_for_the_data_alone(_: CheckContext, response: Response, case: Case) -> bool | None:
    """As `positive_data_acceptance`, with 422 for what only the store can know."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_valid and response.status_code == UNPROCESSABLE and not breaks_a_pattern(case, response.json()):
        is_about_the_data(case, response.json())
    return None


def breaks_a_pattern(case: Case, problem: dict[str, Any]) -> bool:
    """Whether a header was refused for the pattern that the document has: a number passes for text of any pattern."""
    fields = [error["field"] for error in problem["errors"]]
    headers = {
        each["name"]: each for each in case.operation.definition.raw.get("parameters", ()) if each["in"] == "header"
    }
    patterns = [headers[name]["schema"].get("pattern", "") for name in fields if name in headers]
    values = [str((case.headers or {}).get(name)) for name in fields if name in headers]
    return len(patterns) == len(fields) and not any(map(re.search, patterns, values))


def is_about_the_data(case: Case, problem: dict[str, Any]) -> None:
    fields = {error["field"] for error in problem["errors"]}
    is_one_twice = all(name.endswith("needs") for name in fields)  # by its id and as an object
    is_of_a_window = fields <= {"nodes", "ends", "user"} and case.path.startswith("/v1/windows/")
    assert problem["code"] in IN_THE_DATA or fields == {"cursor"} or is_of_a_window or is_one_twice, problem
