"""Every error that a person can meet: what was wrong, with the numbers, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One wrong value: where it stands, what it was, what is allowed."""

    field: str
    message: str
    value: object = None
    limit: object = None


@dataclass
class LevareError(Exception):
    """The base of all errors with a stable `code`; `status` is the HTTP status that carries it."""

    detail: str
    next_step: str = ""
    faults: Sequence[Fault] = field(default_factory=tuple)

    code = "error"
    title = "Something went wrong"
    status = 500

    def __str__(self) -> str:
        return f"{self.detail} {self.next_step}".strip()


class InvalidRequest(LevareError):
    code, title, status = "invalid-request", "The request is not valid", 422


class CanNeverRun(LevareError):
    code, title, status = "can-never-run", "No node could ever run this job", 422


class Contradiction(LevareError):
    code, title, status = "contradiction", "The request contradicts itself", 422


class UnknownNeeds(LevareError):
    code, title, status = "unknown-needs", "A needed job does not exist", 422


class InvalidArray(LevareError):
    code, title, status = "invalid-array", "The array contradicts itself", 422


class InvalidPipeline(LevareError):
    code, title, status = "invalid-pipeline", "The pipeline contradicts itself", 422


class InvalidSchedule(LevareError):
    code, title, status = "invalid-schedule", "The schedule is not valid", 422


class UnfitEvent(LevareError):
    code, title, status = "unfit-event", "The data of the event cannot be passed on", 422


class NotFound(LevareError):
    code, title, status = "not-found", "There is no such thing", 404


class Unauthorized(LevareError):
    code, title, status = "unauthorized", "A valid token is needed", 401


class Forbidden(LevareError):
    code, title, status = "forbidden", "This is not allowed", 403


class Conflict(LevareError):
    code, title, status = "conflict", "This contradicts the present state", 409


class InvalidDeclaration(LevareError):
    code, title, status = "invalid-declaration", "What is to be declared is not valid", 422


class StalePlan(LevareError):
    """Something has been declared since the plan was made; nothing was written."""

    code, title, status = "stale-plan", "The plan does not fit what is declared now", 409


class Locked(LevareError):
    code, title, status = "locked", "Somebody else holds the lock", 409


class Stale(LevareError):
    """It is no longer as whoever changes it has seen it; nothing was written."""

    code, title, status = "precondition-failed", "It is not as the request expects it", 412


class InFlight(LevareError):
    """The first request with this key has not been answered yet."""

    code, title, status = "in-flight", "The first request with this key is still being answered", 409


class QuotaQueued(LevareError):
    code, title, status = "quota-queued", "The quota of jobs that wait is full", 409


class IdempotencyMismatch(LevareError):
    code, title, status = "idempotency-mismatch", "The key was used with another body", 422


class TooLarge(LevareError):
    code, title, status = "too-large", "The request is too large", 413


class Unavailable(LevareError):
    code, title, status = "unavailable", "A part of levare does not answer", 503


@dataclass
class TooManyRequests(LevareError):
    """`retry_after_seconds` says when to ask again."""

    retry_after_seconds: int = 1

    code, title, status = "too-many-requests", "More is asked than is answered", 429


class MissingSecret(LevareError):
    code, title, status = "missing-secret", "A secret is not there", 500


class InvalidSetting(LevareError):
    code, title, status = "invalid-setting", "A setting is not valid", 500


class StaleLeader(LevareError):
    """A write carried an epoch that another beat has since succeeded; nothing was written."""

    code, title, status = "stale-leader", "Another beat leads", 409
