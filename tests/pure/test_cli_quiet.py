"""`-q`, which is on every command, and `levare api`, which asks anything."""

import json

import click
import pytest

from levare.cli import levare
from tests.pure.scripted import Api, a_job, a_node, a_problem, levare_run
from tests.pure.test_cli_examples import commands

WITHOUT_JSON = ("demo", "up", "node run", "schema", "completion")
"""They answer no question, or print a document anyway."""


def test_every_command_knows_json_and_quiet():
    without = [
        (name, option)
        for name, command in commands()
        for option in ("--json", "-q")
        if name not in WITHOUT_JSON and not any(option in param.opts for param in command.params)
    ]

    assert not without
    assert isinstance(levare, click.Group)


def test_a_quiet_list_is_one_id_a_line():
    api = Api().on("GET /v1/jobs", {"items": [a_job(id="a"), a_job(id="b")], "next_cursor": None})

    assert levare_run(api, "jobs", "-q").stdout == "a\nb\n"


def test_a_quiet_list_of_nodes_says_nothing_of_their_gpus():
    assert levare_run(Api().on("GET /v1/nodes", {"items": [a_node()]}), "nodes", "-q").stdout == "node-a\n"


def test_a_quiet_list_of_nothing_is_nothing():
    result = levare_run(Api().on("GET /v1/jobs", {"items": [], "next_cursor": None}), "jobs", "-q")

    assert (result.stdout, result.stderr) == ("", "")


def test_any_path_can_be_asked_with_parameters():
    api = Api().on("GET /v1/jobs/a/array", {"size": 3})

    result = levare_run(api, "api", "/v1/jobs/a/array", "-p", "x=1", "-p", "x=2")

    assert json.loads(result.stdout) == {"size": 3}
    assert api.asked[0].url.query == b"x=1&x=2"


@pytest.mark.parametrize(
    ("args", "method"), [((), "POST"), (("put",), "PUT"), (("DELETE",), "DELETE"), (("POST",), "POST")]
)
def test_a_body_is_sent_by_the_method_that_is_said_or_else_posted(args: tuple[str, ...], method: str):
    api = Api().on(f"{method} /v1/things", {"done": True})

    result = levare_run(api, "api", *args, "/v1/things", "-d", '{"a": 1}', "-H", "If-Match=12")

    assert json.loads(result.stdout) == {"done": True}
    assert api.body() == {"a": 1}
    assert api.asked[0].headers["if-match"] == "12"


def test_a_body_can_come_from_a_file_or_stdin(tmp_path):
    api = Api().on("POST /v1/things", {"done": True})
    (tmp_path / "body.json").write_text("[1]")

    levare_run(api, "api", "/v1/things", "-d", f"@{tmp_path / 'body.json'}")
    levare_run(api, "api", "/v1/things", "-d", "@-", input="[2]")

    assert [api.body(0), api.body(1)] == [[1], [2]]


@pytest.mark.parametrize(
    "args", [("v1/jobs",), ("PATCH", "/v1/jobs"), ("/v1/jobs", "-d", "{"), ("/v1/jobs", "-p", "x")]
)
def test_what_is_no_request_is_refused_before_it_is_sent(args: tuple[str, ...]):
    api = Api()

    assert levare_run(api, "api", *args).exit_code == 2
    assert not api.asked


def test_a_problem_is_told_as_any_error_is():
    api = Api().on("GET /v1/jobs/a", a_problem("not-found", 404, detail="There is no job 'a'."))

    result = levare_run(api, "api", "/v1/jobs/a")

    assert result.exit_code == 1
    assert "There is no job 'a'." in result.stderr
