"""The request of a job, to submit it again."""

from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection

from levare.store import views
from levare.store.jobs import Submission
from levare.store.work import elements_of, need_of

_NOT_AGAIN = ("needs", "deadline", "start_after", "array", "pipeline", "step", "schedule", "trigger", "due_at", "code")
"""What was of that one time, or is not a column as it is."""
_AGAIN = tuple(each.name for each in fields(Submission) if each.name not in _NOT_AGAIN)


def wish_of(connection: Connection, job_id: str, *, now: datetime) -> Submission:
    """What a job asked for, without its start time, and without a deadline that nobody can keep any more."""
    job = views.job(connection, job_id)
    deadline = job["deadline"] if job["deadline"] and job["deadline"] > now else None
    array = elements_of(views.array(connection, job_id)) if job["array"] else None
    needs = dict(need_of(each) for each in job["needs"])
    return Submission(**{name: job[name] for name in _AGAIN}, needs=needs, deadline=deadline, array=array)
