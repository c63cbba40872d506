import base64
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.end_to_end.serving import Api, refused
from tests.fleet import eventually

HEAD, TAIL = b"head ", b"tail\n"


@pytest.fixture
def job_id(api: Api) -> str:
    api.join()
    return api.submit()


@pytest.fixture
def cut_log(api: Api, job_id: str) -> str:
    """A finished job whose log is "head ", a cut from 5 to 100, and "tail\\n"."""
    attempt = api.start(job_id)
    api.write(attempt, (0, HEAD), (100, TAIL))
    api.finish(attempt, state="failed", exit_code=3)
    return job_id


def read(api: Api, job_id: str, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    return api.client.get(f"/v1/jobs/{job_id}/logs", params=params, headers=headers)


def told(answer: httpx.Response) -> dict[str, str]:
    names = ("Offset", "Next-Offset", "Size", "Cut", "Complete")
    return {name: answer.headers[f"Levare-{name}"] for name in names if f"Levare-{name}" in answer.headers}


class Stream:
    """Events of a log, as a thread hears them."""

    def __init__(self, api: Api, job_id: str, last_event_id: str | None = None, **params: Any) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        self.events: list[tuple[str, str, Any]] = []
        self._request = api.client.build_request("GET", f"/v1/jobs/{job_id}/logs", params=params, headers=headers)
        self._client = api.client

    def listen(self) -> None:
        response = self._client.send(self._request, stream=True)
        try:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines: dict[str, str] = {}
            for line in response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    lines[name] = value
                elif "event" in lines:
                    self.events.append((lines["event"], lines["id"], json.loads(lines["data"])))
                    lines = {}
        finally:
            response.close()

    @property
    def text(self) -> bytes:
        logs = [data for event, _, data in self.events if event == "log"]
        return b"".join(base64.b64decode(d["base64"]) if "base64" in d else d["text"].encode() for d in logs)


@contextmanager
def listening(stream: Stream) -> Iterator[Future[None]]:
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(stream.listen)


def followed(api: Api, job_id: str, **options: Any) -> list[tuple[str, str, Any]]:
    """All events of a log that is over."""
    stream = Stream(api, job_id, **options)
    stream.listen()
    return stream.events


def test_a_log_is_served_byte_for_byte(api: Api, job_id: str):
    written = bytes(range(256)) * 3
    attempt = api.start(job_id)
    api.write(attempt, (0, written[:300]), (300, written[300:]))

    assert read(api, job_id).content == written
    assert read(api, job_id, offset=250, limit=10).content == written[250:260]
    assert read(api, job_id, offset=-5).content == written[-5:]
    assert read(api, job_id).headers["content-type"] == "text/plain; charset=utf-8"


def test_a_job_that_has_not_begun_has_an_empty_log(api: Api, job_id: str):
    answer = read(api, job_id)

    assert (answer.status_code, answer.content) == (200, b"")
    assert told(answer) == {"Offset": "0", "Next-Offset": "0", "Size": "0", "Complete": "false"}


def test_a_cut_is_marked_in_the_whole_log(api: Api, cut_log: str):
    assert read(api, cut_log).content == b"head \n[levare: 95 bytes cut]\ntail\n"


def test_a_part_stops_before_a_cut_and_the_next_one_tells_of_it(api: Api, cut_log: str):
    first, second = read(api, cut_log, offset=0), read(api, cut_log, offset=5)

    assert (first.content, second.content) == (HEAD, TAIL)
    assert told(first) == {"Offset": "0", "Next-Offset": "5", "Size": "105", "Complete": "false"}
    assert told(second) == {
        "Offset": "100",
        "Next-Offset": "105",
        "Size": "105",
        "Cut": "5-100",
        "Complete": "true",
    }


@pytest.mark.parametrize(
    ("wanted", "content_range", "content"),
    [
        ("bytes=0-3", "bytes 0-3/105", b"head"),
        ("bytes=1-", "bytes 1-4/105", b"ead "),
        ("bytes=3-101", "bytes 3-4/105", b"d "),
        ("bytes=50-101", "bytes 100-101/105", b"ta"),
        ("bytes=101-1000", "bytes 101-104/105", b"ail\n"),
        ("bytes=-4", "bytes 101-104/105", b"ail\n"),
        ("bytes=-1000", "bytes 0-4/105", HEAD),
    ],
)
def test_a_range_gives_what_is_kept_of_it_up_to_a_cut(
    api: Api, cut_log: str, wanted: str, content_range: str, content: bytes
):
    answer = read(api, cut_log, {"Range": wanted})

    assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, content_range, content)


@pytest.mark.parametrize("wanted", ["bytes=105-", "bytes=10-20", "bytes=-0"])
def test_a_range_without_a_kept_byte_is_refused(api: Api, cut_log: str, wanted: str):
    answer = read(api, cut_log, {"Range": wanted})

    refused(answer, 416, "range-not-satisfiable")
    assert answer.headers["content-range"] == "bytes */105"


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "lines=0-1", "bytes=4-1", "bytes=-", "bytes=x-"])
def test_a_range_of_another_kind_is_passed_over(api: Api, cut_log: str, wanted: str):
    assert read(api, cut_log, {"Range": wanted}).status_code == 200


def test_a_log_is_followed_to_its_end(api: Api, job_id: str):
    attempt, stream = api.start(job_id), Stream(api, job_id)
    with listening(stream) as ending:
        api.write(attempt, (0, b"one\n"))
        eventually(lambda: stream.text == b"one\n")
        assert not ending.done()
        api.write(attempt, (4, b"two\n"))
        api.finish(attempt, state="failed", exit_code=3)
        ending.result(20)

    assert stream.text == b"one\ntwo\n"
    assert stream.events[-1] == (
        "end",
        "8",
        {"state": "failed", "exit_code": 3, "reason": "It ended.", "attempt": 1},
    )


def test_a_follower_waits_for_the_first_attempt(api: Api, job_id: str):
    stream = Stream(api, job_id)
    with listening(stream) as ending:
        attempt = api.start(job_id)
        api.write(attempt, (0, b"one\n"))
        api.finish(attempt)
        ending.result(20)

    assert [event for event, _, _ in stream.events] == ["log", "end"]


def test_the_end_waits_until_the_job_has_drawn_its_consequence(api: Api, job_id: str):
    attempt, stream = api.start(job_id), Stream(api, job_id)
    with listening(stream) as ending:
        api.write(attempt, (0, b"x"))
        api.finish(attempt, state="timed_out", exit_code=143, settle=False)
        eventually(lambda: stream.text == b"x")
        assert not ending.done()
        api.settle(attempt, state="failed", exit_code=143)
        ending.result(20)

    assert stream.events[-1][2]["state"] == "failed"


def test_a_cut_is_an_event(api: Api, cut_log: str):
    assert followed(api, cut_log)[:3] == [
        ("log", "5", {"offset": 0, "text": "head "}),
        ("cut", "100", {"from": 5, "to": 100}),
        ("log", "105", {"offset": 100, "text": "tail\n"}),
    ]


def over_a_socket(api: Api, job_id: str, token: str, query: str = "") -> tuple[list[Any], int]:
    """All that comes of a log over a WebSocket, and with which code it is closed."""
    url = f"{api.url.replace('http', 'ws')}/v1/jobs/{job_id}/logs{query}"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, open_timeout=60) as socket:
        return [json.loads(text) for text in socket], socket.close_code or 0


def test_the_same_comes_over_a_websocket_to_its_end(api: Api, cut_log: str):
    token = api.settings.token_file.read_text()

    whole, code = over_a_socket(api, cut_log, token)
    rest, _ = over_a_socket(api, cut_log, token, "?offset=100&attempt=1")

    assert whole[:3] == [
        {"event": "log", "id": 5, "offset": 0, "text": "head "},
        {"event": "cut", "id": 100, "from": 5, "to": 100},
        {"event": "log", "id": 105, "offset": 100, "text": "tail\n"},
    ]
    assert [(each["event"], each.get("state")) for each in whole[3:]] == [("end", "failed")]
    assert (rest, code) == (whole[2:], 1000)


def test_nobody_else_follows_a_log_over_a_websocket(api: Api, job_id: str):
    foreign = api.client.post("/v1/tokens", json={"name": "eve", "teams": {"another": "viewer"}}).json()["token"]
    own = api.settings.token_file.read_text()

    for token, job, query in (
        (foreign, job_id, ""),
        ("lv_no", job_id, ""),
        (own, "nope", ""),
        (own, job_id, "?rank=x"),
    ):
        with pytest.raises(InvalidStatus, match="403"):
            over_a_socket(api, job, token, query)


@pytest.mark.parametrize(
    ("last_event_id", "expected"), [("3", ["log", "cut", "log", "end"]), ("5", ["cut", "log", "end"]), ("105", ["end"])]
)
def test_a_stream_goes_on_behind_the_last_event(api: Api, cut_log: str, last_event_id: str, expected: list[str]):
    events = followed(api, cut_log, last_event_id=last_event_id, offset=0)

    assert [event for event, _, _ in events] == expected
    assert [data["offset"] for event, _, data in events if event == "log"][:1] in ([3], [100], [])


def test_every_event_id_is_a_place_to_go_on_from(api: Api, job_id: str):
    written = "ä€😀\n".encode() * 20_000 + b"\xff\xfe" + "ö".encode()
    attempt = api.start(job_id)
    api.write(attempt, *((i, written[i : i + 7919]) for i in range(0, len(written), 7919)))
    api.finish(attempt)

    whole = Stream(api, job_id)
    whole.listen()
    [event_id] = [event_id for _, event_id, _ in whole.events[2:3]]
    rest = Stream(api, job_id, last_event_id=event_id)
    rest.listen()

    assert whole.text == written
    assert rest.text == written[int(event_id) :]


def test_a_character_is_never_torn_while_it_is_still_arriving(api: Api, job_id: str):
    attempt, stream = api.start(job_id), Stream(api, job_id)
    euro = "€".encode()
    with listening(stream) as ending:
        api.write(attempt, (0, b"a" + euro[:1]))
        eventually(lambda: stream.text == b"a")
        api.write(attempt, (2, euro[1:]))
        eventually(lambda: stream.text == b"a" + euro)
        api.write(attempt, (4, euro[:2]))
        api.finish(attempt)
        ending.result(20)

    assert all("text" in data for event, _, data in stream.events[:2] if event == "log")
    assert stream.text == b"a" + euro + euro[:2]


def test_a_followed_job_that_is_cancelled_before_it_starts_ends(api: Api, job_id: str):
    stream = Stream(api, job_id)
    with listening(stream) as ending:
        api.settle(f"{job_id}-1", state="cancelled", exit_code=0)
        ending.result(20)

    assert [(event, data["state"], data["attempt"]) for event, _, data in stream.events] == [("end", "cancelled", 0)]


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1" * 19])
def test_an_event_id_that_no_stream_gave_is_refused(local_api: Api, last_event_id: str):
    answer = read(local_api, "nosuchjob1", {"Last-Event-ID": last_event_id})

    refused(answer, 422, "invalid-request")


@pytest.mark.parametrize("params", [{"offset": 2**63}, {"limit": 0}, {"attempt": 0}, {"attempt": 10**9}])
def test_a_part_out_of_bounds_is_refused(local_api: Api, params: dict[str, int]):
    answer = local_api.client.get("/v1/jobs/nosuchjob1/logs", params=params)

    refused(answer, 422, "invalid-request")
