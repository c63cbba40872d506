"""Flower as a process: on loopback, behind the password, with nothing to press unless that is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from levare.settings import kept_secret
from tests.fleet import Fleet, eventually, fleet, free_port

CLOSED = ("/", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers", "/api/queues/length")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, LEVARE_FLOWER_PORT=str(free_port()), FLOWER_UNAUTHENTICATED_API="1") as deployment:
        deployment.start("redis")
        yield deployment


@contextmanager
def visit(deployment: Fleet, **variables: str) -> Iterator[httpx.Client]:
    """A visitor with the password, once Flower answers."""
    deployment.start("flower", **variables)
    password = kept_secret(deployment.home / "secret")
    port = deployment.environment["LEVARE_FLOWER_PORT"]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("levare", password)) as visitor:
        eventually(lambda: answers(visitor))
        yield visitor


def answers(visitor: httpx.Client) -> bool:
    try:
        return visitor.get("/healthcheck").is_success
    except httpx.TransportError:
        return False


def test_flower_shows_nothing_without_the_password(deployment: Fleet):
    with visit(deployment) as visitor:
        with httpx.Client(base_url=visitor.base_url) as stranger:
            assert {path: stranger.get(path).status_code for path in CLOSED} == dict.fromkeys(CLOSED, 401)
            assert stranger.get("/metrics").status_code == 404
            assert stranger.get("/", auth=("levare", "guess")).status_code == 401
        assert {path: visitor.get(path).status_code for path in CLOSED} == dict.fromkeys(CLOSED, 200)


def test_flower_listens_on_loopback_and_shows_its_password_to_nobody(deployment: Fleet):
    with visit(deployment):
        process = psutil.Process(deployment.processes["flower"].pid)

        assert {connection.laddr.ip for connection in process.net_connections("tcp")} == {"127.0.0.1"}
        assert (deployment.home / "secret").read_text() not in " ".join(process.cmdline())


def test_flower_is_to_be_read_unless_actions_are_asked_for(deployment: Fleet):
    with visit(deployment) as visitor:
        refused = visitor.post("/api/task/revoke/k3v9x2m1qa-1")
        assert refused.status_code == 403
        assert "read only" in refused.text.lower()
    deployment.kill("flower", number=15)

    with visit(deployment, LEVARE_FLOWER_ACTIONS="1") as visitor:
        assert visitor.post("/api/task/revoke/k3v9x2m1qa-1").status_code == 200
