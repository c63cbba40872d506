"""
Who has used what, who comes first, and whose quota is full.

Teams share the fleet by weight: who has used least for its weight comes first. What was used fades with a half-life,
so that nobody pays for ever; what runs counts at once as if it had run for its typical time, an hour at most, so that
a burst of starts does not go unnoticed until it has lasted. What each holds now bounds this: `levare.decide.present`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from math import fsum
from operator import mul
from statistics import median

from levare.decide.durations import corrected
from levare.decide.once import instant, span
from levare.decide.present import Part, Present
from levare.decide.quota import LIMITS, SLACK, Kept, Ledger, exceeds, keeps_from
from levare.decide.running import ENTRY, Owner, Parts, Run, by_owner, ending_on, entry, memory_of
from levare.decide.standing import Standing
from levare.decide.use import accruals, accrued, cost, gpus_held, gpus_of
from levare.model import Account, Held, Node, Reason, Sharing, Waiting

__all__ = ["ENTRY", "PATIENCE", "Books", "Standing"]

PATIENCE = timedelta(minutes=30)
"""From then on something is kept for a job that does not fit, even where nobody can tell when it will."""
_HOUR = timedelta(hours=1)
_HOUR_US = span(_HOUR)


class Books:
    """
    Who uses what while one decision is made: what has been used, what runs, what this decision adds.

    Its construction costs O(running); each question then O(1), but for `standing`, which compares all teams. One
    attempt of a gang stands for the whole gang.
    """

    def __init__(self, sharing: Sharing, nodes: Sequence[Node], *, now: datetime) -> None:
        self._sharing, self._now, self._nodes = sharing, now, nodes
        sizes = [mib for node in nodes for mib in memory_of(node).values()]
        self._typical_mib = median(sizes) if sizes else 0.0
        self._ledgers = {name: Ledger.of(account) for name, account in sharing.accounts.items()}
        self._known: dict[Owner, tuple[Ledger, Ledger, Ledger]] = {}
        self._leaving: set[str] = set()
        self._teams, self._users = Present(), dict[str, Present]()
        for owner, runs in by_owner(nodes):
            self._enter(owner, runs)
        for node in nodes:
            for each in ending_on(node):
                self.release(each)
        self._borrowed = {name: self._beyond(name, runs) for name, runs in self._runs_by_account().items()}

    def team_claim(self, team: str) -> float:
        """Effective use per weight; who has the smallest comes first."""
        ledger = self._ledger(team)
        return ledger.use / ledger.account.weight

    def user_claim(self, team: str, user: str) -> float:
        """Effective use of a user within a team; all users weigh the same."""
        return self._ledger(f"{team}:{user}").use

    def expect(self, team: str, user: str) -> None:
        """A user of a team wants something: from now on both count among those who share."""
        self._teams.join(team, self._weight_of(team))
        self._users_of(team).join(user, 1.0)

    def compare(self, team: str, *, wants: bool) -> None:
        """From now on it is among those that a `standing` compares, even if nothing is known of it but its name."""
        weight = self._weight_of(team)
        if wants:
            self._teams.join(team, weight)

    def team_part(self, team: str, asks: float = 0.0) -> Part:
        """What it holds of its present share, and that of a job which asks for so many weighted GPUs."""
        return self._teams.part(team, self._weight_of(team), asks)

    def user_part(self, team: str, user: str, asks: float = 0.0) -> Part:
        """The same of a user, of what the team holds."""
        return self._users_of(team).part(user, 1.0, asks)

    def asked(self, job: Waiting) -> float:
        """The weighted GPUs that one start of it takes."""
        return cost(job.request, self._typical_mib)

    def refusal(self, job: Waiting) -> Reason | None:
        """The first hard limit of its team, project or user that its start would break; None if there is none."""
        gpus, hours = self._asked(job)
        for ledger in self._of(*_owner(job)):
            for limit in LIMITS:
                reason = limit(ledger, gpus, hours)
                if reason:
                    return reason
            if kept := keeps_from(ledger, job, gpus, self._now):
                return kept
        return None

    def keep(self, job: Waiting) -> None:
        """
        What comes after this job leaves it the room within a hard quota of GPUs that it has long waited for.

        Else smaller ones could fill the quota for ever. What ends before enough can be free may start meanwhile.
        """
        gpus, _ = self._asked(job)
        for ledger in self._of(*_owner(job)):
            quota = ledger.account.quota
            full = not quota.borrow and exceeds(quota.gpus, ledger.gpus, gpus) and not exceeds(quota.gpus, 0, gpus)
            if full and ledger.kept is None and self._now - job.since >= PATIENCE:
                ledger.kept = Kept(job.job_id, gpus, self._frees_at(ledger, ledger.gpus + gpus - (quota.gpus or 0)))

    def borrows(self, job: Waiting) -> bool:
        """Whether its start would take its team, project or user above a nominal quota that allows borrowing."""
        gpus, _ = self._asked(job)
        return any(
            ledger.account.quota.borrow and exceeds(ledger.account.quota.gpus, ledger.gpus, gpus)
            for ledger in self._of(*_owner(job))
        )

    def is_borrowed(self, held: Held) -> bool:
        """
        Whether this attempt is one that holds GPUs above a nominal quota of its team, project or user.

        Those of the highest priority, then those that started first, are within the quota as long as they fit into it
        whole; all others are borrowed, until enough has been released.
        """
        return held.job_id not in self._leaving and any(
            held.job_id in self._borrowed.get(ledger.account.name, ()) and ledger.excess > SLACK
            for ledger in self._of(*_owner(held))
        )

    def charge(self, job: Waiting) -> None:
        """One job, one element of an array or one whole gang starts now."""
        gpus, hours = self._asked(job)
        rate = self.asked(job)
        use = accrued(rate, entry(job.expected), self._sharing.half_life)
        self._take(job.team, job.user, rate)
        for ledger in self._of(*_owner(job)):
            ledger.gpus += gpus
            ledger.gpu_hours += hours
            ledger.use += use
            ledger.running += 1

    def release(self, held: Held) -> None:
        """
        It is told to make room: from now on it is not borrowed, and others of its team may no longer be so either.

        It holds its part of every hard quota until it has ended. To release it again changes nothing.
        """
        if held.job_id not in self._leaving:
            self._leaving.add(held.job_id)
            gpus = self._gpus_of(held.job_id)
            for ledger in self._of(*_owner(held)):
                ledger.leaving += gpus

    def standing(self, team: str) -> Standing:
        teams = {name for name in self._ledgers if not set(name) & set("/:")} | {team}
        ledger, key = self._ledger(team), self._standing_of(team)
        keys = [self._standing_of(each) for each in teams]
        weights = sum(self._ledger(each).account.weight for each in teams)
        use = sum(self._ledger(each).use for each in teams)
        return Standing(
            team=team,
            weight=ledger.account.weight,
            weights=weights,
            use=ledger.use,
            uses=use,
            rank=1 + sum(each < key for each in keys),
            rank_by_use=1 + sum(claim < key[1] for _, claim in keys),
            part=self.team_part(team),
            teams=len(teams),
            gpus=ledger.gpus,
            borrowed=ledger.excess,
            running=ledger.running,
            gpu_hours=ledger.gpu_hours,
        )

    def ledgers(self) -> Sequence[Ledger]:
        """What is true of each account that has a quota, a weight or a use, or runs something."""
        return list(self._ledgers.values())

    def _standing_of(self, team: str) -> tuple[tuple[int, float], float]:
        return self.team_part(team).order, self.team_claim(team)

    def _weight_of(self, team: str) -> float:
        return self._ledger(team).account.weight

    def _users_of(self, team: str) -> Present:
        if team not in self._users:
            self._users[team] = Present()
        return self._users[team]

    @cached_property
    def parts(self) -> Parts:
        """What each job holds that runs when the decision begins."""
        return Parts(self._nodes)

    @cached_property
    def _memory_mib(self) -> Mapping[str, int]:
        return {uuid: mib for node in self._nodes for uuid, mib in memory_of(node).items()}

    def _gpus_of(self, job_id: str) -> float:
        return fsum(gpus_held(part.devices, self._memory_mib) for part in self.parts.of(job_id))

    def _frees_at(self, ledger: Ledger, missing: float) -> datetime:
        """When so many GPUs of an account are free; now, so that nothing ends before, where nobody can tell."""
        everything = (held for node in self._nodes for held in node.held)
        of_it = (held for held in everything if any(each is ledger for each in self._of(*_owner(held))))
        ends = ((_end(held, self._now), held) for held in of_it)
        for end, held in sorted(((end, held) for end, held in ends if end), key=lambda ending: ending[0]):
            missing -= gpus_held(held.devices, self._memory_mib)
            if missing <= SLACK:
                return end
        return self._now

    def _take(self, team: str, user: str, rate: float) -> None:
        self._teams.take(team, self._weight_of(team), rate)
        self._users_of(team).take(user, 1.0, rate)

    def _enter(self, owner: Owner, runs: Sequence[Run]) -> None:
        """What runs when the decision begins, of one user in one project. The sums are exact, so in any order."""
        now = instant(self._now)
        jobs, held, rates, placed, entries = zip(*runs, strict=True)
        lasted = list(map(max, entries, [now - start for start in placed]))
        gpus, hours = fsum(held), fsum(map(mul, held, lasted)) / _HOUR_US
        use = fsum(accruals(rates, lasted, self._sharing.half_life))
        team, _, user = owner
        self._take(team, user, fsum(rates))
        for ledger in self._of(*owner):
            ledger.gpus += gpus
            ledger.gpu_hours += hours
            ledger.use += use
            ledger.running += len(set(jobs))

    def _asked(self, job: Waiting) -> tuple[float, float]:
        """The GPUs that a start takes, and the GPU-hours that it counts for at once."""
        gpus = gpus_of(job.request, self._typical_mib)
        return gpus, gpus * (entry(job.expected) / _HOUR)

    def _of(self, team: str, project: str, user: str) -> tuple[Ledger, Ledger, Ledger]:
        key = (team, project, user)
        if key not in self._known:
            self._known[key] = (self._ledger(team), self._ledger(f"{team}/{project}"), self._ledger(f"{team}:{user}"))
        return self._known[key]

    def _ledger(self, name: str) -> Ledger:
        if name not in self._ledgers:
            self._ledgers[name] = Ledger.of(Account(name))
        return self._ledgers[name]

    def _runs_by_account(self) -> dict[str, list[Held]]:
        """What holds GPUs, by the accounts whose quota allows borrowing and is exceeded."""
        runs: dict[str, list[Held]] = {}
        if not any(ledger.excess > SLACK for ledger in self._ledgers.values()):
            return runs
        for each in (held for node in self._nodes for held in node.held if held.devices):
            for ledger in self._of(*_owner(each)):
                if ledger.account.quota.borrow and ledger.excess > SLACK:
                    runs.setdefault(ledger.account.name, []).append(each)
        return runs

    def _beyond(self, account: str, runs: Iterable[Held]) -> set[str]:
        """The jobs that do not fit into the nominal quota, a gang as one; those that leave come last."""
        left, beyond = float(self._ledger(account).account.quota.gpus or 0), set[str]()
        for job in dict.fromkeys(each.job_id for each in sorted(runs, key=self._by_claim)):
            gpus = self._gpus_of(job)
            if gpus > left + SLACK:
                beyond.add(job)
            else:
                left -= gpus
        return beyond

    def _by_claim(self, held: Held) -> tuple[bool, int, datetime, str]:
        return (held.job_id in self._leaving, -held.priority, held.placed_at or self._now, held.job_id)


def _owner(whose: Waiting | Held) -> Owner:
    return whose.team, whose.project, whose.user


def _end(held: Held, now: datetime) -> datetime | None:
    elapsed = now - held.placed_at if held.placed_at else timedelta()
    whole = corrected(held.expected, max(elapsed, timedelta()), held.progress, held.limit)
    return now - elapsed + whole.promised if whole else None
