"""Who may do what: the table in tests/authorization.csv is what the app does, for every route, role and relation."""

import pytest
from fastapi import APIRouter

from app.access import refuse_undeclared
from app.main import _MODULES
from app.rights import RIGHTS
from levare.model.access import ADMIN, MEMBER, VIEWER
from tests import authorizing
from tests.authorizing import OTHER, OWN, SAME, Row, relations_of

ROUTES = [route for module in _MODULES for route in module.router.routes]


@pytest.fixture(scope="module")
def answered() -> tuple[list[Row], list[str]]:
    """What the app does, and what it told somebody that he must not know."""
    with authorizing.world() as world:
        return authorizing.table(world)


def test_the_table_is_what_the_app_does(answered: tuple[list[Row], list[str]]):
    written = authorizing.written()

    assert [row for row in answered[0] if row not in written] == [], "python -m tests.authorizing writes it anew"
    assert [row for row in written if row not in answered[0]] == []


def test_no_answer_tells_of_what_belongs_to_another_team(answered: tuple[list[Row], list[str]]):
    assert answered[1] == []


def test_every_route_has_its_rows_in_the_table():
    written = {(row["method"], row["path"], row["relation"]) for row in authorizing.written()}

    expected = {(min(route.methods), route.path, each) for route in ROUTES for each in relations_of(route.name)}

    assert written == expected


def test_a_route_that_says_nothing_does_not_start_the_app():
    router = APIRouter()
    router.add_api_route("/v1/secrets", lambda: "told", name="told")

    with pytest.raises(LookupError, match="/v1/secrets"):
        refuse_undeclared([*ROUTES, *router.routes])


def test_a_right_of_no_route_does_not_start_the_app():
    with pytest.raises(LookupError, match="submit_job"):
        refuse_undeclared([route for route in ROUTES if route.name != "submit_job"])


def test_nothing_of_another_team_is_ever_found_by_whoever_is_only_of_a_team():
    """The rules behind the table, so that it cannot be written anew with a hole in it."""
    for row in authorizing.written():
        of_team = {row[role] for role in ("viewer", "member", "admin")}
        if row["relation"] == OTHER:
            assert of_team <= {"403", "404"}, row
        if row["relation"] == OTHER and "{" in row["path"]:
            assert of_team == {"404"}, row
        refused = {"401", "403"} if row["asks"] == "anybody" else {"401"}  # by what is in the body: a token, a code
        is_open = row["asks"] == "anybody" and row["method"] == "GET"
        assert row["nobody"] in ({"yes"} if is_open else refused), row


def test_a_viewer_changes_nothing_and_a_member_declares_nothing():
    for row in authorizing.written():
        if row["method"] != "GET":
            assert row["viewer"] != "yes", row
        if row["asks"].startswith(f"{ADMIN} of"):
            assert row["member"] != "yes", row


def test_each_role_may_what_the_one_before_it_may():
    for row in authorizing.written():
        ladder = [row[role] == "yes" for role in (VIEWER, MEMBER, ADMIN)]
        assert ladder == sorted(ladder), row


def test_what_is_not_there_and_what_is_of_another_team_answer_alike():
    rows = {(row["method"], row["path"], row["relation"]): row for row in authorizing.written()}
    for (method, path, relation), row in rows.items():
        makes = RIGHTS[next(route.name for route in ROUTES if route.path == path and method in route.methods)].makes
        if relation == OTHER and "{" in path and not makes:
            nothing = rows[method, path, "none"]
            assert [row[role] for role in ("viewer", "member", "admin")] == [
                nothing[role] for role in ("viewer", "member", "admin")
            ], row


def test_one_s_own_and_a_colleague_s_are_the_same():
    rows = {(row["method"], row["path"], row["relation"]): row for row in authorizing.written()}
    for (method, path, relation), row in rows.items():
        if relation == OWN:
            assert {**row, "relation": SAME} == rows[method, path, SAME]
