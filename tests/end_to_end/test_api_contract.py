"""What holds for every operation, found out by asking each of them: dry runs change nothing, ETags guard writes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.conditions import READS, WRITES
from app.document import operations
from app.main import _MODULES
from levare.store.engine import Database
from levare.store.tables import metadata
from tests import api_codes, authorizing
from tests.authorizing import OF_FLEET, SAME, World, relations_of
from tests.end_to_end.serving import refused

UNSAFE = ("POST", "PUT", "DELETE")
ROUTES = {route.name: route for module in _MODULES for route in module.router.routes}
DRY = {"dry_run": "true"}
READ_OF = {kind: f"read_{kind}" for kind, _ in WRITES.values()}
CHANGES_NOTHING = ("simulate_past", "make_plan")
"""What is a POST only because it takes a body."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Something of each kind, for tests that leave it as it is."""
    with authorizing.world() as world:
        yield world


@pytest.fixture(scope="module")
def writes(world: World) -> Mapping[str, dict[str, Any]]:
    """Every operation of the document that is no GET, by its id."""
    return {each["operationId"]: each for _, method, each in operations(world.app.openapi()) if method in UNSAFE}


AS_IT_STANDS = {"set_priority": 409}
"""What a dry run says of the job that is there, which has begun; test_api_jobs has one that has not."""


def kept(world: World) -> dict[str, list[str]]:
    """Every row of every table; but for when tokens were used, which is noted aside."""
    database: Database = world.app.state.parts.database
    with database.reading() as connection:
        return {
            table.name: sorted(
                json.dumps({key: value for key, value in row.items() if key != "used_at"}, default=str)
                for row in connection.execute(select(table)).mappings()
            )
            for table in metadata.sorted_tables
        }


def asked(world: World, operation: str, **instead: Any) -> httpx.Response:
    """What an admin of the fleet is answered who asks it of something that is there; of a machine, what that is."""
    known, best = relations_of(operation), OF_FLEET if operation.endswith("_window") else SAME
    relation = next(each for each in (best, OF_FLEET, *known) if each in known)
    role = "machine" if operation == "poll_machine" else "fleet"
    if operation == "join_machine":
        code = world.clients["fleet"].post("/v1/nodes/invitations", json={}).json()["code"]
        instead["json"] = {"code": code, "name": "m2"}
    return authorizing.ask(world, ROUTES[operation], relation, role, **instead)


def test_every_write_knows_a_dry_run(writes: Mapping[str, dict[str, Any]]):
    without = [
        name for name, each in writes.items() if "dry_run" not in {it["name"] for it in each.get("parameters", ())}
    ]

    assert without == list(CHANGES_NOTHING)


def test_no_dry_run_changes_any_table(world: World, writes: Mapping[str, dict[str, Any]]):
    for operation in writes:
        if operation == "join_machine":
            continue  # which needs a code: below
        before = kept(world)

        answer = asked(world, operation, params={} if operation in CHANGES_NOTHING else DRY)

        assert answer.status_code == AS_IT_STANDS.get(operation, 200), (operation, answer.text)
        changed = {name for name, rows in kept(world).items() if rows != before[name]}
        assert not changed, f"a dry run of {operation} changed {changed}"


def test_a_dry_run_of_joining_does_not_use_the_code_up_and_tells_nothing_secret(world: World):
    left = len(kept(world)["invitations"])

    answer = asked(world, "join_machine", params=DRY)

    assert answer.status_code == 200, answer.text
    assert [answer.json()[name] for name in ("token", "database", "redis")] == [None, None, None]
    assert len(kept(world)["invitations"]) == left + 1, "the code is still good"


def test_an_answer_that_is_at_hand_is_not_sent_again(world: World):
    for operation in READS:
        first = asked(world, operation)
        tag = first.headers["ETag"]

        again = asked(world, operation, headers={"If-None-Match": f'"other", W/{tag}'})

        assert (first.status_code, again.status_code, again.content) == (200, 304, b""), operation
        assert again.headers["ETag"] == tag
        assert asked(world, operation, headers={"If-None-Match": '"other"'}).status_code == 200


def test_every_write_is_refused_that_expects_what_is_no_longer_so(world: World):
    for operation in WRITES:
        answer = asked(world, operation, params=DRY, headers={"If-Match": '"999-0000000000000000"'})

        problem = refused(answer, 412, "precondition-failed")
        assert '"999-0000000000000000"' in problem["detail"], "it names what was expected"
        assert problem["errors"][0]["limit"] in problem["detail"], "and what there is"


def test_every_write_is_taken_that_expects_what_is_so(world: World):
    for operation, (kind, _) in WRITES.items():
        tag = asked(world, READ_OF[kind]).headers["ETag"]
        for each in (tag, tag.partition("-")[0] + '"', f'"other", {tag}'):
            answer = asked(world, operation, params=DRY, headers={"If-Match": each})

            assert answer.status_code == 200, (operation, answer.text)


def test_a_weak_tag_is_good_for_no_write_and_what_is_no_tag_fits_nothing(world: World):
    tag = asked(world, "read_schedule").headers["ETag"]

    weak = asked(world, "remove_schedule", params=DRY, headers={"If-Match": f"W/{tag}"})
    wrong = asked(world, "remove_schedule", params=DRY, headers={"If-Match": "any"})
    bare = asked(world, "remove_schedule", params=DRY, headers={"If-Match": tag.strip('"')})

    refused(weak, 412, "precondition-failed")
    refused(wrong, 412, "precondition-failed")
    assert bare.status_code == 200, "as people write it"


def test_every_code_of_an_error_is_in_the_guide():
    assert api_codes.written() == api_codes.table(), "python -m tests.api_codes writes it anew"
