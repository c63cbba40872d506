"""What the quota of a team, a project or a user allows, and the sentence that says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.decide.amounts import counted
from levare.model import Account, Reason, Waiting

SLACK = 1e-6
"""Of GPUs or GPU-hours: parts of GPUs add up to whole ones only nearly."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Kept:
    """Room within a hard quota of GPUs that is left to a job, which has it from `at` on if runs end as promised."""

    job_id: str
    gpus: float
    at: datetime


@dataclass
class Ledger:
    """What is true of one account while a decision is made."""

    account: Account
    use: float
    gpu_hours: float
    gpus: float = 0.0
    leaving: float = 0.0
    """GPUs of those that have been told to make room and still hold theirs."""
    running: int = 0
    kept: Kept | None = None

    @classmethod
    def of(cls, account: Account) -> "Ledger":
        return cls(account, account.use, account.gpu_hours)

    @property
    def excess(self) -> float:
        """GPUs above the nominal quota, without those that leave."""
        nominal = self.account.quota.gpus
        return 0.0 if nominal is None else max(0.0, self.gpus - self.leaving - nominal)


def exceeds(limit: float | None, used: float, asked: float) -> bool:
    """Whether the limit would be broken; what asks for nothing breaks none."""
    return limit is not None and asked > 0 and used + asked > limit + SLACK


def _running_limit(ledger: Ledger, _gpus: float, _hours: float) -> Reason | None:
    quota, running = ledger.account.quota, ledger.running
    if not exceeds(quota.running, running, 1):
        return None
    has = f"{_who(ledger)} runs {running} of the {_jobs(quota.running or 0)} that its quota allows at once"
    return _refused(
        "quota-running", has, "One of them has to end first", asked=1, limit=quota.running or 0, used=running
    )


def _gpu_limit(ledger: Ledger, gpus: float, _hours: float) -> Reason | None:
    quota = ledger.account.quota
    if quota.borrow or not exceeds(quota.gpus, ledger.gpus, gpus):
        return None
    nominal = quota.gpus or 0
    has = f"{_who(ledger)} holds {ledger.gpus:.3g} of the {counted(nominal, 'GPU')} of its quota and may not borrow; "
    has += f"this asks for {gpus:.3g}"
    return _refused(
        "quota-gpus", has, "Some of its jobs have to end first", asked=gpus, limit=nominal, used=ledger.gpus
    )


def keeps_from(ledger: Ledger, job: Waiting, gpus: float, now: datetime) -> Reason | None:
    """Why a job may not take of the room that is kept for another; None if it leaves enough or ends in time."""
    kept, nominal = ledger.kept, ledger.account.quota.gpus
    if kept is None or not exceeds(nominal, ledger.gpus + kept.gpus, gpus):
        return None
    if job.expected and now + job.expected.promised <= kept.at:
        return None
    left = max(0.0, (nominal or 0) - ledger.gpus - kept.gpus)
    held = f"{_who(ledger)} holds {ledger.gpus:.3g} of the {counted(nominal or 0, 'GPU')} of its quota"
    told = f"{held}, and {kept.gpus:.3g} are kept for job {kept.job_id}, which has waited longer."
    return Reason("quota-kept", "will-wait", told, gpus, left)


def _hour_limit(ledger: Ledger, _gpus: float, hours: float) -> Reason | None:
    quota = ledger.account.quota
    if not exceeds(quota.gpu_hours, ledger.gpu_hours, hours):
        return None
    most = quota.gpu_hours or 0.0
    has = f"{_who(ledger)} has used {ledger.gpu_hours:.1f} of the {most:g} GPU-hours of its quota for "
    days = quota.period / _DAY
    has += f"{days:g} day{'s' * (days != 1)}, and this counts for {hours:.3g} at once"
    return _refused(
        "quota-gpu-hours", has, "Older use has to leave that time first", asked=hours, limit=most, used=ledger.gpu_hours
    )


def _refused(code: str, has: str, frees: str, *, asked: float, limit: float, used: float) -> Reason:
    """What asks for more than the whole quota waits for a person, not for time."""
    if asked > limit + SLACK:
        return Reason(code, "misconfigured", f"{has}. It cannot start until the quota grows.", asked, limit)
    return Reason(code, "will-wait", f"{has}. {frees}, or the quota has to grow.", asked, max(0.0, limit - used))


def _who(ledger: Ledger) -> str:
    name = ledger.account.name
    for mark, noun in (("/", "Project"), (":", "User")):
        team, found, part = name.partition(mark)
        if found:
            return f"{noun} {part} of team {team}"
    return f"Team {name}"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


LIMITS: Sequence[Callable[[Ledger, float, float], Reason | None]] = (_running_limit, _gpu_limit, _hour_limit)
"""The hard limits, each asked with the GPUs that a start takes and the GPU-hours that it counts for at once."""
