import json
from datetime import UTC, datetime, timedelta

from levare.cli import why
from tests.pure.scripted import JOB, Api, a_job, a_why, an_ended_job, levare_run

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def asked(job: dict[str, object] | None = None, **answer: object) -> list[str]:
    """What the command prints when it is asked at noon."""
    return list(why.of_job(job or a_job(), a_why(**answer), NOON))  # pyright: ignore[reportArgumentType]


def an_estimate(typical: timedelta | None, latest: timedelta | None) -> dict[str, str | None]:
    at = [None if each is None else (NOON + each).isoformat() for each in (typical, latest)]
    return {"typical": at[0], "latest": at[1], "message": "Nothing is known to end."}


def local(after: timedelta, form: str = "%H:%M") -> str:
    return (NOON + after).astimezone().strftime(form)


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def test_the_verdict_comes_first_with_the_range_of_times_in_words():
    soon, late = local(20 * MINUTE), local(75 * MINUTE)

    assert asked(estimate=an_estimate(20 * MINUTE, 75 * MINUTE))[0] == (
        f"{JOB} (resnet-50) will wait: it starts at about {soon}, at the latest {late}."
    )
    assert asked(estimate=an_estimate(HOUR, HOUR))[0].endswith(f"it starts at about {local(HOUR)}.")
    assert asked(estimate=an_estimate(None, HOUR))[0].endswith(f"it starts at the latest {local(HOUR)}.")
    assert "when at the latest cannot be told." in " ".join(asked(estimate=an_estimate(HOUR, None)))
    assert asked(estimate=an_estimate(timedelta(), None))[0].startswith(
        f"{JOB} (resnet-50) will wait: it starts within a minute"
    )
    unknown = asked(estimate=an_estimate(None, None))
    assert unknown[0].endswith("will wait; for how long cannot be told.")
    assert unknown[2] == "Nothing is known to end."


def test_times_of_another_day_are_told_with_the_day():
    assert f"tomorrow {local(24 * HOUR)}" in asked(estimate=an_estimate(None, 24 * HOUR))[0]
    week = " ".join(asked(estimate=an_estimate(None, 168 * HOUR))[:2])
    assert local(168 * HOUR, "%a %Y-%m-%d %H:%M") in week


def test_reasons_changes_who_comes_first_and_the_place_follow_in_this_order():
    reason = {"code": "a", "kind": "will-wait", "message": "Asks for 4 GPUs; the most free is 2 (node-a)."}
    ahead = [{"job": f"job{number}", "reason": "It came first."} for number in range(5)]
    priority = a_why()["priority"] | {"from_age": 2, "from_deadline": 3}

    lines = asked(
        estimate=an_estimate(HOUR, HOUR),
        reasons=[reason],
        change={"field": "gpus", "value": 2, "message": "With 2 GPUs instead of 4 it would start now."},
        ahead=ahead,
        jobs_ahead=12,
        jobs_ahead_is_least=True,
        priority=priority,
    )

    assert lines[2:] == [
        "",
        "Why it waits",
        "  - Asks for 4 GPUs; the most free is 2 (node-a).",
        "",
        "What would help",
        "  - With 2 GPUs instead of 4 it would start now.",
        "",
        "Who comes first (at least 12)",
        *(f"  - job{number}: It came first." for number in range(5)),
        "  - and 7 more",
        "",
        "Its place in the queue",
        "  - Priority 5 + 2 for its age + 3 for its deadline = 10.",
        "  - Team vision is owed 1 of 2 parts of the fleet.",
    ]


def test_the_expected_cost_is_told_with_its_currency_if_there_is_one():
    cost = {"typical": 2.5, "most": 1234.5, "currency": "EUR"}

    assert "A run of it costs about 2.50 EUR, at most 1,234.50 EUR." in asked(cost=cost)
    assert "A run of it costs about 2.50." in asked(cost={"typical": 2.5, "most": 2.5, "currency": ""})
    assert "costs" not in " ".join(asked(cost=None))


def test_nothing_is_wider_than_a_terminal():
    reason = {"code": "a", "kind": "can-never-run", "message": "word " * 60}

    assert max(map(len, asked(reasons=[reason], verdict="can-never-run"))) <= 80


def test_what_starts_at_once_can_never_run_or_has_not_begun_to_wait_is_said_so():
    assert asked(verdict="starts-now")[0] == f"{JOB} (resnet-50) will start at once: there is room for it."
    assert asked(verdict="can-never-run")[0] == f"{JOB} (resnet-50) can never run as it is."
    assert asked(verdict="misconfigured")[0].endswith("cannot start before something is changed.")
    assert asked(a_job(state="blocked"), priority=None)[0] == f"{JOB} (resnet-50) may not start yet."


def test_a_job_that_does_not_wait_says_what_became_of_it():
    api = Api().on(f"GET /v1/jobs/{JOB}/why", a_why(state="failed", verdict=None, priority=None))
    api.on(f"GET /v1/jobs/{JOB}", an_ended_job("failed", 3, reason="Exited with code 3."))

    assert levare_run(api, "why", JOB).stdout == f"{JOB} (resnet-50) failed after 3m12s: Exited with code 3.\n"
    assert json.loads(levare_run(api, "why", JOB, "--json").stdout)["state"] == "failed"


def test_a_job_that_is_being_cancelled_does_not_wait_for_room():
    cancelled = {"verdict": None, "priority": None, "message": "It is being cancelled."}

    assert asked(a_job(cancel_requested_at=NOON.isoformat()), **cancelled) == ["It is being cancelled."]
