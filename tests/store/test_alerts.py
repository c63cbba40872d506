"""Alerts in SQL: each once, whoever writes it and however often; told once; and rules that fail alone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from beat import alert_watch
from beat.alert_watch import AlertWatch
from beat.leader import Leader
from levare.errors import Conflict, NotFound, StaleLeader
from levare.store import alert_facts, alert_rules, alerts, backtest, channels, deliveries, leases, silences
from levare.store.alerts import AlertFilter
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.tables import attempts, jobs, logs, metrics, nodes
from levare.store.tables_alerts import alert_endings, run_summaries
from tests.store.conftest import NOON

ADA = Actor("t1", "ada")
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class FakePulse:
    """What Redis would say."""

    def __init__(self) -> None:
        self.beats: dict[str, dict[str, float]] = {"n1": {"cpu_percent": 1.0}}
        self.of_attempts: dict[str, list[dict[str, float]]] = {}

    def heartbeats(self) -> Mapping[str, Mapping[str, float]]:
        return self.beats

    def ping(self) -> bool:
        return True

    def samples(self, _kind: str, owner: str, **_: Any) -> Sequence[Mapping[str, float]]:
        return self.of_attempts.get(owner, [])


class Watched:
    """A beat that looks at times of the test's choosing."""

    def __init__(self, database: Database, add_job: Callable[..., str]) -> None:
        self.database, self._add = database, add_job
        self.leader = Leader(database)
        assert self.leader.leads()
        self.pulse = FakePulse()
        self.watch = self.another()

    def another(self, leader: Leader | None = None) -> AlertWatch:
        return AlertWatch(self.database, leader or self.leader, self.pulse)  # pyright: ignore[reportArgumentType]

    def rule(self, name: str, **when: Any) -> None:
        with self.database.writing() as connection:
            alert_rules.put(connection, name, {"when": when}, actor=ADA, now=NOON)

    def channel(self, name: str, **routes: Any) -> None:
        definition = {"webhook": {"url": "https://example.org"}, **({"routes": routes} if routes else {})}
        with self.database.writing() as connection:
            channels.put(connection, name, definition, actor=ADA, now=NOON)

    def look(self, seconds: float = 0, watch: AlertWatch | None = None) -> bool:
        """After the node has renewed its lease."""
        with self.database.writing() as connection:
            connection.execute(update(nodes).values(renewals=nodes.c.renewals + 1))
        return (watch or self.watch).look(now=NOON + timedelta(seconds=seconds))

    def all(self) -> list[Mapping[str, Any]]:
        """Oldest first."""
        with self.database.reading() as connection:
            return alerts.find(connection, AlertFilter(), limit=100)[::-1]

    def said(self, channel: str = "ops") -> list[tuple[str, str, list[int]]]:
        with self.database.reading() as connection:
            found = deliveries.find(connection, channel, limit=100)
        return sorted((row["news"], row["rule"], row["alerts"]) for row in found)

    def run(self, name: str, *, points: int = 0, log: bytes = b"", **columns: Any) -> str:
        """A job that runs since noon."""
        self._add(name, state="running", attempt=1, **columns)
        with self.database.writing() as connection:
            connection.execute(insert(attempts), _an_attempt(name, points, len(log)))
            for step in range(points):
                row = {"attempt_id": f"{name}-1", "offset": step, "at": NOON + step * SECOND, "stage": "train"}
                connection.execute(insert(metrics), {**row, "step": step, "epoch": None, "values": {"loss": 1.0}})
            if log:
                connection.execute(insert(logs), {"attempt_id": f"{name}-1", "offset": 0, "data": log})
        return name

    def end(self, name: str, state: str = "failed", *, seconds: float = 60) -> None:
        """What the tick of a beat does when a job ends."""
        at = NOON + timedelta(seconds=seconds)
        with self.database.writing() as connection:
            connection.execute(
                update(jobs).where(jobs.c.id == name).values(state=state, finished_at=at, reason="It ended.")
            )
            connection.execute(
                update(attempts).where(attempts.c.job_id == name).values(state=state, ended_at=at, settled=True)
            )
            alert_facts.note_endings(connection, [name])


def _an_attempt(name: str, points: int, log_bytes: int) -> dict[str, Any]:
    plain = {"number": 1, "rank": 0, "state": "running", "node": "n1", "queue": "cpu.n1", "devices": {}, "cpus": 1}
    none = dict.fromkeys(("memory_mib", "scratch_mib", "metrics_offset", "points_dropped"), 0)
    times = {"placed_at": NOON, "started_at": NOON}
    told = {"points": points, "log_bytes": log_bytes}
    return {"id": f"{name}-1", "job_id": name, "resources": {}, "settled": False, **plain, **none, **times, **told}


@pytest.fixture
def watched(database: Database, add_job: Callable[..., str], add_node: Callable[..., str]) -> Watched:
    add_node()
    return Watched(database, add_job)


def lose(watched: Watched, state: str = "lost") -> None:
    with watched.database.writing() as connection:
        connection.execute(update(nodes).values(state=state))


def test_a_beat_that_comes_late_misses_nothing_that_it_has_not_read(watched: Watched):
    watched.run("train", points=alert_facts.MOST_POINTS + 100)
    watched.rule("untold", metric={"metric": "accuracy", "absent_seconds": 600})
    watched.look(650)
    assert watched.all() == []
    watched.look(720)

    assert [alert["rule"] for alert in watched.all() if alert["rule"] == "untold"] == ["untold"]


def test_what_never_succeeded_is_missed_since_the_rule_was_declared_whoever_looks(watched: Watched):
    watched.rule("never", absence={"name": "x", "for_seconds": 20})
    watched.look(10)
    watched.look(25, watched.another())
    watched.look(30, watched.another())

    [alert] = watched.all()
    assert (alert["rule"], alert["state"], alert["begun_at"]) == ("never", "open", NOON)


def test_a_lost_node_is_one_alert_however_often_and_whoever_looks(watched: Watched):
    watched.channel("ops")
    lose(watched)
    for seconds in range(3):
        watched.look(seconds)
    watched.look(4, watched.another())
    lose(watched, "ready")
    watched.look(6)

    [alert] = watched.all()
    assert (alert["rule"], alert["subject"], alert["severity"], alert["told"]) == (
        "node-lost",
        "node:n1",
        "critical",
        ["ops"],
    )
    assert alert["ended_reason"] == "Node n1 is back."
    number = alert["number"]
    assert watched.said() == [("begin", "node-lost", [number]), ("recovery", "node-lost", [number])]


def test_a_beat_that_no_longer_leads_writes_nothing(watched: Watched):
    lose(watched)
    with watched.database.writing() as connection:
        seen = leases.read(connection, "beat")
        leases.take(connection, "beat", owner="other", seen=seen, now=NOON)

    with pytest.raises(StaleLeader):
        watched.look()

    assert watched.all() == []


def test_a_failed_job_is_told_after_its_retries_and_over_when_one_of_its_family_succeeds(watched: Watched):
    watched.channel("ops")
    watched.run("a")
    watched.look()
    watched.end("a")
    watched.look(61)
    watched.look(62)

    [alert] = watched.all()
    assert (alert["subject"], alert["job"], alert["state"]) == ("job:a", "a", "open")
    assert "has failed on n1 after 1 min: It ended" in alert["message"]
    with watched.database.reading() as connection:
        assert connection.execute(select(alert_endings)).first() is None
        family = connection.execute(select(jobs.c.family)).scalar_one()
    watched.run("b", family=family)
    watched.end("b", "succeeded")
    watched.look(63)
    assert [alert["state"] for alert in watched.all()] == ["ended"]


def test_what_is_noted_and_not_written_is_looked_at_again(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    watched.run("a")
    watched.end("a")
    with monkeypatch.context() as patch:
        patch.setattr(alert_watch.run_summaries, "keep", None)
        patch.setattr(alert_watch.alerts, "look", None)
        with pytest.raises(TypeError):
            watched.look(61)
    assert watched.all() == []
    watched.look(62)

    assert [alert["subject"] for alert in watched.all()] == ["job:a"]


def test_many_of_one_rule_in_a_minute_are_one_message_and_the_rest_comes_after_it(watched: Watched):
    watched.channel("ops")
    for name in ("a", "b"):
        watched.run(name)
        watched.end(name)
    watched.look(61)
    first = watched.said()
    with watched.database.writing() as connection:
        [due] = deliveries.due(connection, [], now=NOON + 61 * SECOND)
        assert deliveries.take(connection, due, again_at=NOON + HOUR)
        assert not deliveries.take(connection, due, again_at=NOON + HOUR)
        deliveries.sent(connection, due["id"], now=NOON + 61 * SECOND)
    for number, name in enumerate(("c", "d")):
        watched.run(name)
        watched.end(name)
        watched.look(65 + number)

    numbers = [alert["number"] for alert in watched.all()]
    assert first == [("begin", "failure", numbers[:2])]
    assert watched.said() == [("begin", "failure", numbers[:2]), ("begin", "failure", numbers[2:])]
    with watched.database.reading() as connection:
        assert deliveries.due(connection, [], now=NOON + 120 * SECOND) == []
        assert len(deliveries.due(connection, [], now=NOON + 121 * SECOND)) == 1
        assert deliveries.due(connection, ["ops"], now=NOON + 121 * SECOND) == []


def test_a_silence_keeps_an_alert_from_the_channels_and_its_end_too(watched: Watched):
    watched.channel("ops")
    with watched.database.writing() as connection:
        row = silences.add(connection, {"node": "n1"}, ends_at=NOON + HOUR, reason="A driver.", actor=ADA, now=NOON)
    lose(watched)
    watched.look()
    lose(watched, "ready")
    watched.look(2)

    [alert] = watched.all()
    assert (alert["is_silenced"], alert["state"], watched.said()) == (True, "ended", [])
    with watched.database.writing() as connection:
        silences.remove(connection, row["number"], actor=ADA, now=NOON + SECOND)
        assert silences.find(connection, now=NOON + 2 * SECOND) == []
        with pytest.raises(NotFound):
            silences.one(connection, 99)


def test_a_channel_takes_what_its_routes_say(watched: Watched):
    watched.channel("ops", at_least="critical")
    watched.channel("speech", teams=["speech"])
    watched.run("a")
    watched.end("a")
    lose(watched)
    watched.look(61)

    assert [alert["told"] for alert in watched.all()] == [["ops"], []]


def test_an_alert_is_acknowledged_once_and_not_after_its_end(watched: Watched):
    lose(watched)
    watched.look()
    [alert] = watched.all()
    with watched.database.writing() as connection:
        alerts.acknowledge(connection, alert["number"], note="On it.", actor=ADA, now=NOON)
        second = alerts.acknowledge(connection, alert["number"], note="I too.", actor=Actor("t", "bob"), now=NOON)
    assert (second["acknowledged_by"], second["acknowledged_note"]) == ("ada", "On it.")
    lose(watched, "ready")
    watched.look(2)

    with watched.database.writing() as connection, pytest.raises(Conflict, match="has ended"):
        alerts.acknowledge(connection, alert["number"], note="", actor=ADA, now=NOON)


def test_a_default_is_switched_off_and_on_replaced_and_brought_back(watched: Watched):
    with watched.database.writing() as connection:
        names = {rule.name for rule in alert_rules.in_force(connection)}
        alert_rules.pause(connection, "hang", reason="", actor=ADA, now=NOON)
        assert {rule.name for rule in alert_rules.in_force(connection)} == names - {"hang"}
        assert alert_rules.resume(connection, "hang", actor=ADA, now=NOON)["paused_at"] is None
        alert_rules.put(connection, "hang", {"when": {"queue": {}}}, actor=ADA, now=NOON)
        assert alert_rules.one(connection, "hang")["kind"] == "queue"
        alert_rules.remove(connection, "hang", actor=ADA, now=NOON)
        assert alert_rules.one(connection, "hang")["is_default"]
        with pytest.raises(NotFound, match="is a default"):
            alert_rules.remove(connection, "hang", actor=ADA, now=NOON)
        with pytest.raises(NotFound, match="`levare alerts rules`"):
            alert_rules.one(connection, "no-such")


def test_a_hang_needs_what_redis_says_and_is_told_once(watched: Watched):
    watched.rule("hang", hang={"for_seconds": 10})
    watched.run("a", points=5)
    watched.look(6)
    watched.look(20)
    assert watched.all() == []
    watched.pulse.of_attempts["a-1"] = [{"cpu_percent": 0.0, "memory_mib": 10.0}] * 3
    watched.look(24)
    watched.look(26)

    [alert] = watched.all()
    assert "does nothing on n1: no step, no line and no checkpoint for" in alert["message"]


def test_another_beat_ends_no_alert_before_it_has_seen_that_all_is_well(watched: Watched):
    def still_open() -> set[str]:
        return {alert["rule"] for alert in watched.all() if alert["state"] == "open"}

    watched.rule("hang", hang={"for_seconds": 10})
    watched.run("a", points=5, log=b"begun")
    watched.pulse.of_attempts["a-1"] = [{"cpu_percent": 0.0, "memory_mib": 10.0}] * 3
    for seconds in (6, 20, 40):
        watched.watch.look(now=NOON + seconds * SECOND)
    assert still_open() == {"hang", "unhealthy"}

    other = watched.another()
    other.look(now=NOON + 44 * SECOND)
    assert still_open() == {"hang", "unhealthy"}
    watched.look(48, other)
    assert still_open() == {"hang"}
    with watched.database.writing() as connection:
        connection.execute(update(attempts).values(log_bytes=20))
    watched.look(52, other)
    assert still_open() == set()


def test_a_log_is_matched_where_it_is_new_and_also_that_of_a_job_that_was_short(watched: Watched):
    watched.rule("cuda", log={"pattern": "(?i)cuda error"})
    watched.run("a", log=b"fine\nCUDA err")
    watched.look()
    with watched.database.writing() as connection:
        connection.execute(insert(logs), {"attempt_id": "a-1", "offset": 13, "data": b"or 700\n"})
        connection.execute(update(attempts).values(log_bytes=20))
    watched.look(2)
    watched.run("b", log=b"a Cuda Error at once")
    watched.end("b", "succeeded")
    watched.look(4)

    found = [(alert["subject"], alert["detail"]["line"]) for alert in watched.all()]
    assert found == [("job:a", "CUDA error 700"), ("job:b", "a Cuda Error at once")]


def test_what_runs_came_to_is_kept_and_the_next_is_compared_with_it(watched: Watched):
    watched.rule("degraded", degraded={"metric": "loss", "least_runs": 2})
    for name in ("a", "b"):
        watched.run(name, points=5, family="f")
        watched.end(name, "succeeded")
        watched.look(61)
    watched.run("c", points=1, family="f")
    with watched.database.writing() as connection:
        connection.execute(update(metrics).where(metrics.c.attempt_id == "c-1").values(values={"loss": 9.0}))
    watched.end("c", "succeeded")
    watched.look(62)

    [alert] = watched.all()
    assert (alert["subject"], alert["job"]) == ("family:f", "c")
    with watched.database.reading() as connection:
        rows = connection.execute(select(run_summaries).order_by(run_summaries.c.number)).all()
        told = backtest.replay(connection, "degraded", since=NOON, until=NOON + HOUR).told(500)
    assert [row.summary["metrics"] for row in rows[:2]] == [[["train", "loss", 1.0, 1.0, 1.0]]] * 2
    assert [(each["job"], each["preceded_failure"]) for each in told["items"]] == [("c", None)]


def test_a_rule_that_fails_leaves_the_others_alone(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    def fails(rules: Any, *rest: Any) -> Any:
        if rules[0].name == "failure":
            raise ZeroDivisionError
        return decide(rules, *rest)

    decide = alert_watch.decide
    monkeypatch.setattr(alert_watch, "decide", fails)
    watched.run("a")
    watched.end("a")
    lose(watched)
    watched.look(61)

    assert [alert["rule"] for alert in watched.all()] == ["node-lost"]


def test_a_beat_that_was_away_is_told_when_one_is_back(watched: Watched):
    watched.look()
    another = watched.another()
    watched.look(300, another)
    watched.look(302, another)

    [alert] = watched.all()
    assert (alert["rule"], alert["subject"], alert["state"]) == ("unhealthy", "beat", "ended")


def test_a_back_test_says_which_firings_preceded_a_failure(watched: Watched):
    watched.rule("hang", hang={"for_seconds": 100})
    watched.run("a", points=5)
    watched.end("a", seconds=500)
    watched.run("b", points=5)
    watched.end("b", "succeeded", seconds=20)
    watched.run("c", points=0)
    watched.end("c", seconds=500)

    with watched.database.reading() as connection:
        told = backtest.replay(connection, "hang", since=NOON, until=NOON + HOUR).told(500)
        failed = backtest.replay(connection, "failure", since=NOON, until=NOON + HOUR).told(500)
        lost = backtest.replay(connection, "node-lost", since=NOON, until=NOON + HOUR).told(500)

    assert [(each["job"], each["preceded_failure"]) for each in told["items"]] == [("a", True)]
    assert (told["jobs"], told["failures"], told["precision"], told["recall"]) == (3, 2, 1.0, 0.5)
    assert (failed["firings"], failed["recall"], lost["source"]) == (2, 1.0, "alerts")


def test_a_back_test_reads_logs_and_how_long_jobs_have_waited(watched: Watched):
    watched.rule("cuda", log={"pattern": "CUDA"})
    watched.rule("queue", queue={"for_seconds": 30})
    watched.run("a", log=b"fine\nCUDA error\n")
    watched.run("b", log=b"fine\n")
    for name in ("a", "b"):
        watched.end(name)
    with watched.database.writing() as connection:
        connection.execute(update(attempts).where(attempts.c.job_id == "b").values(placed_at=NOON + 40 * SECOND))

    with watched.database.reading() as connection:
        cuda = backtest.replay(connection, "cuda", since=NOON, until=NOON + HOUR).told(500)
        queue = backtest.replay(connection, "queue", since=NOON, until=NOON + HOUR).told(500)

    assert (cuda["source"], cuda["precision"], cuda["recall"]) == ("logs", 1.0, 0.5)
    assert [(each["job"], each["at"]) for each in queue["items"]] == [("b", NOON + 30 * SECOND)]
