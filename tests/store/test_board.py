"""What pages ask of SQL: whether anything has changed, who had which GPU, a wish to submit again."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from levare.model import Rules
from levare.store import board, jobs, resubmitting, views
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.stirring import Stir
from levare.store.work import submission_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = Actor("t", "ada")
WISH = Submission(command=["true"], name="a", team="vision", env={"SEED": "1"}, retries=2, parameters={"lr": 0.1})


def submit(database: Database, job_id: str, wish: Submission = WISH) -> None:
    with database.writing() as connection:
        jobs.submit(connection, wish, job_id=job_id, actor=ADA, now=NOON, rules=Rules())


def test_the_mark_stays_until_somebody_writes(database: Database):
    stir = Stir(database)
    before = stir.mark()

    assert stir.mark() == before
    submit(database, "a")
    assert stir.mark() != before
    stir.close()


def test_jobs_are_counted_by_state_and_only_those_that_are_seen(database: Database):
    for job_id, team in (("a", "vision"), ("b", "vision"), ("c", "nlp")):
        submit(database, job_id, replace(WISH, team=team))

    with database.reading() as connection:
        assert board.counts(connection, None, since=NOON) == {"waiting": 3}
        assert board.counts(connection, ["vision"], since=NOON) == {"waiting": 2}
        assert board.spans(connection, since=NOON) == []


def said(wish: Submission) -> str:
    """A wish, whether its parts are lists or tuples."""
    return json.dumps(asdict(wish), sort_keys=True, default=str)


def test_a_job_is_wished_for_again_as_it_was_but_for_what_is_past(database: Database):
    wish = replace(WISH, deadline=NOON + timedelta(hours=1), start_after=NOON + timedelta(minutes=1))
    submit(database, "a", wish)

    with database.reading() as connection:
        again = resubmitting.wish_of(connection, "a", now=NOON)
        late = resubmitting.wish_of(connection, "a", now=NOON + timedelta(hours=2))

    assert said(again) == said(replace(wish, start_after=None))
    assert said(late) == said(WISH)


def test_an_array_is_wished_for_again_with_all_its_elements(database: Database):
    wish = submission_of({"command": ["true"], "array": {"grid": {"lr": [0.1, 0.2], "seed": [1, 2]}, "cap": 2}})
    submit(database, "a", wish)

    with database.reading() as connection:
        again = resubmitting.wish_of(connection, "a", now=NOON)
        name = views.job(connection, "a")["name"]

    assert again.array == wish.array
    assert said(again) == said(replace(wish, name=name))
