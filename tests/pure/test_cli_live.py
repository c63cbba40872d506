"""The live view: lines as a terminal would leave them, and how a job stands."""

from io import StringIO
from typing import Any

import httpx
import pytest
from rich.console import Console, Group

from levare.cli.live import Lines, Status, status_lines
from levare.client import Client

JOB = "k3v9x2m1qa"


@pytest.mark.parametrize(
    ("chunks", "lines", "rest"),
    [
        ([b"one\ntwo\n"], ["one", "two"], ""),
        ([b"on", b"e\nt"], ["one"], "t"),
        ([b"10%\r50%\r100%\n"], ["100%"], ""),
        ([b"10%\r", b"50%\r"], [], "50%\r"),
        ([b"10%\r", b"50%"], [], "50%"),
        ([b"dos\r\n"], ["dos"], ""),
        ([b"dos\r", b"\n"], ["dos"], ""),
        (["één".encode()[:1], "één\n".encode()[1:]], ["één"], ""),
        ([b"\xff\n"], ["\N{REPLACEMENT CHARACTER}"], ""),
    ],
)
def test_lines_are_what_a_terminal_would_still_show(chunks: list[bytes], lines: list[str], rest: str):
    found = Lines()

    assert [line for chunk in chunks for line in found.feed(chunk)] == lines
    assert found.rest == rest


def test_a_progress_bar_that_runs_for_hours_keeps_nothing_of_its_past():
    lines = Lines()
    for step in range(10_000):
        lines.feed(f"\rstep {step}".encode())

    assert lines.rest == "step 9999"


def an_api(**answers: Any) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.removeprefix(f"/v1/jobs/{JOB}").strip("/") or "job"
        return httpx.Response(200, json=answers[name]) if name in answers else httpx.Response(503)

    return Client("http://api.test", "secret", patience=0, transport=httpx.MockTransport(answer))


def seen(status: Status) -> list[str]:
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(Group(*status_lines(status)))
    return [line.strip() for line in captured.get().splitlines()]


def a_job(**other: Any) -> dict[str, Any]:
    job = {"id": JOB, "name": "resnet", "state": "running", "node": "node-a", "attempt": 1, "progress": 0.5}
    job |= {"left_seconds": 60.0, "left_from": "progress"}
    times = {"created_at": "2030-01-01T12:00:00Z", "started_at": "2030-01-01T12:00:00Z", "finished_at": None}
    return job | times | other


def test_a_running_job_shows_its_progress_its_metrics_and_what_it_uses():
    trend = {"last": 0.25, "best_min": 0.1, "best_max": 1.0, "count": 3}
    point = {"offset": 10, "at": "", "stage": "train", "step": 120, "epoch": 3.0, "values": {"loss": 0.25}}
    metrics = {"items": [point], "next_cursor": None, "summary": {"train": {"loss": trend}, "": {"speed": trend}}}
    sample = {
        "at": 1.0,
        "cpu_percent": 151.2,
        "memory_mib": 3072,
        "gpu_utilisation_percent": 97.4,
        "gpu_memory_mib": 40960,
    }
    client = an_api(job=a_job(), metrics=metrics, samples={"items": [{"at": 0.0}, sample], "usage": {}})
    status = Status(client, JOB)

    status._look(with_samples=True)

    lines = seen(status)
    assert lines[0].startswith(f"{JOB} resnet  running on node-a  ")
    assert "50%" in lines[1]
    assert lines[2:] == [
        "train  step 120  epoch 3  loss 0.25",
        "speed 0.25",
        "GPU 97%  GPU memory 40GiB  CPU 151%  memory 3GiB",
    ]


def test_a_waiting_job_shows_why_it_waits():
    reason = {"code": "gpus-busy", "kind": "will-wait", "message": "Asks for 4 GPUs; 2 are free."}
    job = a_job(state="waiting", node=None, progress=None, attempt=0, left_seconds=None)
    status = Status(an_api(job=job, why={"reasons": [reason]}), JOB)

    status._look(with_samples=True)

    assert seen(status)[1:] == ["Asks for 4 GPUs; 2 are free."]


def test_an_api_that_falls_silent_leaves_the_last_view_and_says_so():
    status = Status(an_api(), JOB)
    status.job = a_job(progress=None)  # pyright: ignore[reportAttributeAccessIssue]
    status.start()
    try:
        while not status.trouble:
            status._thread.join(timeout=0.01)
    finally:
        status.close()

    lines = seen(status)
    assert lines[0].startswith(f"{JOB} resnet")
    assert lines[-1] == "http://api.test answered 503."
