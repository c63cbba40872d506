"""Jobs that have ended, jobs that wait, and jobs that do not come."""

from datetime import datetime

from levare.decide.alerts.facts import Over, Waiting
from levare.decide.alerts.rules import Absence, Queue
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import moment, span
from levare.decide.amounts import counted
from levare.decide.conditions import BREACH, CLEAR
from levare.model import FAILED, SUCCEEDED
from levare.model.failures import FAILURE_CLASSES, UNKNOWN


def failure(over: Over) -> Sight | None:
    """One of an element of an array is one of the array; only a whole job that succeeds says that all is well."""
    job = over.job
    if over.state == SUCCEEDED and job.array is None:
        message = f"{job.title} has succeeded: {job.family} works again."
        return Sight(subject=f"job:{job.id}", level=CLEAR, scope=job.family, message=message, job=job)
    if over.state != FAILED:
        return None
    code = f", exit code {over.exit_code}" if over.exit_code is not None else ""
    return Sight(
        subject=f"job:{job.array or job.id}",
        scope=job.family,
        level=BREACH,
        message=_failed(over, code),
        job=job,
        node=over.node,
        since=over.at,
        detail={"attempts": over.attempts, "exit_code": over.exit_code},
    )


def _failed(over: Over, code: str) -> str:
    job = over.job
    after = f" after {span(over.seconds)}" if over.seconds is not None else ""
    where = f" on {over.node}" if over.node else ""
    part = f", an element of array {job.array}," if job.array else ""
    reason = over.reason.rstrip(".") or "no reason is known"
    tries = "" if over.attempts <= 1 else f", the last of {counted(over.attempts, 'attempt')}"
    known = FAILURE_CLASSES.get(over.failure or UNKNOWN)
    kind = f" It {known.title}." if known and known.name != UNKNOWN else ""
    return (
        f"{job.title}{part} has failed{where}{after}{tries}: {reason}{code if 'code' not in reason else ''}.{kind} "
        f"`levare show {job.id} --failure` says why; `levare rerun {job.id}` starts it again once that is mended."
    )


def queue(rule: Queue, waiting: Waiting, *, now: datetime) -> Sight:
    waits, job = now - waiting.since, waiting.job
    is_breach = waits >= rule.lasts
    return Sight(
        subject=f"job:{job.id}",
        level=BREACH if is_breach else CLEAR,
        message=(
            f"{job.title} has waited for {span(waits)}, since {moment(waiting.since)}; it asks for {waiting.asks}, and "
            f"{span(rule.lasts)} is the limit. `levare why {job.id}` says what it waits for and what would start it."
        ),
        job=job,
        since=waiting.since,
        detail={"waited_seconds": round(waits.total_seconds()), "limit_seconds": rule.lasts.total_seconds()},
    )


def absence(rule: Absence, name: str, last: datetime, *, now: datetime) -> Sight:
    missing = now - last
    which = ", ".join(f"{key} {value}" for key, value in rule.of.said.items()) or "any name"
    is_breach = missing >= rule.lasts
    return Sight(
        subject=f"rule:{name}",
        level=BREACH if is_breach else CLEAR,
        message=(
            f"No job of {which} has succeeded for {span(missing)}, since {moment(last)}; at least one each "
            f"{span(rule.lasts)} is expected. `levare jobs` and `levare schedules` show what became of them."
            if is_breach
            else f"A job of {which} has succeeded again."
        ),
        since=last,
    )
