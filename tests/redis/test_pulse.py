"""Doorbells, heartbeats and samples; and what it costs when Redis is away, or hangs."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from levare.errors import InvalidSetting
from levare.pulse import SAMPLES_KEPT, Pulse, beat_bell, node_bell

NOON = {"cpu_percent": 12.5, "load_1m": 0.5}


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.monotonic()
    return act(), time.monotonic() - begin


def eventually(question: Callable[[], Any], seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)
    return answer


def test_no_key_is_left_without_a_time_to_live(pulse: Pulse, redis: Redis) -> None:
    pulse.ring(beat_bell())
    pulse.ring(node_bell("n1"))
    pulse.heartbeat("n1", NOON)
    pulse.sample("node", "n1", NOON)
    pulse.sample("attempt", "k3v9x2m1qa-1", NOON)
    pulse.beat("n2", NOON, {"k3v9x2m1qa-2": NOON})

    keys = list(redis.scan_iter())
    assert len(keys) == 8
    assert [key for key in keys if redis.ttl(key) <= 0] == []
    assert {key: redis.ttl(key) for key in keys if "node:n1" in key} == {
        "levare:bell:node:n1": pytest.approx(60, abs=5),
        "levare:node:n1": pytest.approx(15, abs=5),
        "levare:samples:node:n1": pytest.approx(3600, abs=5),
    }


def test_what_rings_soon_rings_at_once_after_a_rest_and_once_for_many(pulse: Pulse, monkeypatch: pytest.MonkeyPatch):
    rung: list[str] = []
    ring = pulse.ring
    monkeypatch.setattr(pulse._ringer, "_ring", lambda bell: rung.append(bell) or ring(bell))

    for _ in range(500):
        pulse.ring_soon(beat_bell())

    assert pulse.wait(beat_bell(), 5)
    assert len(rung) < 50
    pulse.ring_soon(node_bell("n1"))
    assert pulse.wait(node_bell("n1"), 5)


def test_a_bell_rung_often_rings_once(pulse: Pulse) -> None:
    for _ in range(3):
        assert pulse.ring(beat_bell())

    assert pulse.wait(beat_bell(), 1)
    assert not pulse.wait(beat_bell(), 0.05)


def test_each_node_has_a_bell_of_its_own(pulse: Pulse) -> None:
    pulse.ring(node_bell("n1"))

    assert not pulse.wait(node_bell("n2"), 0.05)
    assert pulse.wait(node_bell("n1"), 1)


def test_who_waits_is_woken_at_once(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    waiting, ringing = pulses(valkey.url), pulses(valkey.url)
    woken: list[tuple[bool, float]] = []
    thread = threading.Thread(target=lambda: woken.append((waiting.wait(beat_bell(), 20), time.monotonic())))
    thread.start()
    with valkey.client() as client:
        eventually(lambda: client.info("clients")["blocked_clients"] == 1)

    rung_at = time.monotonic()
    ringing.ring(beat_bell())
    thread.join()

    assert woken[0][0]
    assert woken[0][1] - rung_at < 1


def test_a_wait_that_nobody_rings_takes_its_time(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    rung, seconds = timed(lambda: pulses(valkey.url).wait(beat_bell(), 1.3))

    assert not rung
    assert 1.25 < seconds < 5


def test_close_ends_a_wait_at_whatever_it_is(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    threads = []
    for tenths_of_ms in range(
        50
    ):  # in the midst of connecting, of asking, of waiting; an error in a thread is a failure
        pulse = pulses(valkey.url)
        threads.append(threading.Thread(target=pulse.wait, args=(beat_bell(), 60)))
        threads[-1].start()
        time.sleep(tenths_of_ms / 10_000)
        pulse.close()

    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_heartbeat_replaces_the_last_one_whole(pulse: Pulse) -> None:
    pulse.heartbeat("n1", {"cpu_percent": 1.0, "gpu0_power_watts": 60.0})
    pulse.heartbeat("n1", {"cpu_percent": 2.0})

    beat = pulse.heartbeat_of("n1")
    assert beat.pop("at") == pytest.approx(time.time(), abs=60)
    assert beat == {"cpu_percent": 2.0}


def test_heartbeats_are_those_of_all_nodes_and_of_nothing_else(pulse: Pulse) -> None:
    pulse.heartbeat("n1", {"cpu_percent": 1.0})
    pulse.beat("n2", {"cpu_percent": 2.0}, {"k3v9x2m1qa-1": {"memory_mib": 3.0}})
    pulse.ring(node_bell("n3"))

    assert {node: beat["cpu_percent"] for node, beat in pulse.heartbeats().items()} == {"n1": 1.0, "n2": 2.0}
    assert pulse.heartbeat_of("n3") == {}


def test_samples_come_oldest_first_and_the_newest_if_there_are_too_many(pulse: Pulse) -> None:
    for i in range(10):
        pulse.sample("attempt", "a-1", {"memory_mib": i})

    assert [sample["memory_mib"] for sample in pulse.samples("attempt", "a-1")] == list(range(10))
    assert [sample["memory_mib"] for sample in pulse.samples("attempt", "a-1", limit=3)] == [7, 8, 9]
    assert pulse.samples("attempt", "a-2") == []


def test_since_gives_only_what_came_after(pulse: Pulse, redis: Redis) -> None:
    for at in (1_790_000_000_000, 1_790_000_001_000, 1_790_000_002_500):
        redis.xadd("levare:samples:node:n1", {"cpu_percent": at % 10_000}, id=f"{at}-0")

    found = pulse.samples("node", "n1", since=datetime.fromtimestamp(1_790_000_001, UTC))

    assert found == [{"at": 1_790_000_002.5, "cpu_percent": 2500.0}]


def test_what_is_no_number_is_left_out(pulse: Pulse, redis: Redis) -> None:
    redis.hset("levare:node:n1", mapping={"cpu_percent": "much", "load_1m": "0.5", "swap_used_mib": "nan"})
    redis.xadd("levare:samples:node:n1", {"cpu_percent": "inf", "load_1m": "1.5"}, id="1000-0")

    assert pulse.heartbeat_of("n1") == {"load_1m": 0.5}
    assert pulse.samples("node", "n1") == [{"at": 1.0, "load_1m": 1.5}]


def test_a_stream_keeps_about_an_hour(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    pulse = pulses(valkey.url)
    for i in range(SAMPLES_KEPT + 500):
        pulse.sample("node", "n1", {"cpu_percent": i})

    with valkey.client() as client:
        assert SAMPLES_KEPT <= client.xlen("levare:samples:node:n1") < SAMPLES_KEPT + 200


def test_a_key_of_another_kind_harms_only_itself(pulse: Pulse, redis: Redis) -> None:
    redis.set("levare:samples:node:n1", "mine", ex=60)

    assert not pulse.sample("node", "n1", NOON)
    assert pulse.samples("node", "n1") == []
    assert pulse.sample("node", "n2", NOON)


ASK: dict[str, Callable[[Pulse], Any]] = {
    "ring": lambda pulse: pulse.ring(beat_bell()),
    "ping": lambda pulse: pulse.ping(),
    "heartbeat": lambda pulse: pulse.heartbeat("n1", NOON),
    "sample": lambda pulse: pulse.sample("node", "n1", NOON),
    "beat": lambda pulse: pulse.beat("n1", NOON, {}),
    "heartbeat_of": lambda pulse: pulse.heartbeat_of("n1"),
    "heartbeats": lambda pulse: pulse.heartbeats(),
    "samples": lambda pulse: pulse.samples("node", "n1"),
}


@pytest.fixture
def pulses() -> Iterator[Callable[[str], Pulse]]:
    made: list[Pulse] = []

    def make(url: str) -> Pulse:
        made.append(Pulse(url))
        return made[-1]

    yield make
    [pulse.close() for pulse in made]


@pytest.mark.parametrize("url", ["unix:///no/such/socket", "redis://127.0.0.1:1/0", "unix://:wrong@{socket}"])
def test_without_redis_every_answer_is_empty_and_quick(url: str, valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    pulse = pulses(url.format(socket=valkey.socket))

    answers = {name: timed(lambda ask=ask: ask(pulse)) for name, ask in ASK.items()}

    assert [name for name, (answer, _) in answers.items() if answer] == []
    assert [name for name, (_, seconds) in answers.items() if seconds > 1] == []


def test_without_redis_a_wait_takes_its_time(pulses: Callable[[str], Pulse]) -> None:
    rung, seconds = timed(lambda: pulses("unix:///no/such/socket").wait(beat_bell(), 0.4))

    assert not rung
    assert 0.35 < seconds < 3


@pytest.mark.parametrize("connected", [True, False], ids=["connected before", "not connected"])
def test_a_hung_redis_costs_one_ring_a_quarter_second_and_the_next_nothing(
    valkey: Any, pulses: Callable[[str], Pulse], connected: bool
) -> None:
    pulse = pulses(valkey.url)
    assert not connected or pulse.ring(beat_bell())
    valkey.freeze()

    rung, first = timed(lambda: pulse.ring(beat_bell()))
    _, next_hundred = timed(lambda: [pulse.ring(beat_bell()) for _ in range(100)])

    assert not rung
    assert first < 2
    assert next_hundred < 2


def test_a_hung_redis_is_tried_by_one_caller_at_a_time(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    pulse = pulses(valkey.url)
    valkey.freeze()
    pulse.ring(beat_bell())
    eventually(lambda: timed(lambda: pulse.ring(beat_bell()))[1] > 0.2)  # a second later it is tried again

    pulse._ringing._again_at = 0.0
    took: list[float] = []
    threads = [
        threading.Thread(target=lambda: took.append(timed(lambda: pulse.ring(beat_bell()))[1])) for _ in range(10)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len([seconds for seconds in took if seconds > 0.1]) == 1


def test_a_hung_redis_costs_a_wait_hardly_more_than_its_time(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    pulse = pulses(valkey.url)
    valkey.freeze()

    rung, seconds = timed(lambda: pulse.wait(beat_bell(), 0.5))

    assert not rung
    assert 0.45 < seconds < 5


@pytest.mark.parametrize("name", ASK)
def test_a_hung_redis_leaves_every_answer_empty_within_bounds(
    name: str, valkey: Any, pulses: Callable[[str], Pulse]
) -> None:
    pulse = pulses(valkey.url)
    valkey.freeze()

    answer, seconds = timed(lambda: ASK[name](pulse))

    assert not answer
    assert seconds < 4


def test_a_redis_that_comes_back_is_used_again(valkey: Any, pulses: Callable[[str], Pulse]) -> None:
    pulse = pulses(valkey.url)
    assert pulse.ring(beat_bell())
    valkey.stop()
    assert not pulse.ring(beat_bell())
    assert not pulse.heartbeat("n1", NOON)

    valkey.start()

    eventually(lambda: pulse.ring(beat_bell()), 3)
    eventually(lambda: pulse.heartbeat("n1", NOON), 3)
    assert pulse.wait(beat_bell(), 3)


def test_an_address_that_is_none_is_said_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="LEVARE_REDIS"):
        Pulse(f"{tmp_path}/valkey.sock")


def test_samples_need_no_celery() -> None:
    code = (
        "import sys, levare.pulse; print([name for name in sys.modules if name.split('.')[0] in ('celery', 'kombu')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"
