"""The command line as a whole: help, misuse, errors, JSON, completion, and what it never imports."""

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import httpx
import pytest
from click.testing import CliRunner

from levare.cli import levare
from tests.pure.scripted import (
    JOB,
    URL,
    Api,
    a_family,
    a_healthy_api,
    a_job,
    a_log,
    a_node,
    a_problem,
    an_ended_job,
    levare_run,
)


def every_command(group: click.Group = levare, path: str = "levare") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{path} {name} cannot be loaded"
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path} {name}")


def test_every_command_and_option_says_what_it_is_for():
    found = dict(every_command())

    mute = [path for path, command in found.items() if not command.help]
    mute += [
        f"{path} {option.opts[0]}"
        for path, command in found.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert "levare tokens create" in found
    assert mute == []


def test_the_list_of_commands_shows_all_of_them_and_loads_none():
    program = "import sys; from levare.cli import levare; levare.main(['--help'])"
    code = f"import atexit, sys; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr)); {program}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert all(f"  {path.split()[1]} " in done.stdout for path, _ in every_command())
    assert not {"'httpx'", "'rich'", "'levare.cli.jobs'"} & set(done.stderr.strip("[]\n").split(", "))


def test_neither_client_nor_command_line_imports_the_server_side():
    theirs = ("up", "demo")  # they start the processes, so they may know the server side
    commands = [command for path, command in every_command() if path.split()[1] not in theirs]
    modules = sorted({command.callback.__module__ for command in commands if command.callback})
    code = f"import sys, levare.cli.live, {', '.join(modules)}; print(' '.join(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert "levare.client" in loaded
    assert not loaded & {
        "sqlmodel",
        "sqlalchemy",
        "celery",
        "kombu",
        "fastapi",
        "pydantic",
        "structlog",
        "redis",
        "psutil",
    }
    assert not {name for name in loaded if name.startswith(("app", "worker", "beat", "levare.store", "levare.decide"))}


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["submit"], "COMMAND"),
        (["submit", "--gpus", "65", "--", "x"], "0<=x<=64"),
        (["submit", "--gpu-memory", "20GB", "--", "x"], "20GiB"),
        (["submit", "--timeout", "2 hours", "--", "x"], "15m"),
        (["submit", "--at", "tomorrow", "--", "x"], "+30m"),
        (["submit", "--at", "+999999999d", "--", "x"], "+30m"),
        (["submit", "--env", "1X=3", "--", "x"], "SEED=7"),
        (["submit", "--env", "NOT_SET_HERE", "--", "x"], "NOT_SET_HERE=VALUE"),
        (["submit", "--on-lost", "cry", "--", "x"], "requeue"),
        (["sumbit"], "Did you mean 'submit'?"),
        (["jobs", "--state", "runing"], "'running'"),
        (["show"], "JOB"),
        (["show", " "], "job is empty"),
        (["tokens", "mint"], "mint"),
    ],
)
def test_a_misuse_exits_2_and_says_what_would_be_right(args: list[str], hint: str):
    result = levare_run(Api(), *args)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert hint in result.stderr
    assert "\nnext: `levare" in result.stderr


def test_a_refusal_exits_1_with_the_numbers_and_the_next_step():
    faults = [
        {"field": "gpus", "value": 8, "limit": 4, "message": "no node has so many"},
        {"field": "team", "value": "x", "limit": None, "message": "has no quota"},
    ]
    problem = a_problem("can-never-run", 422, detail="No node could.", next_step="Ask for less.", errors=faults)

    result = levare_run(Api().on("POST /v1/jobs", problem), "submit", "--gpus", "8", "--", "x")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: No node could.",
        "  gpus: no node has so many (given 8, allowed 4)",
        "  team: has no quota (given x)",
        "next: Ask for less.",
    ]


def test_a_fault_that_the_sentence_has_told_already_is_not_told_again():
    fault = {"field": "gpus", "value": 99, "limit": "at most 64", "message": "must be at most 64"}
    problem = a_problem("invalid-request", 422, detail="gpus is 99: must be at most 64.", errors=[fault])

    result = levare_run(Api().on("POST /v1/jobs", problem), "submit", "--", "x")

    assert result.stderr == "error: gpus is 99: must be at most 64.\n"


def test_what_a_fault_was_given_is_told_as_it_was_sent():
    fault = {"field": "command.0", "value": False, "limit": ["text"], "message": "must be text"}
    problem = a_problem("invalid-request", 422, detail="Two are wrong.", errors=[fault, fault | {"value": ["ü"]}])

    result = levare_run(Api().on("POST /v1/jobs", problem), "submit", "--", "x")

    assert result.stderr.splitlines()[1:3] == [
        '  command.0: must be text (given false, allowed ["text"])',
        '  command.0: must be text (given ["ü"], allowed ["text"])',
    ]


def test_an_api_that_is_not_there_is_told_without_a_traceback():
    api = Api().on("GET /v1/jobs", httpx.ConnectError("[Errno 111] Connection refused"))

    result = levare_run(api, "jobs")

    assert result.exit_code == 1
    assert result.stderr == f"error: Nothing answers at {URL} (connection refused).\nnext: Start it with `levare up`.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str):
    result = CliRunner().invoke(levare, ["completion", shell])

    assert result.exit_code == 0
    assert f"_LEVARE_COMPLETE={shell}_complete" in result.stdout


def test_the_options_of_a_command_are_completed_without_an_api(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEVARE_URL", "http://127.0.0.1:9")

    assert "--gpu-memory" in completions("levare submit --gpu")
    assert completions("levare show ") == []


def completions(line: str) -> list[str]:
    words = line.split(" ")
    environ = {"_LEVARE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(levare, [], prog_name="levare", env=environ)
    return [each.partition(",")[2] for each in result.stdout.split()]


def test_without_a_command_the_help_is_printed():
    result = CliRunner().invoke(levare, [])

    assert result.exit_code == 0
    assert "Commands:" in result.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["jobs"],
        ["show", JOB],
        ["why", JOB],
        ["cancel", JOB],
        ["nodes"],
        ["nodes", "node-a"],
        ["nodes", "show", "node-a"],
        ["nodes", "reap", "node-a"],
        ["drain", "node-a"],
        ["resume", "node-a"],
        ["top"],
        ["families"],
        ["families", "release", "a/b/c"],
        ["tokens"],
        ["tokens", "list"],
        ["wait", JOB],
        ["logs", JOB],
        ["submit", "--", "x"],
        ["rerun", JOB],
        ["diff", JOB, JOB],
        ["doctor"],
    ],
)
def test_json_is_all_that_goes_to_stdout(args: list[str]):
    api = a_healthy_api().on("GET /v1/jobs", {"items": [a_job()], "next_cursor": None}).on("POST /v1/jobs", a_job())
    api.on(f"GET /v1/jobs/{JOB}", an_ended_job()).on(f"DELETE /v1/jobs/{JOB}", an_ended_job())
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": []}).on(f"GET /v1/jobs/{JOB}/logs", a_log(b"hi"))
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})
    api.on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "succeeded", "reasons": []})
    api.on("GET /v1/families", {"items": [], "next_cursor": None}).on("DELETE /v1/families/a/b/c/hold", a_family())
    api.on(f"POST /v1/jobs/{JOB}/reruns", {"job": a_job(), "repeats": None, "code_restored": False, "missing": []})
    api.on(f"GET /v1/jobs/{JOB}/diff", {"before": {}, "after": {}, "changes": [], "metrics": []})
    api.on("GET /v1/tokens", {"items": []}).on("GET /v1/nodes/node-a", a_node()).on(
        "PUT /v1/nodes/node-a/state", a_node()
    )
    reap = {"node": "node-a", "requested_at": None, "orphans": [], "reaped": []}
    api.on("POST /v1/nodes/node-a/reap", reap)
    place = args.index("--") if "--" in args else len(args)

    result = levare_run(api, *args[:place], "--json", *args[place:])

    assert result.exit_code == 0, result.stderr
    assert isinstance(json.loads(result.stdout), dict)
