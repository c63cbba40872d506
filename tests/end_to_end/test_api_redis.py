import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import fakeredis
import pytest
from redis import Redis

from tests.end_to_end.serving import serving
from tests.fleet import eventually


@pytest.fixture
def redis_port() -> Iterator[int]:
    """A Redis in memory, on a port."""
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_submit_rings_for_beat_and_a_cancel_for_the_node_too(
    tmp_path: Path, make_database_url: Callable[[str], str], redis_port: int
):
    url = f"redis://127.0.0.1:{redis_port}/0"
    with serving(tmp_path, make_database_url("sqlite"), url) as api, Redis.from_url(url) as redis:
        api.join()
        job_id = api.submit()
        eventually(lambda: redis.exists("levare:bell:beat"))
        api.start(job_id)
        redis.flushall()

        api.client.delete(f"/v1/jobs/{job_id}")

        eventually(lambda: redis.exists("levare:bell:beat", "levare:bell:node:n1") == 2)


def seconds_of(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_a_redis_that_hangs_costs_a_submit_less_than_a_second(tmp_path: Path, make_database_url: Callable[[str], str]):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with serving(tmp_path, make_database_url("sqlite"), url) as api:
            assert min(seconds_of(api.submit) for _ in range(3)) < 1
            assert api.get("/readyz")["redis"] == "does not answer"
