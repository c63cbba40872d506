"""The command line against a scripted API: what it sends, what it prints where, and how it exits."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from levare.cli import levare
from levare.client import Client

URL = "http://api.test:8420"
JOB = "k3v9x2m1qa"


class Api:
    """Answers by method and path; several answers of one path come in order, the last of them for ever."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[httpx.Request] = []
        for place, answer in answers.items():
            self.on(place, answer)

    def on(self, place: str, *answers: Any) -> "Api":
        self.answers[place] = list(answers)
        return self

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answers = self.answers.get(f"{request.method} {request.url.path}")
        if not answers:
            return a_problem("not-found", 404, detail=f"There is nothing at {request.url.path}.")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def body(self, place: int = -1) -> dict[str, Any]:
        return json.loads(self.asked[place].content)


def levare_run(api: Api, *args: str, **extra: Any) -> Result:
    client = Client(URL, "secret", patience=0, transport=httpx.MockTransport(api))
    return CliRunner().invoke(levare, list(args), obj=client, **extra)


def a_job(**other: Any) -> dict[str, Any]:
    job = {
        "id": JOB,
        "name": "resnet-50",
        "team": "vision",
        "project": "imagenet",
        "user": "admin",
        "state": "waiting",
        "priority": 5,
        "command": ["python", "train.py", "--note", "two words"],
        "cwd": "/data",
        "env": {"SEED": "1"},
        "gpus": 2,
        "gpu_memory_mib": None,
        "cpus": 8,
        "memory_mib": 65536,
        "needs": [],
        "timeout_seconds": None,
        "grace_seconds": 10,
        "retries": 0,
        "on_lost": "keep",
        "start_after": None,
        "attempt": 0,
        "node": None,
        "exit_code": None,
        "reason": None,
        "progress": None,
        "created_at": "2030-01-01T12:00:00Z",
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
    }
    return job | other


def an_ended_job(state: str = "succeeded", code: int | None = 0, **other: Any) -> dict[str, Any]:
    times = {"started_at": "2030-01-01T12:00:00Z", "finished_at": "2030-01-01T12:03:12Z"}
    return a_job(state=state, exit_code=code, attempt=1, node="node-a", reason="It ended.", **times) | other


def an_attempt(number: int = 1, **other: Any) -> dict[str, Any]:
    gpu = {"uuid": "GPU-1", "index": 0, "model": "NVIDIA H100", "memory_mib": 81920}
    attempt = {
        "id": f"{JOB}-{number}",
        "job": JOB,
        "number": number,
        "state": "failed",
        "node": "node-a",
        "queue": "gpu.node-a",
        "gpus": [gpu, gpu | {"uuid": "GPU-2", "index": 1}],
        "placed_at": "2030-01-01T12:00:00Z",
        "claimed_at": "2030-01-01T12:00:00Z",
        "started_at": "2030-01-01T12:00:00Z",
        "ended_at": "2030-01-01T14:05:00Z",
        "exit_code": 137,
        "signal": 9,
        "reason": "Killed.",
        "peak_memory_mib": 2048,
        "cpu_seconds": 120.5,
        "gpu_memory_mib": 18000,
        "gpu_utilisation_percent": 87.5,
        "log_bytes": 4096,
        "points": 100,
        "points_dropped": 0,
    }
    return attempt | other


def a_node(name: str = "node-a", **other: Any) -> dict[str, Any]:
    device = {"uuid": "GPU-1", "index": 0, "model": "NVIDIA H100", "memory_mib": 81920, "simulated": False}
    sample = {
        "at": datetime.now(UTC).timestamp(),
        "cpu_percent": 42.4,
        "disk_used_percent": 25.0,
        "disk_free_gib": 100.0,
        "gpu0_utilisation_percent": 97.0,
        "gpu0_memory_used_mib": 40960,
        "gpu0_power_watts": 650.0,
        "gpu0_temperature_celsius": 61.0,
    }
    node = {
        "name": name,
        "state": "ready",
        "cpus": 16,
        "memory_mib": 131072,
        "cpus_free": 8,
        "memory_free_mib": 65536,
        "devices": [device | {"free_mib": 0, "attempts": [f"{JOB}-1"]}],
        "version": "0.1.0",
        "joined_at": "2030-01-01T12:00:00Z",
        "renewed_at": datetime.now(UTC).isoformat(),
        "labels": {},
        "attempts": [f"{JOB}-1"],
        "sample": sample,
    }
    return node | other


def a_problem(code: str, status: int, **other: Any) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "What was wrong.", **other})


def a_log(data: bytes, *, offset: int = 0, size: int | None = None, cut: str | None = None) -> httpx.Response:
    headers = {
        "Levare-Offset": str(offset),
        "Levare-Next-Offset": str(offset + len(data)),
        "Levare-Size": str(offset + len(data) if size is None else size),
        "Levare-Complete": "true",
    }
    return httpx.Response(200, content=data, headers=headers | ({"Levare-Cut": cut} if cut else {}))


def a_stream(*events: tuple[str, dict[str, Any]], interrupted: bool = False) -> httpx.Response:
    def content() -> Iterator[bytes]:
        for place, (kind, data) in enumerate(events):
            yield f"event: {kind}\nid: {place}\ndata: {json.dumps(data)}\n\n".encode()
        if interrupted:
            raise KeyboardInterrupt

    return httpx.Response(200, content=content())


END = ("end", {"state": "succeeded", "exit_code": 0, "reason": None})


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
    assert not loaded & {"sqlmodel", "sqlalchemy", "celery", "kombu", "fastapi", "pydantic", "structlog", "redis", "psutil"}
    assert not {name for name in loaded if name.startswith(("app", "worker", "beat", "levare.store", "levare.decide"))}


def test_submit_prints_the_id_and_nothing_else():
    api = Api().on("POST /v1/jobs", a_job())

    result = levare_run(api, "submit", "--", "python", "train.py", "--lr", "0.1")

    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{JOB}\n", "")
    assert api.body()["command"] == ["python", "train.py", "--lr", "0.1"]


def test_submit_needs_no_dashes_before_a_command_with_options():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--gpus", "1", "python", "train.py", "--gpus", "8", "--json")

    assert api.body()["command"] == ["python", "train.py", "--gpus", "8", "--json"]
    assert api.body()["gpus"] == 1


def test_submit_sends_every_option_in_the_units_of_the_api():
    api = Api().on("POST /v1/jobs", a_job())
    said = "--name n --team t --project p --priority 9 --gpus 2 --gpu-memory 20GiB --cpus 4 --memory 64G --needs a1"
    more = "--needs a2 --retries 3 --timeout 1h30m --grace 2m --on-lost requeue --cwd /data --at 2030-01-02T12:00:00+02:00"

    result = levare_run(api, "submit", *said.split(), *more.split(), "--", "true")

    assert result.exit_code == 0, result.stderr
    body = api.body()
    del body["env"]
    assert body == {
        "command": ["true"],
        "name": "n",
        "team": "t",
        "project": "p",
        "priority": 9,
        "gpus": 2,
        "gpu_memory_mib": 20480,
        "cpus": 4,
        "memory_mib": 65536,
        "needs": ["a1", "a2"],
        "retries": 3,
        "timeout_seconds": 5400,
        "grace_seconds": 120,
        "on_lost": "requeue",
        "cwd": "/data",
        "start_after": "2030-01-02T10:00:00+00:00",
    }


def test_submit_sends_a_zero_that_was_said():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--priority", "0", "--grace", "0", "--", "true")

    assert (api.body()["priority"], api.body()["grace_seconds"]) == (0, 0)


def test_submit_sends_this_place_and_only_the_named_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    for name in ("VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/venv/bin:/usr/bin")
    monkeypatch.setenv("CONDA_PREFIX", "/conda")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("TOKEN", "a=b")
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--env", "SEED=7", "--env", "TOKEN", "--env", "CONDA_PREFIX=", "--", "true")

    assert api.body()["cwd"] == str(tmp_path)
    assert api.body()["env"] == {"PATH": "/venv/bin:/usr/bin", "CONDA_PREFIX": "", "SEED": "7", "TOKEN": "a=b"}


@pytest.mark.parametrize(("said", "sent"), [("", ""), ("data", "{here}/data"), ("/data", "/data")])
def test_submit_makes_a_directory_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, sent: str):
    monkeypatch.chdir(tmp_path)
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--cwd", said, "--", "true")

    assert api.body()["cwd"] == sent.format(here=tmp_path)


def test_submit_at_a_time_from_now_or_in_this_machines_zone():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--at", "+30m", "--", "true")
    levare_run(api, "submit", "--at", "2030-07-01 20:00", "--", "true")

    soon, later = (datetime.fromisoformat(api.body(place)["start_after"]) for place in (0, 1))
    assert timedelta(minutes=29) < soon - datetime.now(UTC) <= timedelta(minutes=30)
    assert later == datetime(2030, 7, 1, 20).astimezone()  # noqa: DTZ001  # local time is what is meant


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


def test_an_api_that_is_not_there_is_told_without_a_traceback():
    api = Api().on("GET /v1/jobs", httpx.ConnectError("[Errno 111] Connection refused"))

    result = levare_run(api, "jobs")

    assert result.exit_code == 1
    assert result.stderr == f"error: Nothing answers at {URL} (connection refused).\nnext: Start it with `levare up`.\n"


def test_a_dry_run_says_why_it_would_wait():
    reason = {"code": "gpus-busy", "kind": "will-wait", "message": "Asks for 4 GPUs; 2 are free.", "asked": 4}
    answer = {"accepted": True, "state": "waiting", "reasons": [reason]}
    api = Api().on("POST /v1/jobs", answer)

    result = levare_run(api, "submit", "--dry-run", "--", "x")

    assert result.stdout == "It would be accepted, and be waiting at first.\n  - Asks for 4 GPUs; 2 are free.\n"
    assert api.asked[0].url.params["dry_run"] == "true"
    assert json.loads(levare_run(api, "submit", "--dry-run", "--json", "--", "x").stdout) == answer


def test_rerun_sends_the_same_request_again():
    old = an_ended_job("failed", 1, needs=["a1"], gpu_memory_mib=20480, timeout_seconds=60, start_after="2030-01-01T00:00:00Z")
    api = Api().on(f"GET /v1/jobs/{JOB}", old).on("POST /v1/jobs", a_job(id="n3w"))

    result = levare_run(api, "rerun", JOB)

    assert result.stdout == "n3w\n"
    asked = "command name team project priority gpus gpu_memory_mib cpus memory_mib needs retries timeout_seconds"
    names = [*asked.split(), "grace_seconds", "env", "cwd", "on_lost"]
    assert api.body() == {name: old[name] for name in names}


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("succeeded", 0, 0),
        ("failed", 3, 3),
        ("failed", None, 1),
        ("failed", 0, 1),
        ("cancelled", None, 1),
        ("cancelled", 143, 143),
    ],
)
def test_wait_exits_with_the_jobs_own_code(state: str, code: int | None, expected: int):
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running"), an_ended_job(state, code))

    assert levare_run(api, "wait", JOB).exit_code == expected


def test_wait_for_several_exits_with_the_first_code_that_is_not_0():
    api = Api().on("GET /v1/jobs/a", an_ended_job()).on("GET /v1/jobs/b", an_ended_job("failed", 4))
    api.on("GET /v1/jobs/c", an_ended_job("failed", 5))

    result = levare_run(api, "wait", "a", "b", "c", "--json")

    assert result.exit_code == 4
    assert [job["exit_code"] for job in json.loads(result.stdout)["items"]] == [0, 4, 5]


def test_wait_gives_up_with_124():
    result = levare_run(Api().on(f"GET /v1/jobs/{JOB}", a_job()), "wait", JOB, "--timeout", "0s")

    assert result.exit_code == 124
    assert "still waiting" in result.stderr


def test_jobs_are_a_table_of_what_people_look_for():
    jobs = [a_job(), an_ended_job("failed", 1, name="", progress=0.999)]
    api = Api().on("GET /v1/jobs", {"items": jobs, "next_cursor": None})

    lines = levare_run(api, "jobs").stdout.splitlines()

    assert lines[0].split() == ["id", "name", "state", "pri", "asks", "for", "node", "time", "done"]
    assert lines[1].startswith(f"{JOB}  resnet-50 ")
    assert "2 GPU, 8 CPU, 64GiB" in lines[1]
    assert "python train.py --note 'two words'" in lines[2]
    assert lines[2].endswith("node-a  3m12s   99%")


def test_jobs_send_their_filters_and_stop_at_the_limit():
    api = Api().on("GET /v1/jobs", {"items": [a_job(id=f"j{number}") for number in range(3)], "next_cursor": "c"})

    result = levare_run(api, "jobs", "--state", "running", "--state", "failed", "--team", "vision", "--limit", "2", "--json")

    assert [job["id"] for job in json.loads(result.stdout)["items"]] == ["j0", "j1"]
    assert str(api.asked[0].url.query, "ascii") == "state=running&state=failed&team=vision&limit=3"
    assert "more than these 2" in levare_run(api, "jobs", "--limit", "2").stderr


def test_a_name_cannot_steer_the_terminal():
    api = Api().on("GET /v1/jobs", {"items": [a_job(name="\x1b[2Jgone\x07[red]x[/]")], "next_cursor": None})

    result = levare_run(api, "jobs", color=True)

    assert "\x1b[2J" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[red]x[/]" in result.stdout


def test_show_tells_the_request_the_attempts_the_metrics_and_the_reason():
    trend = {"last": 0.31234567, "best_min": 0.3, "best_max": 2.3, "count": 1200}
    metrics = {"items": [], "next": None, "summary": {"train": {"loss": trend}, "val": {"acc": trend | {"last": "NaN"}}}}
    reason = {"code": "x", "kind": "will-wait", "message": "No room.", "asked": None, "available": None}
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(attempt=1)).on(f"GET /v1/jobs/{JOB}/metrics", metrics)
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": [an_attempt()]})
    api.on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "waiting", "reasons": [reason]})

    text = levare_run(api, "show", JOB).stdout

    rows = [line.split() for line in text.splitlines()]
    assert ["command", "python", "train.py", "--note", "'two", "words'"] in rows
    assert "  - No room." in text.splitlines()
    assert "1 node-a failed 137 2h05m 2m00s 2GiB 0 1 (NVIDIA H100)".split() in rows
    assert "train loss 0.3123 0.3 2.3 1,200".split() in rows
    assert "val acc NaN 0.3 2.3 1,200".split() in rows


def test_show_as_json_is_the_job_with_all_that_belongs_to_it():
    api = Api().on(f"GET /v1/jobs/{JOB}", an_ended_job()).on(f"GET /v1/jobs/{JOB}/attempts", {"items": [an_attempt()]})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next": None, "summary": {}})

    found = json.loads(levare_run(api, "show", JOB, "--json").stdout)

    assert (found["id"], found["state"], found["attempts"][0]["number"]) == (JOB, "succeeded", 1)
    assert (found["metrics"], found["reasons"]) == ({}, [])


def test_why_answers_like_a_colleague():
    reasons = [
        {"code": "a", "kind": "will-wait", "message": "Asks for 4 GPUs on one node; the most free is 2 (node-a)."},
        {"code": "b", "kind": "can-never-run", "message": "No node has 4 GPUs."},
    ]
    api = Api().on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "waiting", "reasons": reasons})
    api.on(f"GET /v1/jobs/{JOB}", a_job(created_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat()))

    assert levare_run(api, "why", JOB).stdout.splitlines() == [
        f"{JOB} (resnet-50) has been waiting for 2h00m; it asks for 2 GPU, 8 CPU, 64GiB.",
        "It can never run as it is:",
        "  - No node has 4 GPUs.",
        "It will start by itself when this changes:",
        "  - Asks for 4 GPUs on one node; the most free is 2 (node-a).",
    ]


def test_why_of_a_job_that_does_not_wait_says_what_became_of_it():
    api = Api().on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "failed", "reasons": []})
    api.on(f"GET /v1/jobs/{JOB}", an_ended_job("failed", 3, reason="Exited with code 3."))

    assert levare_run(api, "why", JOB).stdout == f"{JOB} (resnet-50) failed after 3m12s: Exited with code 3.\n"


def test_cancel_tells_a_wish_from_what_had_ended_before():
    running = a_job(state="running", node="node-a", cancel_requested_at="2030-01-01T12:00:00Z")
    api = Api().on("DELETE /v1/jobs/a", running | {"id": "a"}).on("DELETE /v1/jobs/b", an_ended_job() | {"id": "b"})

    lines = levare_run(api, "cancel", "a", "b").stdout.splitlines()

    assert lines == [
        "a is being cancelled; it is still running on node-a",
        "b had succeeded after 3m12s already; nothing changed",
    ]


def test_logs_are_the_bytes_that_were_written():
    data = bytes(range(256)) * 10

    result = levare_run(Api().on(f"GET /v1/jobs/{JOB}/logs", a_log(data)), "logs", JOB)

    assert result.stdout_bytes == data


@pytest.mark.parametrize(
    ("lines", "expected"),
    [("1", b"three\n"), ("2", b"two\nthree\n"), ("9", b"one\ntwo\nthree\n"), ("0", b"")],
)
def test_logs_can_begin_with_the_last_lines(lines: str, expected: bytes):
    data = b"one\ntwo\nthree\n"

    def a_part(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        start = max(len(data) + offset, 0) if offset < 0 else offset
        return a_log(data[start:], offset=start, size=len(data))

    client = Client(URL, "secret", transport=httpx.MockTransport(lambda request: log_or_job(request, a_part)))
    result = CliRunner().invoke(levare, ["logs", JOB, "--tail", lines], obj=client)

    assert result.stdout_bytes == expected


def log_or_job(request: httpx.Request, log: Any) -> httpx.Response:
    return log(request) if request.url.path.endswith("/logs") else httpx.Response(200, json=a_job())


def test_logs_mark_what_is_cut_where_they_are_read_in_parts():
    api = Api().on(f"GET /v1/jobs/{JOB}/logs", a_log(b"a\nb\n", size=4), a_log(b"b\n", offset=2, size=12))
    api.answers[f"GET /v1/jobs/{JOB}/logs"].append(a_log(b"z\n", offset=10, cut="4-10"))

    result = levare_run(api, "logs", JOB, "--tail", "1")

    assert result.stdout == "b\n\n[levare: 6 bytes cut]\nz\n"


def test_logs_of_a_job_that_waits_say_so_and_print_nothing():
    api = Api().on(f"GET /v1/jobs/{JOB}/logs", a_log(b"")).on(f"GET /v1/jobs/{JOB}", a_job())

    result = levare_run(api, "logs", JOB)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing yet; it is waiting" in result.stderr


def test_logs_as_json_are_one_document_with_text_or_base_64():
    api = Api().on(f"GET /v1/jobs/{JOB}/logs", a_log(b"hi\n"), a_log(b"\xff"))

    assert json.loads(levare_run(api, "logs", JOB, "--json").stdout)["text"] == "hi\n"
    assert json.loads(levare_run(api, "logs", JOB, "--json").stdout)["base64"] == "/w=="


def test_following_prints_the_bytes_and_notes_elsewhere():
    stream = a_stream(("log", {"offset": 0, "base64": "/wAK"}), ("cut", {"from": 3, "to": 9}), END)
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running", attempt=1), an_ended_job())
    api.on(f"GET /v1/jobs/{JOB}/logs", stream)

    result = levare_run(api, "logs", "-f", JOB)

    assert result.stdout_bytes == b"\xff\x00\n\n[levare: 6 bytes cut]\n"
    assert result.stderr == f"{JOB} (resnet-50) succeeded after 3m12s: It ended.\n"
    assert result.exit_code == 0


def test_following_as_json_is_a_line_for_each_event():
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running", attempt=1), an_ended_job())
    api.on(f"GET /v1/jobs/{JOB}/logs", a_stream(("log", {"offset": 0, "text": "hi\n"}), END))

    result = levare_run(api, "logs", "-f", JOB, "--json")

    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0] == {"event": "log", "attempt": 1, "offset": 0, "text": "hi\n"}
    assert [event["event"] for event in events] == ["log", "end"]
    assert result.stderr == ""


def test_a_submit_that_is_followed_exits_with_the_jobs_code():
    failed = an_ended_job("failed", 7)
    api = Api().on("POST /v1/jobs", a_job()).on(f"GET /v1/jobs/{JOB}", a_job(attempt=1), failed)
    api.on(f"GET /v1/jobs/{JOB}/logs", a_stream(("log", {"offset": 0, "text": "hi\n"}), END))

    result = levare_run(api, "submit", "--follow", "--", "x")

    assert (result.exit_code, result.stdout) == (7, "hi\n")
    assert result.stderr.startswith(f"{JOB} submitted\n")


def test_a_second_attempt_is_announced_between_the_logs():
    ended = ("end", {"state": "failed", "exit_code": 1, "reason": "Exited with code 1."})
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(attempt=1), a_job(attempt=2), an_ended_job(attempt=2))
    first = a_stream(("log", {"offset": 0, "text": "one\n"}), ended)
    api.on(f"GET /v1/jobs/{JOB}/logs", first, a_stream(("log", {"offset": 0, "text": "two\n"}), END))

    result = levare_run(api, "logs", "-f", JOB)

    assert result.stdout == "one\ntwo\n"
    assert "Attempt 1 failed: Exited with code 1. Now attempt 2." in result.stderr


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back():
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running", attempt=1)).on("POST /v1/jobs", a_job())
    api.on(f"GET /v1/jobs/{JOB}/logs", a_stream(("log", {"offset": 0, "text": "hi\n"}), interrupted=True))

    result = levare_run(api, "submit", "--follow", "--", "x")

    assert (result.exit_code, result.stdout) == (130, "hi\n")
    assert f"levare logs -f {JOB}" in result.stderr
    assert f"levare cancel {JOB}" in result.stderr
    assert not [request for request in api.asked if request.method == "DELETE"]


def test_nodes_show_what_is_free_and_one_node_its_gpus():
    api = Api().on("GET /v1/nodes", {"items": [a_node()]}).on("GET /v1/nodes/node-a", a_node())

    rows = [line.split() for line in levare_run(api, "nodes").stdout.splitlines()]
    one = levare_run(api, "nodes", "node-a").stdout

    assert rows[1][:8] == ["node-a", "ready", "0/1", "8/16", "64GiB", "42%", "25%", "1"]
    assert f"0  NVIDIA H100  97%  40GiB  80/80GiB   650W   61C  {JOB}" in one
    assert json.loads(levare_run(api, "nodes", "--json").stdout)["items"][0]["name"] == "node-a"


@pytest.mark.parametrize(("command", "state"), [("drain", "draining"), ("resume", "ready")])
def test_drain_and_resume_set_the_state_of_a_node(command: str, state: str):
    api = Api().on("PUT /v1/nodes/node-a/state", a_node(state=state))

    result = levare_run(api, command, "node-a")

    assert api.body() == {"state": state}
    assert f"node-a is {state}" in result.stdout


def test_top_off_a_terminal_prints_once():
    running = a_job(state="running", node="node-a", started_at="2030-01-01T12:00:00Z", progress=0.5)
    api = Api().on("GET /v1/nodes", {"items": [a_node()]})
    api.on("GET /v1/jobs", {"items": [running, a_job(id="other")], "next_cursor": None})

    text = levare_run(api, "top").stdout
    found = json.loads(levare_run(api, "top", "--json").stdout)

    assert text.splitlines()[0] == "1 of 1 nodes ready, 1 of 1 GPUs held, 1 job running, 1 waiting"
    assert "50%" in text
    assert "other" not in text
    assert [len(found["nodes"]), len(found["jobs"])] == [1, 2]


def test_a_new_token_is_all_that_goes_to_stdout():
    api = Api().on("POST /v1/tokens", {"id": "t1", "name": "laptop", "token": "lv_new"})

    result = levare_run(api, "tokens", "create", "laptop", "--expires", "2030-01-01T00:00:00Z")

    assert result.stdout == "lv_new\n"
    assert "cannot be shown again" in result.stderr
    assert api.body() == {"name": "laptop", "expires_at": "2030-01-01T00:00:00+00:00"}


def test_tokens_are_listed_and_revoked_by_name():
    old = {"id": "t1", "name": "laptop", "role": "admin", "created_at": "2030-01-01T12:00:00Z", "revoked_at": None}
    expired = old | {"id": "t2", "name": "old", "expires_at": "2020-01-01T00:00:00Z"}
    api = Api().on("GET /v1/tokens", {"items": [old | {"expires_at": None}, expired]}).on("DELETE /v1/tokens/t1", old)

    listed = levare_run(api, "tokens").stdout
    result = levare_run(api, "tokens", "revoke", "laptop")

    assert [line.split()[-1] for line in listed.splitlines()] == ["state", "valid", "expired"]
    assert (result.exit_code, result.stdout) == (0, "laptop is revoked\n")
    assert levare_run(api, "tokens", "list").stdout == listed


def a_healthy_api() -> Api:
    api = Api().on("GET /readyz", {"database": "ok", "redis": "ok"})
    return api.on("GET /v1/nodes", {"items": [a_node()]})


def test_doctor_is_content_when_all_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LEVARE_HOME", str(tmp_path))

    result = levare_run(a_healthy_api(), "doctor")

    assert result.exit_code == 0, result.stdout
    assert "FAIL" not in result.stdout
    assert {line.split(":")[0].split(maxsplit=1)[1] for line in result.stdout.splitlines()} == {
        "address",
        "api",
        "database",
        "redis",
        "clock",
        "token",
        "node node-a",
        "clock of node-a",
        "disk of node-a",
        f"disk of {tmp_path}",
    }


@pytest.mark.parametrize(
    ("place", "answer", "failing"),
    [
        ("GET /readyz", httpx.ConnectError("refused"), "api"),
        ("GET /readyz", httpx.Response(503, json={"database": "does not answer", "redis": "ok"}), "database"),
        ("GET /readyz", {"database": "ok", "redis": "does not answer"}, "redis"),
        (
            "GET /readyz",
            httpx.Response(
                200, json={"database": "ok", "redis": "ok"}, headers={"Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
            ),
            "clock",
        ),
        ("GET /v1/nodes", a_problem("unauthorized", 401, next_step="Ask for one."), "token"),
        ("GET /v1/nodes", {"items": []}, "nodes"),
        ("GET /v1/nodes", {"items": [a_node(state="lost")]}, "node node-a"),
        ("GET /v1/nodes", {"items": [a_node(sample=None)]}, "node node-a"),
        ("GET /v1/nodes", {"items": [a_node(sample=a_node()["sample"] | {"at": 0})]}, "clock of node-a"),
        ("GET /v1/nodes", {"items": [a_node(sample=a_node()["sample"] | {"disk_free_gib": 0.5})]}, "disk of node-a"),
    ],
)
def test_doctor_names_what_is_wrong_and_what_to_do(place: str, answer: Any, failing: str):
    result = levare_run(a_healthy_api().on(place, answer), "doctor", "--json")

    found = json.loads(result.stdout)
    wrong = [check for check in found["checks"] if not check["ok"]]
    assert (result.exit_code, found["ok"]) == (1, False)
    assert [check["name"] for check in wrong] == [failing]
    assert wrong[0]["next_step"]


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
        ["drain", "node-a"],
        ["resume", "node-a"],
        ["top"],
        ["tokens"],
        ["tokens", "list"],
        ["wait", JOB],
        ["logs", JOB],
        ["submit", "--", "x"],
        ["rerun", JOB],
        ["doctor"],
    ],
)
def test_json_is_all_that_goes_to_stdout(args: list[str]):
    api = a_healthy_api().on("GET /v1/jobs", {"items": [a_job()], "next_cursor": None}).on("POST /v1/jobs", a_job())
    api.on(f"GET /v1/jobs/{JOB}", an_ended_job()).on(f"DELETE /v1/jobs/{JOB}", an_ended_job())
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": []}).on(f"GET /v1/jobs/{JOB}/logs", a_log(b"hi"))
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next": None, "summary": {}})
    api.on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "succeeded", "reasons": []})
    api.on("GET /v1/tokens", {"items": []}).on("GET /v1/nodes/node-a", a_node()).on("PUT /v1/nodes/node-a/state", a_node())
    place = args.index("--") if "--" in args else len(args)

    result = levare_run(api, *args[:place], "--json", *args[place:])

    assert result.exit_code == 0, result.stderr
    assert isinstance(json.loads(result.stdout), dict)
