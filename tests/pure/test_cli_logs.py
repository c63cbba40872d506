"""`levare logs`, and a submit that is followed: byte for byte."""

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from levare.cli import levare
from levare.client import Client
from tests.pure.scripted import (
    END,
    JOB,
    URL,
    Api,
    a_job,
    a_log,
    a_stream,
    an_ended_job,
    levare_run,
)


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


def test_what_had_no_attempt_ends_as_json_too():
    api = Api().on(f"GET /v1/jobs/{JOB}", an_ended_job("failed", None, attempt=0, reason="1 of 3 elements failed: 2."))

    result = levare_run(api, "logs", "-f", JOB, "--json")

    told = json.loads(result.stdout)
    assert told.pop("reason") == "1 of 3 elements failed: 2."
    assert told == {"event": "end", "attempt": None, "state": "failed", "exit_code": None}


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
