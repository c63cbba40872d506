"""What happens to triggers in SQL: each occurrence once, with its job, and what became of it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from beat import trigger_watch
from levare.decide import triggers as triggers_decide
from levare.errors import InvalidPipeline, NotFound, StaleLeader
from levare.store import leases, simulation, triggers
from levare.store.engine import Database
from levare.store.tables import audit
from levare.store.tables_triggers import endings, events
from tests.store.watched import ADA, JOB, NOON, SECOND, Watched

HOUR = timedelta(hours=1)
ON_DATA = {"event": {"type": "data.*"}}


@pytest.fixture
def watched(database: Database, add_node: Callable[..., str]) -> Watched:
    add_node()
    return Watched(database)


def counted(database: Database, table: Any) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_an_event_starts_a_job_that_finds_it_in_its_environment(watched: Watched):
    watched.declare(when=ON_DATA, parameters={"dataset": {"from": "data.dataset"}, "epochs": 3})
    watched.send(data={"dataset": "churn; rm -rf /"}, subject="s")

    assert watched.look()

    [job] = watched.jobs()
    [row] = watched.happened()
    assert (row["outcome"], row["job_id"], row["reason"]) == ("run", job.id, "Started.")
    assert (job.trigger, job.user, job.command) == ("t", "ada", ["train"])
    assert json.loads(job.env["LEVARE_EVENT"])["data"] == {"dataset": "churn; rm -rf /"}
    assert job.env["LEVARE_PARAM_DATASET"] == "churn; rm -rf /"
    assert [job.env[f"LEVARE_EVENT_{name}"] for name in ("TYPE", "SOURCE", "SUBJECT", "ID")] == [
        "data.ready",
        "/tests",
        "s",
        "e0",
    ]
    assert job.parameters == {"dataset": "churn; rm -rf /", "epochs": 3}


def test_an_event_that_comes_twice_happens_once_and_other_events_do_not_happen_at_all(watched: Watched):
    watched.declare(when={"event": {"type": "data.*", "source": "/tests", "where": {"data.n": 1}}})
    assert watched.send(id="a", data={"n": 1})
    assert not watched.send(id="a", data={"n": 1})
    watched.send(data={"n": 2})
    watched.send(source="/else", data={"n": 1})
    watched.look()
    watched.look()

    assert watched.outcomes() == ["run"]
    assert len(watched.jobs()) == 1


def test_what_came_before_a_trigger_is_not_for_it_and_what_comes_without_any_is_settled(watched: Watched):
    watched.send(NOON - HOUR)
    watched.declare(when=ON_DATA)
    watched.look()

    assert watched.happened() == []
    assert not watched.look()


def test_a_second_beat_that_no_longer_leads_starts_nothing(watched: Watched):
    watched.declare(when=ON_DATA)
    watched.send()
    with watched.database.writing() as connection:
        seen = leases.read(connection, "beat")
        leases.take(connection, "beat", owner="other", seen=seen, now=NOON)

    with pytest.raises(StaleLeader):
        watched.look()
    assert watched.happened() == []
    assert watched.jobs() == []


def test_brakes_hold_with_their_numbers_and_what_waits_is_run_later(watched: Watched):
    watched.declare("hold", when=ON_DATA, brakes={"in_flight": 1})
    watched.declare("wait", when=ON_DATA, brakes={"cooldown_seconds": 60, "waits": True})
    for _ in range(2):
        watched.send()
    watched.look()

    assert watched.outcomes("hold") == ["run", "held"]
    assert watched.happened("hold")[1]["reason"] == "1 of at most 1 runs are in flight."
    assert watched.outcomes("wait") == ["run", "pending"]
    assert not watched.look(NOON + 59 * SECOND)
    assert watched.look(NOON + 60 * SECOND)
    assert watched.outcomes("wait") == ["run", "run"]


def test_what_waits_for_a_run_in_flight_runs_when_that_has_ended(watched: Watched):
    watched.declare(when=ON_DATA, brakes={"in_flight": 1, "waits": True})
    watched.send()
    watched.send()
    watched.look()
    [first] = watched.jobs()
    assert not watched.look(NOON + 2 * SECOND)

    watched.end(first.id, at=NOON + 3 * SECOND)

    assert watched.look(NOON + 4 * SECOND)
    assert watched.outcomes() == ["run", "run"]


def test_a_batch_is_one_run_that_gets_all_events(watched: Watched):
    watched.declare(when=ON_DATA, brakes={"batch": {"most": 3, "within_seconds": 60}})
    for number in range(4):
        watched.send(data={"n": number})
    watched.look()
    [job] = watched.jobs()

    assert [event["data"]["n"] for event in json.loads(job.env["LEVARE_EVENTS"])] == [0, 1, 2]
    assert watched.outcomes() == ["run", "run", "run", "pending"]
    watched.look(NOON + 60 * SECOND)
    assert watched.outcomes() == ["run"] * 4
    assert len({row["job_id"] for row in watched.happened()}) == 2


def test_a_paused_trigger_holds_what_happens_and_says_who_paused_it(watched: Watched):
    watched.declare(when=ON_DATA)
    with watched.database.writing() as connection:
        triggers.pause(connection, "t", reason="A bad source.", actor=ADA, now=NOON)
        assert triggers.pause(connection, "t", reason="Again.", actor=ADA, now=NOON)["paused_reason"] == "A bad source."
    watched.send()
    watched.look()
    with watched.database.writing() as connection:
        triggers.resume(connection, "t", actor=ADA, now=NOON)
    watched.send()
    watched.look()

    assert watched.outcomes() == ["held", "run"]
    assert watched.happened()[0]["reason"] == "Paused by ada: A bad source."


def test_a_run_that_is_refused_is_held_with_the_reason_and_other_triggers_go_on(watched: Watched):
    watched.declare("big", when=ON_DATA, job={"command": ["train"], "gpus": 64})
    watched.declare("fine", when=ON_DATA)
    watched.send()
    watched.look()

    assert watched.outcomes("big") == ["held"]
    assert "refused" in watched.happened("big")[0]["reason"]
    assert watched.outcomes("fine") == ["run"]
    with watched.database.reading() as connection:
        assert "refused" in triggers.one(connection, "big")["problem"]
        assert triggers.one(connection, "fine")["problem"] is None


def test_a_trigger_that_breaks_is_marked_keeps_what_happened_and_stops_nobody(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
):
    watched.declare("broken", when=ON_DATA)
    watched.declare("fine", when=ON_DATA)
    watched.send()
    troubles = [ZeroDivisionError("oops")]

    def decide(*arguments: Any, **more: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return triggers_decide.decide(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trigger_watch, "decide", decide)
        watched.look()

    assert (watched.outcomes("broken"), watched.outcomes("fine")) == (["pending"], ["run"])
    with watched.database.reading() as connection:
        assert "ZeroDivisionError: oops" in triggers.one(connection, "broken")["problem"]
    watched.look(NOON + 61 * SECOND)
    assert watched.outcomes("broken") == ["run"]
    with watched.database.reading() as connection:
        assert triggers.one(connection, "broken")["problem"] is None


def test_a_parameter_that_the_event_does_not_have_is_told(watched: Watched):
    watched.declare(when=ON_DATA, parameters={"dataset": {"from": "data.dataset"}})
    watched.declare("usual", when=ON_DATA, parameters={"dataset": {"from": "data.dataset", "default": "all"}})
    watched.send()
    watched.look()

    assert "no data.dataset" in watched.happened()[0]["reason"]
    assert [job.parameters for job in watched.jobs()] == [{"dataset": "all"}]


def test_the_end_of_a_job_starts_another_but_never_its_own_successor(watched: Watched, add_job: Callable[..., str]):
    watched.declare(when={"ended": {"team": "default", "outcome": "any"}})
    watched.declare("good", when={"ended": {"name": "etl"}}, job={"command": ["true"], "team": "other"})
    watched.end(add_job("a", name="etl"))
    watched.end(add_job("b", name="etl"), "failed")
    watched.look()

    assert [row["key"] for row in watched.happened()] == ["job:a", "job:b"]
    assert [row["key"] for row in watched.happened("good")] == ["job:a"]
    assert watched.happened("good")[0]["event"]["data"]["state"] == "succeeded"
    for job in watched.jobs():
        if job.trigger == "t":
            watched.end(job.id)
    watched.look()
    assert len(watched.happened()) == 2
    assert counted(watched.database, endings) == 0


def test_without_a_trigger_that_is_about_them_endings_are_not_noted(watched: Watched, add_job: Callable[..., str]):
    watched.declare(when=ON_DATA)
    watched.end(add_job())

    assert counted(watched.database, endings) == 0


def test_the_end_of_a_pipeline_is_that_of_its_last_step(watched: Watched):
    steps = [{"step": name, "command": ["true"]} for name in ("one", "two")]
    watched.declare("first", when=ON_DATA, pipeline={"name": "nightly", "jobs": steps})
    watched.declare(when={"ended": {"pipeline": "nightly", "outcome": "failure"}})
    watched.send()
    watched.look()
    one, two = sorted(watched.jobs(), key=lambda job: job.step)
    watched.end(one.id, "failed")
    watched.look()
    assert watched.happened() == []

    watched.end(two.id)
    watched.look()

    [row] = watched.happened()
    assert row["key"] == f"pipeline:{one.pipeline}"
    assert row["event"]["data"]["reason"] == "Steps that did not succeed: one."


def test_an_absence_happens_once_and_again_only_after_something_has_come(watched: Watched, add_job: Callable[..., str]):
    watched.end(add_job("old", name="etl"), at=NOON - HOUR)
    watched.declare(when={"absence": {"name": "etl", "for_seconds": 26 * 3600}})
    watched.look()
    for hours in (24, 25, 25.1, 26, 40):
        watched.look(NOON + hours * HOUR)
    assert [row["at"] for row in watched.happened()] == [NOON + 25 * HOUR]

    watched.end(add_job("new", name="etl"), at=NOON + 41 * HOUR)
    watched.look(NOON + 41 * HOUR)
    watched.look(NOON + (41 + 27) * HOUR)

    assert len(watched.happened()) == 2


def test_an_absence_of_events_is_counted_from_the_last_one(watched: Watched):
    watched.declare(when={"absence": {"event": {"type": "heartbeat"}, "for_seconds": 60}})
    watched.look()
    watched.send(NOON + 50 * SECOND, type="heartbeat")
    watched.send(NOON + 55 * SECOND, type="other")
    watched.look(NOON + 55 * SECOND)
    watched.look(NOON + 70 * SECOND)
    assert watched.happened() == []

    watched.look(NOON + 110 * SECOND)

    assert len(watched.happened()) == 1


def run_with(watched: Watched, add_job: Callable[..., str], number: int, accuracy: float) -> None:
    job, at = f"j{number:03}", NOON + number * HOUR
    add_job(job, name="churn", family="default/default/churn", created_at=at)
    watched.tell(job, at=at, stage="val", accuracy=0.1)
    watched.tell(job, at=at + SECOND, stage="val", accuracy=accuracy)
    watched.tell(job, at=at + 2 * SECOND, stage="train", accuracy=1.0)
    watched.end(job, at=at)
    watched.look(at)


def test_a_metric_below_its_bound_in_three_runs_happens_once_until_it_has_been_back(
    watched: Watched, add_job: Callable[..., str]
):
    of = {"name": "churn", "metric": "accuracy", "stage": "val"}
    watched.declare(when={"metric": {**of, "below": 0.9, "runs": 3, "rearm": 0.92}})
    values = [0.95, 0.8, 0.8, 0.85, 0.89, 0.91, 0.8, 0.8, 0.8, 0.93, 0.8, 0.8, 0.8]
    for number, value in enumerate(values):
        run_with(watched, add_job, number, value)

    told = [(row["key"], row["outcome"]) for row in watched.happened()]
    assert told == [("job:j003", "run"), ("job:j004", "held"), ("job:j008", "held"), ("job:j012", "run")]
    assert watched.happened()[0]["event"]["data"]["values"] == [0.8, 0.8, 0.85]
    assert "back past 0.92" in watched.happened()[1]["reason"]


@pytest.mark.parametrize(("aggregate", "value"), [("last", 3.0), ("min", 1.0), ("max", 4.0), ("mean", 2.5)])
def test_the_number_of_a_run_is_its_aggregate(
    watched: Watched, add_job: Callable[..., str], aggregate: str, value: float
):
    watched.declare(when={"metric": {"name": "m", "metric": "loss", "aggregate": aggregate, "above": value - 0.01}})
    watched.declare("not", when={"metric": {"name": "m", "metric": "loss", "aggregate": aggregate, "above": value}})
    add_job("j", name="m")
    for number, loss in enumerate((1.0, 4.0, 2.0, 3.0)):
        watched.tell("j", at=NOON + number * SECOND, loss=loss)
    watched.tell("j", at=NOON - SECOND, loss="NaN", other=7.0)
    watched.end("j")
    watched.look()

    assert (watched.outcomes(), watched.outcomes("not")) == (["run"], [])


def test_a_metric_in_a_window_is_of_all_runs_that_tell_it(watched: Watched, add_job: Callable[..., str]):
    of = {"name": "m", "metric": "loss", "aggregate": "mean", "above": 2, "window_seconds": 60}
    watched.declare(when={"metric": of})
    add_job("j", name="m")
    watched.tell("j", at=NOON, loss=2.5)
    watched.tell("j", at=NOON - HOUR, loss=-100.0)
    watched.look(NOON + SECOND)
    watched.look(NOON + 12 * SECOND)

    assert [row["event"]["data"]["values"] for row in watched.happened()] == [[2.5]]


def test_a_gpu_that_idles_for_long_enough_happens_once_though_redis_is_lost_meanwhile(watched: Watched):
    watched.declare(when={"resource": {"resource": "gpu", "below": 5, "for_seconds": 60, "rearm": 50}})
    at = NOON
    for second in range(0, 200, 5):
        at = NOON + second * SECOND
        lost = 30 <= second < 120
        watched.heartbeats = {} if lost else {"n1": {"gpu0_utilisation_percent": 1, "gpu1_utilisation_percent": 70}}
        watched.look(at)

    assert [(row["at"], row["event"]["subject"]) for row in watched.happened()] == [(NOON + 180 * SECOND, "n1/gpu0")]
    for busy, second in ((20, 210), (1, 220), (90, 300), (1, 310), (1, 340), (1, 370)):
        watched.heartbeats = {"n1": {"gpu0_utilisation_percent": busy}}
        watched.look(NOON + second * SECOND)
    assert len(watched.happened()) == 2


def test_declaring_the_same_again_changes_nothing_and_other_brakes_keep_what_it_knows(watched: Watched):
    first = watched.declare(when=ON_DATA)
    again = watched.declare(when=ON_DATA, now=NOON + HOUR)
    changed = watched.declare(when=ON_DATA, brakes={"in_flight": 1}, now=NOON + HOUR)
    new = watched.declare(when={"event": {"type": "x"}}, now=NOON + 2 * HOUR)

    assert first == again
    assert (changed["begun_at"], changed["revision"]) == (NOON, first["revision"] + 1)
    assert new["begun_at"] == NOON + 2 * HOUR


def test_a_trigger_whose_work_contradicts_itself_is_refused_and_leaves_nothing(watched: Watched):
    circle = [{"step": "a", "command": ["true"], "needs": ["b"]}, {"step": "b", "command": ["true"], "needs": ["a"]}]

    with pytest.raises(InvalidPipeline):
        watched.declare(when=ON_DATA, pipeline={"jobs": circle})
    with watched.database.reading() as connection, pytest.raises(NotFound):
        triggers.one(connection, "t")
    watched.declare(when=ON_DATA, job=JOB)
    assert watched.jobs() == []


def test_a_trigger_that_is_removed_holds_what_waits(watched: Watched):
    watched.declare(when=ON_DATA, brakes={"quiet_seconds": 60})
    watched.send()
    watched.look()
    with watched.database.writing() as connection:
        triggers.remove(connection, "t", actor=ADA, now=NOON)
    watched.look(NOON + HOUR)

    assert watched.outcomes() == ["held"]
    assert watched.happened()[0]["reason"] == "The trigger was removed by ada."
    with watched.database.reading() as connection:
        actions = list(connection.execute(select(audit.c.action).where(audit.c.object == "t")).scalars())
    assert actions == ["trigger.set", "trigger.removed"]


def test_more_events_than_fit_into_one_look_are_all_looked_at(watched: Watched):
    watched.declare(when=ON_DATA, brakes={"batch": {"most": 1000, "within_seconds": 1}})
    for _ in range(205):
        watched.send()

    assert watched.look()
    watched.look(NOON + 2 * SECOND)

    assert len(watched.happened()) == 205
    with watched.database.reading() as connection:
        assert not connection.execute(select(events.c.id).where(~events.c.settled)).all()


def test_a_simulation_says_what_has_happened(watched: Watched):
    brakes = {"in_flight": 1, "waits": True, "same": ["data.n"], "same_within_seconds": 100, "quiet_seconds": 3}
    watched.declare(when=ON_DATA, brakes=brakes)
    comes = {7 * number * number % 600: number % 4 for number in range(30)}
    for second in range(900):
        now = NOON + second * SECOND
        for job in watched.jobs() if second % 10 == 0 else ():
            if job.state == "waiting" and job.created_at + 60 * SECOND <= now:
                watched.end(job.id, at=job.created_at + 60 * SECOND)
        if second in comes:
            watched.send(now, data={"n": comes[second]})
        watched.look(now)

    with watched.database.reading() as connection:
        told = simulation.replay(connection, "t", since=NOON, until=NOON + 900 * SECOND)

    live = watched.happened()
    assert told.lasts == 60 * SECOND
    assert [each.occurrence.key for each in told.simulation.items] == [row["key"] for row in live]
    assert [each.outcome for each in told.simulation.items] == [row["outcome"] for row in live]
    assert told.simulation.runs == len({row["job_id"] for row in live if row["job_id"]}) > 3
