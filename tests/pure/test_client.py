"""The client against a scripted API: what it sends again, what it never does, and the errors it raises."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from levare import errors
from levare.client import Client, Job

Answer = httpx.Response | Exception
URL = "http://api.test:8420"


class Api:
    """Answers as it is told, in order, and remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def paths(self) -> list[str]:
        return [str(request.url).removeprefix(URL) for request in self.asked]


def a_client(api: Callable[[httpx.Request], httpx.Response], *, patience: float = 2.0) -> Client:
    return Client(URL, "secret", patience=patience, transport=httpx.MockTransport(api))


def a_job(**other: Any) -> Job:
    job: Any = {"id": "k3v9x2m1qa", "state": "running", "attempt": 1, "exit_code": None, **other}
    return job


def an_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json=content, headers=headers)


def a_problem(code: str, status: int, **other: Any) -> httpx.Response:
    document = {"code": code, "status": status, "title": "A title", "detail": "What was wrong.", **other}
    return httpx.Response(status, json=document, headers={"Content-Type": "application/problem+json"})


def a_stream(*chunks: str, broken: bool = False) -> httpx.Response:
    def content() -> Iterator[bytes]:
        yield from (chunk.encode() for chunk in chunks)
        if broken:
            raise httpx.ReadError("connection reset")

    return httpx.Response(200, content=content(), headers={"Content-Type": "text/event-stream"})


def an_event(kind: str, place: int, **data: Any) -> str:
    return f"event: {kind}\nid: {place}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def an_end(place: int, state: str = "succeeded", code: int = 0) -> str:
    return an_event("end", place, state=state, exit_code=code, reason=None, attempt=1)


REFUSED = httpx.ConnectError("[Errno 111] Connection refused")


@pytest.mark.parametrize("trouble", [httpx.ReadError("reset"), REFUSED, httpx.Response(502), httpx.Response(503)])
def test_a_submit_that_met_trouble_is_sent_again_under_the_same_key(trouble: Answer):
    api = Api(trouble, an_answer(a_job(), 201))

    job = a_client(api).submit(["true"])

    keys = [request.headers["Idempotency-Key"] for request in api.asked]
    assert job["id"] == "k3v9x2m1qa"
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert api.asked[0].content == api.asked[1].content


def test_two_submits_never_share_a_key():
    api = Api(an_answer(a_job(), 201), an_answer(a_job(), 201))
    client = a_client(api)

    client.submit(["true"])
    client.submit(["true"])

    assert api.asked[0].headers["Idempotency-Key"] != api.asked[1].headers["Idempotency-Key"]


def test_a_submit_may_bring_its_own_key():
    api = Api(an_answer(a_job(), 201))

    a_client(api).submit(["true"], idempotency_key="nightly-7")

    assert api.asked[0].headers["Idempotency-Key"] == "nightly-7"


def test_a_submit_sends_only_what_was_said():
    api = Api(an_answer(a_job(), 201))

    a_client(api).submit(["python", "t.py"], gpus=2, start_after=datetime(2030, 1, 2, tzinfo=UTC))

    body = json.loads(api.asked[0].content)
    assert body == {"command": ["python", "t.py"], "gpus": 2, "start_after": "2030-01-02T00:00:00+00:00"}


def test_a_dry_run_carries_no_key_and_says_so():
    api = Api(an_answer({"accepted": True, "state": "waiting", "reasons": []}))

    answer = a_client(api).dry_run(["true"])

    assert answer["accepted"]
    assert api.asked[0].url.params["dry_run"] == "true"
    assert "Idempotency-Key" not in api.asked[0].headers


def test_a_refused_submit_is_not_sent_again():
    api = Api(a_problem("can-never-run", 422))

    with pytest.raises(errors.CanNeverRun):
        a_client(api).submit(["true"])

    assert len(api.asked) == 1


@pytest.mark.parametrize("trouble", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), httpx.Response(503)])
def test_a_token_whose_creation_met_trouble_is_not_created_again(trouble: Answer):
    api = Api(trouble)

    with pytest.raises(errors.Unavailable):
        a_client(api).create_token("laptop")

    assert len(api.asked) == 1


def test_a_token_that_was_certainly_not_created_is_asked_for_again():
    api = Api(REFUSED, an_answer({"id": "t", "token": "lv_x"}, 201))

    assert a_client(api).create_token("laptop").get("token") == "lv_x"


def test_patience_ends():
    def never(_: httpx.Request) -> httpx.Response:
        raise REFUSED

    with pytest.raises(errors.Unavailable) as told:
        a_client(never, patience=0.2).job("k3v9x2m1qa")

    assert told.value.detail == f"Nothing answers at {URL} (connection refused)."
    assert told.value.next_step == "Start it with `levare up`."


def test_an_api_that_stays_busy_is_told_as_it_says_itself():
    api = Api(*[a_problem("unavailable", 503, detail="The database does not answer.") for _ in range(20)])

    with pytest.raises(errors.Unavailable, match="The database does not answer"):
        a_client(api, patience=0.2).job("k3v9x2m1qa")

    assert len(api.asked) > 1


def test_a_problem_becomes_the_error_of_its_code_with_numbers_and_next_step():
    fault = {"field": "gpus", "value": 99, "limit": "at most 64", "message": "must be at most 64"}
    api = Api(a_problem("invalid-request", 422, detail="gpus is 99.", next_step="Ask for less.", errors=[fault]))

    with pytest.raises(errors.InvalidRequest) as told:
        a_client(api).submit(["true"], gpus=99)

    assert told.value.detail == "gpus is 99."
    assert told.value.next_step == "Ask for less."
    assert told.value.faults == (errors.Fault("gpus", "must be at most 64", 99, "at most 64"),)


def test_every_error_of_levare_comes_back_as_itself():
    for kind in errors.LevareError.__subclasses__():
        api = Api(a_problem(kind.code, 418))
        with pytest.raises(kind) as told:
            a_client(api).nodes()
        assert (type(told.value), told.value.code) == (kind, kind.code)


def test_an_unknown_code_keeps_its_name_and_status():
    api = Api(a_problem("out-of-tea", 418))

    with pytest.raises(errors.LevareError) as told:
        a_client(api).nodes()

    assert type(told.value) is errors.LevareError
    assert (told.value.code, told.value.status) == ("out-of-tea", 418)
    assert errors.LevareError.code == "error"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(404, text="<html>no</html>"),
        httpx.Response(500, json=["x"]),
        httpx.Response(307, headers={"Location": "https://elsewhere.test/"}),
    ],
)
def test_another_server_is_not_taken_for_the_api(answer: httpx.Response):
    with pytest.raises(errors.LevareError, match="not as levare's API"):
        a_client(Api(answer)).nodes()


def test_without_a_token_the_error_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVARE_TOKEN", raising=False)
    monkeypatch.delenv("LEVARE_HOME", raising=False)
    client = Client(URL, transport=httpx.MockTransport(Api(a_problem("unauthorized", 401))))

    with pytest.raises(errors.Unauthorized) as told:
        client.nodes()

    assert "LEVARE_TOKEN" in told.value.next_step
    assert "Authorization" not in client._wire._http.headers


def test_the_token_goes_with_every_request():
    api = Api(an_answer({"items": []}))

    a_client(api).nodes()

    assert api.asked[0].headers["Authorization"] == "Bearer secret"


def test_jobs_are_fetched_page_by_page_as_they_are_needed():
    pages = [
        an_answer({"items": [a_job(id="a"), a_job(id="b")], "next_cursor": "c1"}),
        an_answer({"items": [a_job(id="c")], "next_cursor": None}),
    ]
    api = Api(*pages)

    found = a_client(api).jobs(state=("running", "waiting"), team="vision")
    first = next(found)["id"]

    assert first == "a"
    assert len(api.asked) == 1
    assert [job["id"] for job in found] == ["b", "c"]
    assert api.paths[0] == "/v1/jobs?state=running&state=waiting&team=vision&limit=200"
    assert api.asked[1].url.params["cursor"] == "c1"


def test_jobs_end_at_the_limit():
    api = Api(an_answer({"items": [a_job(id="a"), a_job(id="b")], "next_cursor": "more"}))

    assert len(list(a_client(api).jobs(limit=2))) == 2
    assert api.asked[0].url.params["limit"] == "2"


def test_waiting_ends_with_the_final_job():
    api = Api(an_answer(a_job()), httpx.Response(503), an_answer(a_job(state="failed", exit_code=3)))

    job = a_client(api).wait("k3v9x2m1qa")

    assert (job["state"], job["exit_code"]) == ("failed", 3)


def test_waiting_gives_up_after_its_time():
    def running(_: httpx.Request) -> httpx.Response:
        return an_answer(a_job())

    with pytest.raises(TimeoutError, match="still running"):
        a_client(running).wait("k3v9x2m1qa", timeout=0.2)


def test_a_name_cannot_leave_its_place_in_the_path():
    api = Api(an_answer(a_job()))

    a_client(api).job("../tokens?x=1")

    assert api.asked[0].url.raw_path == b"/v1/jobs/..%2Ftokens%3Fx%3D1"


def test_a_log_says_where_it_stands_and_what_is_cut():
    headers = {
        "Levare-Offset": "100",
        "Levare-Next-Offset": "103",
        "Levare-Size": "200",
        "Levare-Cut": "50-100",
        "Levare-Complete": "false",
    }
    api = Api(httpx.Response(200, content=b"\xff\n\x00", headers=headers))

    log = a_client(api).log("k3v9x2m1qa", offset=60)

    assert log == {
        "data": b"\xff\n\x00",
        "offset": 100,
        "next_offset": 103,
        "size": 200,
        "cut": (50, 100),
        "complete": False,
    }


def test_health_is_told_even_when_it_is_bad():
    health = {"database": "does not answer", "redis": "ok"}
    api = Api(an_answer(health, 503, {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))

    found = a_client(api).health()

    assert (found["ready"], found["database"]) == (False, "does not answer")
    assert found["skew_seconds"] is not None
    assert found["skew_seconds"] < -1e9


def test_following_resumes_where_the_connection_broke():
    api = Api(
        an_answer(a_job()),
        a_stream(an_event("log", 4, offset=0, text="one\n"), "event: log\nid: 8\ndata: {", broken=True),
        REFUSED,
        a_stream(an_event("log", 8, offset=4, text="two\n")),
        a_stream(an_end(8)),
        an_answer(a_job(state="succeeded")),
    )

    found = list(a_client(api).follow("k3v9x2m1qa"))

    data = [event["data"] for event in found if event["event"] == "log"]
    places = [request.headers.get("Last-Event-ID") for request in api.asked[1:-1]]
    assert data == [b"one\n", b"two\n"]
    assert places == [None, "4", "4", "8"]
    assert found[-1]["event"] == "end"


def test_following_goes_on_with_the_next_attempt():
    api = Api(
        an_answer(a_job(state="waiting", attempt=0)),
        an_answer(a_job(attempt=1)),
        a_stream(an_event("log", 1, offset=0, text="a"), an_end(1, "failed", 1)),
        an_answer(a_job(attempt=1)),
        an_answer(a_job(attempt=2)),
        a_stream(an_event("log", 1, offset=0, text="b"), an_end(1)),
        an_answer(a_job(state="succeeded", attempt=2)),
    )

    found = list(a_client(api).follow("k3v9x2m1qa", offset=7))

    begins = [request.url.params["offset"] for request in api.asked if request.url.path.endswith("/logs")]
    assert [(event["event"], event["attempt"]) for event in found] == [("log", 1), ("end", 1), ("log", 2), ("end", 2)]
    assert begins == ["7", "0"]


def test_following_a_job_that_never_began_gives_nothing():
    api = Api(an_answer(a_job(state="cancelled", attempt=0)))

    assert list(a_client(api).follow("k3v9x2m1qa")) == []


def test_following_gives_bytes_and_cuts_as_they_are():
    stream = a_stream(
        ": keep-alive\n\n",
        an_event("log", 3, offset=0, base64="/wAK"),
        an_event("cut", 10, **{"from": 3, "to": 10}),
        an_event("log", 16, offset=10, text="a\u2028b\r"),
        an_end(16),
    )
    api = Api(stream)

    found = list(a_client(api).follow("k3v9x2m1qa", attempt=1))

    assert found[0] == {"event": "log", "attempt": 1, "offset": 0, "data": b"\xff\x00\n"}
    assert found[1] == {"event": "cut", "attempt": 1, "start": 3, "end": 10}
    assert found[2] == {"event": "log", "attempt": 1, "offset": 10, "data": "a\u2028b\r".encode()}


def test_events_do_not_depend_on_how_the_stream_is_cut():
    text = an_event("log", 4, offset=0, text="één\n") + an_end(4)
    expected = list(a_client(Api(a_stream(text))).follow("k3v9x2m1qa", attempt=1))

    def bytewise(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=(bytes([byte]) for byte in text.encode()))

    assert list(a_client(bytewise).follow("k3v9x2m1qa", attempt=1)) == expected


def test_following_does_not_wait_for_ever_for_an_api_that_ends_every_stream():
    def empty(_: httpx.Request) -> httpx.Response:
        return a_stream(": hello\n\n")

    with pytest.raises(errors.Unavailable, match="again and again"):
        list(a_client(empty).follow("k3v9x2m1qa", attempt=1, patience=0.2))


def test_following_a_job_that_is_not_there_is_not_tried_again():
    api = Api(a_problem("not-found", 404))

    with pytest.raises(errors.NotFound):
        list(a_client(api).follow("nojob", attempt=1))

    assert len(api.asked) == 1


def test_a_write_for_one_version_says_so_and_is_not_sent_again_behind_a_broken_connection():
    team = {"name": "vision", "weight": 2.0}
    api = Api(an_answer(team), an_answer(team), httpx.ReadError("connection reset"))
    client = a_client(api)

    client.set_team("vision", if_match=12, weight=2.0)
    client.remove_team("vision", if_match='"12-9f1c3a520b6e4c1e"')
    with pytest.raises(errors.LevareError, match=r"connection reset|not answer"):
        client.remove_team("vision", if_match=12)

    assert [asked.headers["If-Match"] for asked in api.asked] == ['"12"', '"12-9f1c3a520b6e4c1e"', '"12"']
