"""A scripted API for the command line, and the answers that it gives."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
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


def a_family(**other: Any) -> dict[str, Any]:
    family = {
        "name": "a/b/c",
        "runs": 0,
        "typical_seconds": None,
        "promised_seconds": None,
        "fast_failures": 0,
        "held_until": None,
        "held_reason": None,
        "updated_at": "2030-01-01T12:00:00Z",
    }
    return family | other


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
        "scratch_mib": 0,
        "gpu_model": None,
        "resources": {},
        "require": {},
        "prefer": {},
        "avoid": {},
        "nodes": 1,
        "spread": False,
        "needs": [],
        "timeout_seconds": None,
        "grace_seconds": 10,
        "retries": 0,
        "retry_on": [],
        "backoff_seconds": 0,
        "memory_growth": 1.0,
        "preemptible": True,
        "min_runtime_seconds": 300,
        "warning_signal": None,
        "warning_seconds": 0,
        "deadline": None,
        "only_between": None,
        "on_lost": "keep",
        "start_after": None,
        "attempt": 0,
        "node": None,
        "exit_code": None,
        "reason": None,
        "progress": None,
        "progress_from": None,
        "left_seconds": None,
        "left_from": None,
        "cost": None,
        "energy_joules": None,
        "currency": "",
        "created_at": "2030-01-01T12:00:00Z",
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "pipeline": None,
        "step": None,
        "parameters": {},
        "schedule": None,
        "due_at": None,
        "array": None,
        "array_id": None,
        "array_index": None,
    }
    return job | other


def a_why(**other: Any) -> dict[str, Any]:
    team = {"name": "vision", "entitled_percent": 100.0, "used_percent": 0.0, "rank": 1, "teams": 2}
    team |= {"why": "Is owed 1 of 2 parts of the fleet."}
    why = {
        "job": JOB,
        "state": "waiting",
        "message": "It has waited since 2030-01-01 12:00:00 UTC.",
        "verdict": "will-wait",
        "reasons": [],
        "estimate": {"typical": None, "latest": None, "message": "Nothing tells."},
        "change": None,
        "ahead": [],
        "jobs_ahead": 0,
        "jobs_ahead_is_least": False,
        "priority": {"declared": 5, "from_age": 0, "from_deadline": 0, "team": team},
        "cost": None,
    }
    return why | other


def an_ended_job(state: str = "succeeded", code: int | None = 0, **other: Any) -> dict[str, Any]:
    times = {"started_at": "2030-01-01T12:00:00Z", "finished_at": "2030-01-01T12:03:12Z"}
    return a_job(state=state, exit_code=code, attempt=1, node="node-a", reason="It ended.", **times) | other


def an_attempt(number: int = 1, **other: Any) -> dict[str, Any]:
    gpu = {"uuid": "GPU-1", "index": 0, "model": "NVIDIA H100", "memory_mib": 81920}
    attempt = {
        "id": f"{JOB}-{number}",
        "job": JOB,
        "number": number,
        "rank": 0,
        "state": "failed",
        "node": "node-a",
        "queue": "gpu.node-a",
        "gpus": [gpu, gpu | {"uuid": "GPU-2", "index": 1}],
        "price": None,
        "node_share": None,
        "cost": None,
        "placed_at": "2030-01-01T12:00:00Z",
        "claimed_at": "2030-01-01T12:00:00Z",
        "started_at": "2030-01-01T12:00:00Z",
        "ended_at": "2030-01-01T14:05:00Z",
        "preempted_at": None,
        "preempted_for": None,
        "safe_at": None,
        "exit_code": 137,
        "signal": 9,
        "reason": "Killed.",
        "peak_memory_mib": 2048,
        "cpu_seconds": 120.5,
        "gpu_memory_mib": 18000,
        "gpu_utilisation_percent": 87.5,
        "energy_joules": None,
        "log_bytes": 4096,
        "points": 100,
        "points_dropped": 0,
    }
    return attempt | other


def a_node(name: str = "node-a", **other: Any) -> dict[str, Any]:
    device = {"uuid": "GPU-1", "index": 0, "model": "NVIDIA H100", "memory_mib": 81920, "simulated": False}
    device |= {"excluded_until": None, "excluded_reason": None}
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
        "devices": [device | {"free_mib": 0, "attempts": [f"{JOB}-1"], "ownership": "ours", "note": None}],
        "version": "0.1.0",
        "joined_at": "2030-01-01T12:00:00Z",
        "renewed_at": datetime.now(UTC).isoformat(),
        "labels": {"zone": "a", "node": name, "gpu": "nvidia-h100"},
        "scratch_mib": 2097152,
        "scratch_free_mib": 1048576,
        "resources": {"licence": 3},
        "resources_free": {"licence": 2},
        "address": "10.0.0.7",
        "price": None,
        "excluded_until": None,
        "excluded_reason": None,
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


def a_healthy_api() -> Api:
    api = Api().on("GET /readyz", {"database": "ok", "redis": "ok"})
    return api.on("GET /v1/nodes", {"items": [a_node()]})
