"""Alerts decided on plain facts: what begins, what ends, once; and what healthy jobs do is none."""

import random
from dataclasses import replace
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks.alerts import EXPECTED, tally
from levare.decide.alerts.activity import activity
from levare.decide.alerts.course import Course
from levare.decide.alerts.deciding import LONGEST_OPEN, Open, Outcome, decide
from levare.decide.alerts.defaults import DEFAULTS
from levare.decide.alerts.endings import failure
from levare.decide.alerts.facts import Facts, Filling, Job, Live, Node, Over, Summary
from levare.decide.alerts.pace import Pace
from levare.decide.alerts.robust import line, lower, spread, upper
from levare.decide.alerts.rules import KINDS, Rule, declared
from levare.decide.alerts.telling import BEGIN, RECOVERY, About, Channel, Silence, message, recipients
from levare.decide.alerts.words import span
from levare.errors import Contradiction
from levare.manifest.alerts import AlertRuleRequest, RuleWhen
from levare.manifest.channels import ChannelRequest
from tests.alarming import (
    ALARMS,
    AT_WORK,
    DOCUMENT,
    HOUR,
    IDLE,
    JOB,
    MINUTE,
    NOON,
    SECOND,
    SPINNING,
    a_course,
    a_live,
    a_profile,
    a_rule,
    said,
    some_points,
    told_in,
)

MISSED = {"absent_seconds": 600}


class Watched:
    """Looks again and again, as beat does, and keeps what is open."""

    def __init__(self, *rules: Rule) -> None:
        self.rules, self.outcome, self.open = rules, Outcome(), list[Open]()
        self.ended: list[str] = []

    def look(self, **facts: Any) -> list[str]:
        """The subjects of what begins."""
        found = Facts(**{"now": NOON, **facts})
        self.outcome = decide(self.rules, found, self.open, self.outcome.standings)
        gone = {end.alert.number for end in self.outcome.ends}
        self.ended += [end.reason for end in self.outcome.ends]
        self.open = [alert for alert in self.open if alert.number not in gone]
        for start in self.outcome.starts:
            number = max((alert.number for alert in self.open), default=0) + 1
            self.open.append(Open(number, start.rule.name, start.sight.subject, start.begun_at, start.sight.scope))
        return [start.sight.subject for start in self.outcome.starts]


@pytest.mark.parametrize("name", ALARMS)
def test_each_situation_begins_one_alert_whose_message_says_what_and_what_next(name: str):
    text = said(name)

    assert text[0].isupper() or text.startswith("resnet (k3v9x2m1qa of ada, team vision)")
    assert "`levare " in text
    assert text.endswith((".", "does it."))
    assert "None" not in text
    assert "{" not in text


def test_the_document_shows_what_alerts_say():
    shown = told_in(DOCUMENT.read_text())

    assert len(shown) >= 3
    assert shown == {name: said(name) for name in shown}


def test_the_document_has_a_valid_example_of_every_kind_and_of_every_channel():
    blocks = [part.split("\n```")[0] for part in DOCUMENT.read_text().split("```yaml\n")[1:]]
    read = [YAML(typ="safe").load(block) for block in blocks]
    rules = [AlertRuleRequest.model_validate(each).definition() for each in read if "when" in each]
    channels = [ChannelRequest.model_validate(each).kind for each in read if "when" not in each]

    assert {next(iter(rule["when"])) for rule in rules} == set(KINDS) == set(RuleWhen.model_fields)
    assert set(channels) == {"webhook", "email", "apprise"}
    for name in DEFAULTS:
        assert f"`{name}`" in DOCUMENT.read_text()


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_rule_is_one_that_somebody_could_declare(name: str):
    kept = AlertRuleRequest.model_validate(DEFAULTS[name]).definition()

    assert replace(declared(name, kept), definition={}) == replace(declared(name, DEFAULTS[name]), definition={})
    assert AlertRuleRequest.model_validate(kept).definition() == kept


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ({}, "when"),
        ({"hang": {}, "slow": {}}, "when"),
        ({"metric": {"metric": "loss"}}, "when.metric"),
        ({"metric": {"metric": "loss", "below": 1, "above": 2}}, "when.metric"),
        ({"metric": {"metric": "loss", "above": 1, "rearm": 2}}, "when.metric.rearm"),
        ({"sample": {"sample": "threads", "change": 0}}, "when.sample.change"),
        ({"sample": {"sample": "gpu*_temperature", "above": 90}}, "when.sample.sample"),
        ({"sample": {"sample": "mount_free:/data", "below": 9}}, "when.sample.sample"),
        ({"degraded": {"metric": "drift", "bound": 0.2}}, "when.degraded.goal"),
        ({"hang": {"most_seconds": 60}}, "when.hang.most_seconds"),
        ({"log": {"pattern": r"(a)\1"}}, "when.log.pattern"),
        ({"log": {"pattern": r"(?=a)b"}}, "when.log.pattern"),
        ({"absence": {"for_seconds": 5}}, "when.absence"),
        ({"disk": {"above": 80, "rearm": 90}}, "when.disk.rearm"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_name(when: Any, field: str):
    with pytest.raises(Contradiction) as refused:
        AlertRuleRequest.model_validate({"when": when}).definition()

    assert refused.value.faults[0].field == field


@pytest.mark.parametrize(
    "name",
    [
        *("threads", "gpu0_power_watts", "gpu63_xid", "gpu?_power_watts", "*_percent", "cpu*_percent", "cpu12_percent"),
        *("mount_free_gib:/Data/my disk", "mount_used_percent:*", "mount_free_gib*", "mount_used_percent?/data", "*"),
    ],
)
def test_whatever_a_node_may_tell_can_be_watched(name: str):
    assert AlertRuleRequest.model_validate({"when": {"sample": {"sample": name, "above": 1}}}).definition()


def test_a_disk_of_which_little_is_known_ends_no_alert_of_one_that_fills():
    watched = Watched(a_rule(disk={"for_seconds": 0}))
    node = a_node(sample={"disk_used_percent": 85.0})
    fills = Filling([(60.0 * minute, 55 + 0.5 * minute) for minute in range(61)])
    place = ("atlas", "disk_used_percent")

    assert watched.look(nodes=[node], filling={place: fills})
    watched.look(nodes=[node])
    assert len(watched.open) == 1
    watched.look(nodes=[node], filling={place: Filling([(60.0 * minute, 85.0) for minute in range(61)])})
    assert watched.open == []


def test_a_counter_that_there_is_not_is_refused_with_the_nearest_that_there_is():
    with pytest.raises(Contradiction) as refused:
        AlertRuleRequest.model_validate({"when": {"sample": {"sample": "gpu3_temprature", "above": 1}}}).definition()

    assert "gpu*_temperature_celsius" in str(refused.value.faults[0].limit)


def a_still(minutes: float, **more: Any) -> Live:
    """A run that told 200 steps, one each 2 s, and then nothing for so long."""
    course = a_course(begun_at=NOON - minutes * MINUTE - 400 * SECOND)
    return a_live(course, started=timedelta(hours=3), **{"activity": IDLE, **more})


@pytest.mark.parametrize(
    ("live", "hangs"),
    [
        (a_still(9), False),
        (a_still(11), True),
        (a_still(11, log_at=NOON - MINUTE), False),
        (a_still(11, saved_at=NOON - MINUTE), False),
        (a_still(11, activity=None), False),
        (a_still(60, activity=AT_WORK), False),
        (a_still(11, activity=SPINNING), False),
        (a_still(31, activity=SPINNING), True),
        (a_live(activity=IDLE, started=29 * MINUTE), False),
        (a_live(activity=IDLE, started=31 * MINUTE), True),
        (a_live(activity=SPINNING, started=3 * HOUR), False),
    ],
)
def test_what_hangs_makes_no_step_writes_nothing_and_does_nothing_for_longer_than_it_may(live: Live, hangs: bool):
    assert bool(Watched(a_rule("hang")).look(live=[live])) is hangs


def test_how_long_a_run_may_be_still_is_learned_from_its_own_gaps_and_those_of_its_family():
    known = {JOB.family: a_profile(3600, gap=1200)}

    assert not Watched(a_rule("hang")).look(live=[a_still(59)], profiles=known)
    assert Watched(a_rule("hang")).look(live=[a_still(61)], profiles=known)


def test_a_hang_is_one_alert_and_one_recovery_however_often_somebody_looks():
    watched = Watched(a_rule("hang"))

    begun = [watched.look(now=NOON + n * SECOND, live=[a_still(20)]) for n in range(5)]
    watched.look(now=NOON + 6 * SECOND, live=[a_still(20, log_at=NOON + 5 * SECOND)])

    assert begun == [["job:k3v9x2m1qa"], [], [], [], []]
    assert watched.ended == ["resnet (k3v9x2m1qa of ada, team vision) goes on."]


def test_an_alert_of_a_job_ends_with_the_job_and_says_how_that_ended():
    watched = Watched(a_rule("hang"))
    watched.look(live=[a_still(20)])
    watched.look(over=[Over(job=JOB, state="cancelled", reason="Cancelled by ada.", at=NOON)])

    assert watched.ended == ["resnet (k3v9x2m1qa of ada, team vision) has cancelled: Cancelled by ada."]


def test_an_alert_of_a_job_is_open_until_it_is_decided_what_becomes_of_the_job_whose_attempt_has_ended():
    watched = Watched(a_rule("hang"))
    watched.look(live=[a_still(20)])
    watched.look(settling=[JOB.id])
    assert watched.ended == []

    watched.look()
    assert watched.ended == [f"Job {JOB.id} no longer runs."]


def test_another_beat_that_takes_over_begins_nothing_anew():
    watched = Watched(a_rule("hang"))
    watched.look(live=[a_still(20)])
    watched.outcome = Outcome()

    assert watched.look(now=NOON + SECOND, live=[a_still(20)]) == []


def a_failure(job: Job = JOB, state: str = "failed", **more: Any) -> Over:
    return Over(job=job, state=state, reason="Exited with code 1.", at=NOON, exit_code=1, **more)


def another(name: str, **more: Any) -> Job:
    return Job(**{**vars(JOB), "id": name, **more})


def test_each_failed_job_is_an_alert_and_all_are_over_when_one_of_the_family_succeeds():
    watched = Watched(a_rule("failure"))

    assert watched.look(over=[a_failure()]) == ["job:k3v9x2m1qa"]
    assert watched.look(over=[a_failure(another("b"))]) == ["job:b"]
    assert watched.look(over=[a_failure(another("c", family="else"), "succeeded")]) == []
    assert watched.look(over=[a_failure(another("d"), "cancelled")]) == []
    assert len(watched.open) == 2
    watched.look(over=[a_failure(another("e"), "succeeded")])

    assert watched.open == []
    assert "works again" in watched.ended[0]


def test_an_alert_of_a_failure_names_its_class_where_that_is_known():
    sight, plain = failure(a_failure(failure="nan")), failure(a_failure())

    assert sight
    assert plain
    assert (
        "Exited with code 1. It diverged: NaN or infinite values. `levare show k3v9x2m1qa --failure`" in sight.message
    )
    assert "Exited with code 1. `levare show" in plain.message


def test_the_elements_of_an_array_share_an_alert_and_one_that_succeeds_does_not_end_it():
    watched = Watched(a_rule("failure"))
    first, second = (another(f"a_{n}", array="a") for n in range(2))

    assert watched.look(over=[a_failure(first), a_failure(second)]) == ["job:a"]
    assert watched.look(over=[a_failure(another("a_3", array="a"), "succeeded"), a_failure(second)]) == []
    assert len(watched.open) == 1


def test_what_nothing_can_end_is_over_after_a_week():
    watched = Watched(a_rule("failure"))
    watched.look(over=[a_failure()])

    watched.look(now=NOON + LONGEST_OPEN)

    assert watched.open == []


def test_a_run_is_slow_against_its_own_family_only_and_not_without_a_history():
    rule = a_rule(slow={"least_seconds": 60})
    twice = a_live(started=2 * HOUR)
    known = a_profile(3600, 3700, 3650, 3620, 3580)

    assert Watched(rule).look(live=[twice], profiles={JOB.family: known})
    assert not Watched(rule).look(live=[a_live(started=HOUR)], profiles={JOB.family: known})
    assert not Watched(rule).look(live=[twice], profiles={"else": known})
    assert not Watched(rule).look(live=[twice], profiles={JOB.family: a_profile(3600, 3700)})
    spread_out = a_profile(1800, 3600, 5400, 6600, 2400)
    assert not Watched(rule).look(live=[twice], profiles={JOB.family: spread_out})


def test_steps_that_take_twice_as_long_are_told_while_the_run_is_young_and_once_they_have_lasted():
    watched = Watched(a_rule("slow"))
    young = a_live(a_course(begun_at=NOON - 5 * MINUTE, steps=60, every=5.0), started=5 * MINUTE)
    facts: dict[str, Any] = {"live": [young], "profiles": {JOB.family: a_profile(3600, 3600, 3600, 3600, 3600)}}

    looks = [watched.look(now=NOON + n * 30 * SECOND, **facts) for n in range(12)]

    assert [bool(begun) for begun in looks] == [n == 10 for n in range(12)]


def summed(**metrics: float) -> Summary:
    return Summary(None, 0.0, {}, {("val", name): (value, value, value) for name, value in metrics.items()})


@pytest.mark.parametrize(
    ("accuracy", "is_worse"), [(0.92, False), (0.90, False), (0.88, False), (0.80, True), (0.99, False)]
)
def test_a_model_is_worse_by_more_than_its_family_differs(accuracy: float, is_worse: bool):
    known = a_profile(accuracy=(0.91, 0.92, 0.90, 0.915, 0.905))
    over = Over(job=JOB, state="succeeded", reason="", at=NOON, summary=summed(accuracy=accuracy))

    assert bool(Watched(a_rule("degraded")).look(over=[over], profiles={JOB.family: known})) is is_worse


def test_a_family_that_has_degraded_is_one_alert_until_a_run_is_as_good_as_before():
    watched = Watched(a_rule("degraded"))
    known = {JOB.family: a_profile(accuracy=(0.91, 0.92, 0.90, 0.915, 0.905))}

    def run(accuracy: float) -> list[str]:
        over = Over(job=JOB, state="succeeded", reason="", at=NOON, summary=summed(accuracy=accuracy))
        return watched.look(over=[over], profiles=known)

    assert [run(0.5), run(0.5), run(0.91), run(0.4)] == [
        ["family:vision/churn/resnet"],
        [],
        [],
        ["family:vision/churn/resnet"],
    ]


def test_runs_that_ended_since_the_last_look_count_for_those_that_ended_after_them():
    def over(accuracy: float) -> Over:
        return Over(job=JOB, state="succeeded", reason="", at=NOON, summary=summed(accuracy=accuracy))

    rule = a_rule(degraded={"least_runs": 3})
    before, worse = [over(0.9) for _ in range(3)], over(0.5)

    assert Watched(rule).look(over=[*before, worse])
    assert not Watched(rule).look(over=[worse, *before])


def test_a_bound_needs_no_history():
    rule = a_rule(degraded={"metric": "wer", "stage": "val", "bound": 0.2, "goal": "min"})
    worse, fine = (Over(job=JOB, state="succeeded", reason="", at=NOON, summary=summed(wer=w)) for w in (0.3, 0.1))

    assert Watched(rule).look(over=[worse])
    assert not Watched(rule).look(over=[fine])


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([1, nan, nan, nan], True),
        ([1, nan, 1, nan], False),
        ([inf, inf, inf], True),
        ([nan, nan], False),
        ([1, 2], False),
    ],
)
def test_a_metric_that_is_no_number_three_times_in_a_row_has_diverged(losses: list[float], diverged: bool):
    course = a_course(begun_at=NOON - MINUTE, steps=len(losses), loss=lambda step: losses[step])

    assert bool(Watched(a_rule("not-finite")).look(live=[a_live(course)])) is diverged


def test_another_metric_that_is_fine_does_not_end_the_alert_of_one_that_is_none():
    watched, course = Watched(a_rule("not-finite")), a_course(begun_at=NOON - MINUTE, steps=5, loss=nan)
    watched.look(live=[a_live(course)])
    course.add(some_points(steps=1, every=1, begun_at=NOON, stage="val", accuracy=0.9), now=NOON)
    watched.look(live=[a_live(course)])

    assert len(watched.open) == 1
    course.add(some_points(steps=1, every=1, begun_at=NOON, loss=0.5), now=NOON)
    watched.look(live=[a_live(course)])
    assert watched.open == []


@pytest.mark.parametrize(
    ("when", "values", "begins"),
    [
        ({"above": 5}, [1, 6], True),
        ({"above": 5}, [6, 1], False),
        ({"above": 5, "runs": 2}, [6, 1, 6], False),
        ({"below": 0.5}, [0.4], True),
        ({"change": -0.5, "over": 2}, [10, 10, 4], True),
        ({"change": -0.5, "over": 2}, [10, 10, 6], False),
        ({"zscore": 3, "over": 5}, [1, 1.1, 0.9, 1, 1.05, 9], True),
        ({"zscore": 3, "over": 5}, [1, 1.1, 0.9, 1, 1.05, 1.1], False),
    ],
)
def test_a_metric_of_a_run_is_watched_by_every_test(when: Any, values: list[float], begins: bool):
    course = a_course(begun_at=NOON - MINUTE, steps=len(values), loss=lambda step: float(values[step]))

    assert bool(Watched(a_rule(metric={"metric": "loss", **when})).look(live=[a_live(course)])) is begins


def a_course_of_two_stages(*, epochs: int, steps: int, val: Any) -> Course:
    """Each epoch many lines of training and one of validation."""
    course, epoch = Course(), timedelta(seconds=steps)
    for number in range(epochs):
        at = NOON - epoch * (epochs - number)
        course.add(some_points(steps=steps, every=1, begun_at=at, loss=lambda step: 0.1 + step % 7 / 100), now=None)
        course.add(some_points(steps=1, every=1, begun_at=at + epoch, stage="val", loss=val(number)), now=None)
    return course


def test_a_metric_is_watched_in_each_stage_by_itself():
    watched = Watched(a_rule(metric={"metric": "loss", "zscore": 4, "over": 10}))
    steady = a_course_of_two_stages(epochs=12, steps=10, val=lambda epoch: 5 + epoch % 3 / 10)
    jumps = a_course_of_two_stages(epochs=12, steps=10, val=lambda epoch: 50 if epoch == 11 else 5 + epoch % 3 / 10)

    assert not watched.look(live=[a_live(steady)])
    assert watched.look(live=[a_live(jumps)])
    assert watched.outcome.starts[0].sight.message.startswith("val loss of resnet")


def test_what_a_run_tells_seldom_is_remembered_beside_what_it_tells_often():
    course = a_course_of_two_stages(epochs=4, steps=900, val=float)
    rises, absent = ({"metric": "loss", "stage": "val", **test} for test in ({"above": 0, "runs": 3}, MISSED))

    assert Watched(a_rule(metric=rises)).look(live=[a_live(course)])
    assert not Watched(a_rule(metric=absent)).look(live=[a_live(course)])


def test_what_nobody_has_read_may_have_been_told():
    rule = a_rule(metric={"metric": "loss", **MISSED})

    assert Watched(rule).look(live=[a_live()])
    assert not Watched(rule).look(live=[a_live(unread_before=NOON - MINUTE)])


def test_of_very_many_kinds_of_lines_few_are_remembered():
    course = Course()
    for number in range(120):
        course.add(some_points(steps=300, every=1, begun_at=NOON, stage="", **{f"m{number}": 1.0}), now=None)

    assert len(course.recent) == 51 * 200
    assert course.recent[-1].values == {"m119": 1.0}


def test_a_metric_that_is_not_told_any_more_is_missed():
    rule = a_rule(metric={"metric": "loss", **MISSED})
    told = a_live(a_course(begun_at=NOON - 5 * MINUTE, steps=3), started=HOUR)

    assert not Watched(rule).look(live=[told])
    assert Watched(rule).look(live=[a_live(started=11 * MINUTE)])


def a_node(name: str = "atlas", state: str = "ready", **more: Any) -> Node:
    return Node(name=name, state=state, renewed_at=NOON, **more)


def test_a_node_that_is_lost_is_told_once_and_when_it_is_back():
    watched = Watched(a_rule("node-lost"))

    assert watched.look(nodes=[a_node(state="lost"), a_node("borea")]) == ["node:atlas"]
    assert watched.look(now=NOON + SECOND, nodes=[a_node(state="lost")]) == []
    watched.look(now=NOON + 2 * SECOND, nodes=[a_node()])
    assert watched.ended == ["Node atlas is back."]
    assert watched.look(now=NOON + 3 * SECOND, nodes=[a_node(state="lost")]) == ["node:atlas"]


@pytest.mark.parametrize(
    ("facts", "subject"),
    [
        ({"nodes": [a_node(silent=31 * SECOND)]}, "worker:atlas"),
        ({"nodes": [a_node(heartless=31 * SECOND)]}, "worker:atlas"),
        ({"undecided": 31 * SECOND}, "beat"),
        ({"away_since": NOON - HOUR}, "beat"),
        ({"nodes": [a_node(silent=20 * SECOND)], "away_since": NOON - 15 * SECOND}, None),
        ({"nodes": [a_node(state="lost", silent=HOUR)]}, None),
    ],
)
def test_a_worker_or_beat_that_is_late_is_unhealthy(facts: Any, subject: str | None):
    assert Watched(a_rule("unhealthy")).look(**facts) == ([subject] if subject else [])


def filled(percent: float, *, per_hour: float, noise: float = 0.0) -> dict[tuple[str, str], Filling]:
    rng = random.Random(1)
    at = NOON.timestamp()
    points = [(at - 30 * n, percent - per_hour * n / 120 + rng.uniform(-noise, noise)) for n in range(120)][::-1]
    return {("atlas", "disk_used_percent"): Filling(tuple(points))}


@pytest.mark.parametrize(
    ("used", "per_hour", "noise", "begins"),
    [
        (96, 0, 0, True),
        (90, 0, 0, False),
        (80, 6, 0.1, True),
        (80, 4, 0.1, False),
        (80, 6, 20, False),
        (30, 30, 0, False),
    ],
)
def test_a_disk_is_told_of_when_it_is_full_or_surely_will_be_soon(
    used: float, per_hour: float, noise: float, begins: bool
):
    watched = Watched(a_rule(disk={"for_seconds": 0}))
    node = a_node(sample={"disk_used_percent": used, "cpu_percent": 1.0})

    assert bool(watched.look(nodes=[node], filling=filled(used, per_hour=per_hour, noise=noise))) is begins


def test_each_mount_is_a_disk_but_what_was_always_full_is_an_image_and_home_is_told_once():
    sample = {"disk_used_percent": 97.0, "mount_used_percent:/home": 97.0, "mount_used_percent:/data": 96.0}
    image = {"mount_used_percent:/snap/core": 100.0}
    filling = {("atlas", "mount_used_percent:/snap/core"): Filling(((0.0, 100.0), (30.0, 100.0)))}
    watched = Watched(a_rule(disk={"for_seconds": 0}))

    begun = watched.look(nodes=[a_node(sample={**sample, **image})], filling=filling)

    assert begun == ["disk:atlas/disk_used_percent", "disk:atlas/mount_used_percent:/data"]


def test_a_sample_must_be_beyond_its_bound_for_a_time_and_is_well_only_past_rearm():
    watched = Watched(a_rule("gpu-hot"))

    def look(second: int, celsius: float) -> bool:
        sample = {"gpu0_temperature_celsius": celsius, "gpu1_temperature_celsius": 40.0}
        series = {("atlas", name): (value,) for name, value in sample.items()}
        return bool(watched.look(now=NOON + second * SECOND, nodes=[a_node(sample=sample)], series=series))

    assert [look(0, 95), look(30, 95), look(60, 95), look(62, 87), look(64, 95), look(90, 95)] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    assert len(watched.open) == 1
    look(92, 84)
    assert watched.open == []


def test_a_counter_of_errors_that_rises_is_told_once():
    watched = Watched(a_rule("gpu-xid"))
    rising = [0.0] * 61 + [1.0] * 5
    begun = []
    for number in range(61, len(rising)):
        series = {("atlas", "gpu0_xid_errors"): tuple(rising[: number + 1])}
        node = a_node(sample={"gpu0_xid_errors": rising[number]})
        begun += watched.look(now=NOON + number * SECOND, nodes=[node], series=series)

    assert begun == ["sample:atlas/gpu0_xid_errors"]


def test_a_line_that_matches_is_one_alert_as_long_as_the_job_lives():
    watched = Watched(declared("cuda", {"when": {"log": {"pattern": "CUDA"}}}))

    assert watched.look(live=[a_live(lines={"cuda": "CUDA error"})]) == ["job:k3v9x2m1qa"]
    assert watched.look(live=[a_live(lines={"cuda": "CUDA again"})]) == []
    assert watched.look(live=[a_live()]) == []
    assert len(watched.open) == 1
    watched.look(live=[])
    assert watched.open == []


def test_nothing_succeeds_for_too_long_and_then_something_does():
    watched = Watched(declared("nightly", {"when": {"absence": {"schedule": "nightly", "for_seconds": 3600}}}))

    assert watched.look(last_success={"nightly": NOON - HOUR}) == ["rule:nightly"]
    watched.look(now=NOON + SECOND, last_success={"nightly": NOON})
    assert watched.open == []


def test_a_rule_that_is_gone_ends_its_alerts_and_that_is_no_recovery():
    watched = Watched(a_rule("node-lost"))
    watched.look(nodes=[a_node(state="lost")])
    watched.rules = ()
    watched.look()

    assert [end.is_recovery for end in watched.outcome.ends] == [False]


def test_idle_is_who_uses_nothing_and_steady_who_computes_and_gets_nowhere():
    nothing = [{"cpu_percent": 0.0, "memory_mib": 500.0, "processes": 2.0}] * 3
    spins = [{"cpu_percent": 99.0, "memory_mib": 500.0, "processes": 2.0}] * 3
    grows = [{"cpu_percent": 99.0, "memory_mib": 500.0 + 50 * n, "processes": 2.0} for n in range(3)]
    on_a_gpu = [{**each, "gpu_utilisation_percent": 90.0} for each in nothing]

    found = [activity(each, are_gpus_real=True) for each in (nothing, spins, grows, on_a_gpu)]

    assert [(each.is_idle, each.is_steady) for each in found if each] == [
        (True, True),
        (False, True),
        (False, False),
        (False, True),
    ]
    simulated = activity(on_a_gpu, are_gpus_real=False)
    assert simulated
    assert simulated.is_idle
    assert activity(nothing[:1], are_gpus_real=True) is None


def test_a_pace_knows_steps_gaps_and_stages_apart():
    pace = Pace()
    for second, stage, step in ((0, "train", 0), (2, "train", 1), (2, "train", 1), (4, "train", 2), (64, "val", 0)):
        pace.add(NOON + second * SECOND, stage, step, seen_at=NOON)

    assert (pace.steps, pace.gap, dict(pace.intervals())) == (4, 60.0, {"train": 2.0})


def test_robust_numbers_are_not_moved_by_one_odd_value():
    values = [10.0, 11.0, 9.0, 10.5, 9.5, 1000.0]

    assert spread(values) < 2
    assert upper(values, part=0.1, deviations=3) < 20
    assert lower(values, part=0.1, deviations=3) > 0
    slope, at, explained = line([(float(n), 2.0 * n) for n in range(10)])
    assert (round(slope, 6), round(at, 6), round(explained, 6)) == (2.0, 18.0, 1.0)


def test_who_is_told_is_named_by_the_rule_or_found_by_routes():
    channels = [Channel("all"), Channel("grave", "critical"), Channel("speech", teams=("speech",))]

    assert recipients((), channels, "warning", "vision") == ["all"]
    assert recipients((), channels, "critical", "speech") == ["all", "grave", "speech"]
    assert recipients(("grave", "gone"), channels, "info", None) == ["grave"]


def test_a_silence_covers_what_fits_all_that_it_says_until_it_ends():
    silence = Silence(number=1, ends_at=NOON + HOUR, rule="hang", node="atlas")

    assert silence.covers(About("hang", node="atlas"), now=NOON)
    assert not silence.covers(About("hang", node="borea"), now=NOON)
    assert not silence.covers(About("slow", node="atlas"), now=NOON)
    assert not silence.covers(About("hang", node="atlas"), now=NOON + HOUR)


def test_many_alerts_of_a_rule_are_one_message():
    row = {"number": 1, "subject": "job:a", "severity": "warning", "message": "A.", "begun_at": NOON, "ended_at": None}
    ended = {**row, "ended_at": NOON + HOUR, "ended_reason": "A is well."}

    assert message(BEGIN, "hang", [row]).title == "[warning] hang: a"
    several = message(BEGIN, "hang", [row, {**row, "number": 2, "severity": "critical", "message": "B."}])
    assert (several.title, several.text, several.severity) == ("[critical] hang: 2 alerts", "- A.\n- B.", "critical")
    assert message(RECOVERY, "hang", [ended]).text.startswith("A is well. It was otherwise from 2030-01-04 12:00 UTC")
    assert len(message(BEGIN, "hang", [row] * 50).text.splitlines()) == 21


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (42, "42 s"), (192, "3 min 12 s"), (7500, "2 h 5 min"), (356400, "4 d 3 h")]
)
def test_spans_read_as_people_say_them(seconds: float, text: str):
    assert span(seconds) == text


def test_healthy_jobs_that_pause_and_evaluate_for_long_are_no_alarm_and_planted_incidents_are():
    healthy = tally(3, hours=60, incidents=0.0, every=timedelta(seconds=120), kinds=4)
    planted = tally(5, hours=250, incidents=0.9, every=timedelta(seconds=120), kinds=3)

    assert [firing.message for firing in healthy.false] == []
    assert sum(planted.planted.values()) >= 12
    assert len(planted.planted) >= 4
    for rule in sorted(set(EXPECTED.values())):
        assert planted.precision(rule) >= 0.8, [each.message for each in planted.false]
        least = 0.3 if rule == "slow" else 0.8  # a run of a few minutes is over before it is surely slow
        assert planted.recall(rule) >= least, [(each.incident, each.past.job.family) for each in planted.missed]
