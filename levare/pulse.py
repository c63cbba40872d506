"""
Redis: doorbells, heartbeats and samples. It may be lost at any moment, and costs the last samples and some latency.

Every key has a time to live, set in the same transaction that writes it:

    key                              type    holds                                   time to live
    levare:bell:beat                 list    one "1": something waits for beat       60 s
    levare:bell:node:<node>          list    one "1": something waits for the node   60 s
    levare:node:<node>               hash    the node's last sample, and `at`        15 s
    levare:beat                      hash    what the beat that leads counts, `at`   15 s
    levare:samples:node:<node>       stream  a sample a second, about 3600 of them   1 h
    levare:samples:attempt:<id>      stream  a sample a second, about 3600 of them   24 h

A sample is a flat mapping of names with units to numbers. `at` is in seconds since 1970. What
a reader finds no number in is left out. Celery's own keys are not ours: see `levare.broker`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import isfinite
from threading import Event, Lock, Thread
from time import monotonic, sleep, time
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from levare.errors import InvalidSetting
from levare.model.sampled import Kind

Sample = Mapping[str, float]
T = TypeVar("T")

BELL_TTL = timedelta(seconds=60)
HEARTBEAT_TTL = timedelta(seconds=15)
SAMPLES_TTL: Mapping[Kind, timedelta] = {"node": timedelta(hours=1), "attempt": timedelta(hours=24)}
SAMPLES_KEPT = 3600

_BEAT_KEY = "levare:beat"
_RING_SECONDS = 0.25
_REST_SECONDS = 0.02
_TALK_SECONDS = 1.0
_WAIT_SECONDS = 1.0
_AGAIN_SECONDS = 1.0


def beat_bell() -> str:
    return "levare:bell:beat"


def node_bell(node: str) -> str:
    return f"levare:bell:node:{node}"


class Pulse:
    """
    What levare says and asks in Redis. Nothing here raises because of Redis: trouble is False, or empty.

    For all threads. A Redis that hangs costs a call 0.25 s where somebody waits for an answer
    (`ring`), 1 s elsewhere, and that once a second; the calls between return at once.
    """

    def __init__(self, url: str, *, connect: Callable[..., Any] = Redis.from_url) -> None:
        self._ringing = _Line(url, connect, patience=_RING_SECONDS)
        self._talking = _Line(url, connect, patience=_TALK_SECONDS)
        self._waiting = _Line(url, connect, patience=_WAIT_SECONDS + _RING_SECONDS)
        self._closed = Event()
        self._ringer = _Ringer(self.ring)

    def close(self) -> None:
        """Drop the connections; a `wait` in another thread returns within a second."""
        self._closed.set()
        for line in (self._ringing, self._talking, self._waiting):
            line.close()

    def ping(self) -> bool:
        """Whether Redis answers now."""
        return bool(self._ringing.ask(lambda redis: redis.ping(), False, eager=True))

    def ring(self, bell: str) -> bool:
        """Wake whoever waits at this bell, or the next who will within a minute. Best effort, in at most 0.3 s."""

        def once(redis: Redis) -> bool:
            commands = redis.pipeline()
            commands.lpush(bell, "1")
            commands.ltrim(bell, 0, 0)
            commands.expire(bell, BELL_TTL)
            return bool(commands.execute())

        return self._ringing.ask(once, False)

    def ring_soon(self, bell: str) -> None:
        """As `ring`, apart from whoever asks, and once for all who ask within a moment."""
        self._ringer.ask(bell)

    def wait(self, bell: str, seconds: float) -> bool:
        """Wait until the bell rings, and silence it. False when the time is out, which trouble does not shorten."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and not self._closed.is_set():
            rung = self._waiting.ask(lambda redis, left=left: _pop(redis, bell, left), None)
            if rung:
                return True
            if rung is None:
                self._closed.wait(min(_AGAIN_SECONDS, max(0.0, until - monotonic())))
        if self._closed.is_set():
            self._waiting.close()
        return False

    def heartbeat(self, node: str, sample: Sample) -> bool:
        """Replace the node's heartbeat."""
        return self._write(lambda commands: _put_heartbeat(commands, node, sample))

    def sample(self, kind: Kind, owner: str, sample: Sample) -> bool:
        """Add a sample of a node or of an attempt."""
        return self._write(lambda commands: _put_sample(commands, kind, owner, sample))

    def beat(self, node: str, sample: Sample, attempts: Mapping[str, Sample]) -> bool:
        """A node's heartbeat, its sample and those of its attempts in one round trip."""

        told = _encoded(sample)  # once for both; the client would take longer

        def put(commands: Pipeline) -> None:
            _put_heartbeat(commands, node, told)
            _put_sample(commands, "node", node, told)
            for attempt, own in attempts.items():
                _put_sample(commands, "attempt", attempt, own)

        return self._write(put)

    def heartbeat_of(self, node: str) -> dict[str, float]:
        """The node's last sample; empty if it is older than 15 s."""
        return self._talking.ask(lambda redis: _numbers(redis.hgetall(_heartbeat_key(node))), {})

    def tell_beat(self, counts: Sample) -> bool:
        """Replace what the beat that leads counts of itself."""
        return self._write(lambda commands: _put_hash(commands, _BEAT_KEY, counts))

    def beat_told(self) -> dict[str, float]:
        """What the beat that leads counts of itself; empty if it said nothing for 15 s."""
        return self._talking.ask(lambda redis: _numbers(redis.hgetall(_BEAT_KEY)), {})

    def heartbeats(self) -> dict[str, dict[str, float]]:
        """The last sample of each node that has a heartbeat, by name."""
        return self._talking.ask(_heartbeats, {})

    def samples(
        self, kind: Kind, owner: str, *, since: datetime | None = None, limit: int = SAMPLES_KEPT
    ) -> list[dict[str, float]]:
        """The newest samples, at most `limit`, oldest first; with `since`, only those after it."""
        after = "-" if since is None else f"({round(since.timestamp() * 1000)}"

        def read(redis: Redis) -> list[dict[str, float]]:
            entries: Any = redis.xrevrange(_samples_key(kind, owner), max="+", min=after, count=limit)
            return [{"at": int(entry.partition("-")[0]) / 1000, **_numbers(values)} for entry, values in entries][::-1]

        return self._talking.ask(read, [])

    def _write(self, put: Callable[[Pipeline], None]) -> bool:
        def send(redis: Redis) -> bool:
            commands = redis.pipeline()
            put(commands)
            return bool(commands.execute())

        return self._talking.ask(send, False)


class _Ringer:
    """A thread that rings at once when it is asked after a rest; it begins with the first who asks."""

    def __init__(self, ring: Callable[[str], object]) -> None:
        self._ring, self._asked = ring, Event()
        self._bells: set[str] = set()
        self._beginning = Lock()
        self._thread: Thread | None = None

    def ask(self, bell: str) -> None:
        self._bells.add(bell)
        self._asked.set()
        if self._thread is None:
            with self._beginning:
                self._thread = self._thread or self._begin()

    def _begin(self) -> Thread:
        thread = Thread(target=self._run, name="ringer", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            while self._bells:
                self._ring(self._bells.pop())
            sleep(_REST_SECONDS)


class _Line:
    """
    A client with one patience, behind a fuse.

    After a failure one call a second tries again, and all others get their answer at once, until one succeeds.
    """

    def __init__(self, url: str, connect: Callable[..., Any], *, patience: float) -> None:
        try:
            self._redis = connect(
                url,
                socket_timeout=patience,
                socket_connect_timeout=patience,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
        except ValueError as error:
            raise InvalidSetting(
                f"LEVARE_REDIS is no address of a Redis: {error}.", "Set redis://HOST:PORT/0 or unix:///PATH."
            ) from None
        self._lock = Lock()
        self._again_at: float | None = None

    def ask(self, question: Callable[[Redis], T], otherwise: T, *, eager: bool = False) -> T:
        """What Redis answers; `otherwise` if it does not, or (unless `eager`) if it did not just now."""
        if not self._may_try() and not eager:
            return otherwise
        try:
            answer = question(self._redis)
        except ResponseError:  # it answered, though with a refusal: no memory left, or a key of another kind
            return otherwise
        except (RedisError, OSError):
            self._again_at = monotonic() + _AGAIN_SECONDS
            return otherwise
        self._again_at = None
        return answer

    def close(self) -> None:
        # Not those in use: to close a socket under another thread raises there whatever comes to its mind.
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def _may_try(self) -> bool:
        with self._lock:
            if self._again_at is None:
                return True
            if monotonic() < self._again_at:
                return False
            self._again_at = monotonic() + _AGAIN_SECONDS
            return True


def _pop(redis: Redis, bell: str, seconds: float) -> bool:
    # Redis waits for ever when told to wait 0 s, and old ones take a millisecond's part for that.
    return redis.blpop([bell], timeout=max(0.01, min(seconds, _WAIT_SECONDS))) is not None


def _encoded(sample: Sample) -> dict[Any, Any]:
    return {name.encode(): repr(value).encode() for name, value in sample.items()}


def _put_heartbeat(commands: Pipeline, node: str, sample: Mapping[Any, Any]) -> None:
    _put_hash(commands, _heartbeat_key(node), sample)


def _put_hash(commands: Pipeline, key: str, sample: Mapping[Any, Any]) -> None:
    commands.delete(key)
    commands.hset(key, mapping={"at": round(time(), 3), **sample})
    commands.expire(key, HEARTBEAT_TTL)


def _put_sample(commands: Pipeline, kind: Kind, owner: str, sample: Mapping[Any, Any]) -> None:
    if sample:
        commands.xadd(_samples_key(kind, owner), {**sample}, maxlen=SAMPLES_KEPT, approximate=True)
        commands.expire(_samples_key(kind, owner), SAMPLES_TTL[kind])


def _heartbeats(redis: Redis) -> dict[str, dict[str, float]]:
    keys = sorted(redis.scan_iter(match=_heartbeat_key("*"), count=1000))
    commands = redis.pipeline(transaction=False)
    for key in keys:
        commands.hgetall(key)
    found = zip(keys, commands.execute(), strict=True)
    return {key.removeprefix(_heartbeat_key("")): _numbers(values) for key, values in found if values}


def _numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    return {name: number for name, text in values.items() if (number := _number(text)) is not None}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _heartbeat_key(node: str) -> str:
    return f"levare:node:{node}"


def _samples_key(kind: Kind, owner: str) -> str:
    return f"levare:samples:{kind}:{owner}"
