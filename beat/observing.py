"""What the rules of alerts read, gathered at each look: from SQL first, then, with no connection open, from Redis."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from beat.nodes_seen import NodesSeen
from beat.traces import Trace, busy_percent
from levare.decide.alerts import hanging
from levare.decide.alerts.activity import activity
from levare.decide.alerts.facts import Facts, Live, Over, Profile, Waiting
from levare.decide.alerts.rules import Absence, Hang, Log, Queue, Rule, concerns
from levare.model import SUCCEEDED
from levare.pulse import Pulse
from levare.store import alert_facts, ended_runs, run_summaries
from levare.store.alert_facts import Ended, Running

_WINDOW = timedelta(seconds=60)
_ASK_EVERY = timedelta(seconds=3)
_MOST_ASKED = 50
"""Of so many attempts the samples are read at one look."""
_WAITING_EVERY = timedelta(seconds=10)


@dataclass
class View:
    """What SQL says at one look."""

    running: Sequence[Running]
    settling: Collection[str]
    ended: Sequence[Ended]
    nodes: Sequence[Any]
    cards: Mapping[str, Any]
    waiting: Sequence[Waiting] = ()
    lines: dict[str, Mapping[str, str]] = field(default_factory=dict)
    over: list[Over] = field(default_factory=list)
    closing: list[tuple[Running, datetime]] = field(default_factory=list)

    @property
    def job_ids(self) -> list[str]:
        return [each.over.job.id for each in self.ended]


class Observer:
    def __init__(self, pulse: Pulse, *, decided_at: Callable[[], float] = monotonic) -> None:
        self._pulse, self._decided_at = pulse, decided_at
        self._traces: dict[str, Trace] = {}
        self._profiles: dict[str, Profile] = {}
        self._successes: dict[tuple[str, str], datetime] = {}
        self._seen = NodesSeen()
        self._waiting: tuple[datetime, Sequence[Waiting]] | None = None

    def read(self, connection: Connection, rules: Sequence[Rule], *, now: datetime) -> View:
        view = View(
            alert_facts.running(connection),
            alert_facts.settling(connection),
            alert_facts.ended(connection),
            alert_facts.nodes_of(connection),
            alert_facts.cards(connection),
        )
        view.waiting = self._read_waiting(connection, rules, now)
        self._read_runs(connection, view, rules, now)
        self._read_profiles(connection, view)
        self._read_successes(connection, view, rules, now)
        return view

    def facts(self, view: View, rules: Sequence[Rule], *, away_since: datetime | None, now: datetime) -> Facts:
        """With what Redis says; it may be gone, and then nothing is known of resources."""
        heartbeats = self._pulse.heartbeats()
        self._ask(view, rules, now)
        runs: dict[str, list[str]] = defaultdict(list)
        for run in view.running:
            runs[run.node].append(run.job.id)
        redis = bool(heartbeats) or self._pulse.ping()
        return Facts(
            now=now,
            live=self._live(view, heartbeats),
            over=view.over,
            settling=view.settling,
            waiting=view.waiting,
            nodes=self._seen.nodes(view.nodes, heartbeats, runs, redis=redis, now=now),
            profiles=self._profiles,
            filling=self._seen.filling(heartbeats, now=now),
            series=self._seen.series(rules, heartbeats),
            last_success={name: at for (name, _), at in self._successes.items()},
            away_since=away_since,
            undecided=timedelta(seconds=max(0.0, monotonic() - self._decided_at())),
        )

    def forget(self, view: View) -> None:
        """What has ended was looked at, and that is written down: from now on it is a part of the past."""
        for run, _ in view.closing:
            self._traces.pop(run.attempt, None)
        live = {run.attempt for run in view.running}
        self._traces = {attempt: trace for attempt, trace in self._traces.items() if attempt in live}
        stale = {over.job.family for over in view.over}
        wanted = {run.job.family for run in view.running} - stale
        self._profiles = {name: profile for name, profile in self._profiles.items() if name in wanted}

    def _read_runs(self, connection: Connection, view: View, rules: Sequence[Rule], now: datetime) -> None:
        logs = [rule for rule in rules if isinstance(rule.when, Log)]
        for run in view.running:
            self._read_run(connection, view, run, logs, now)
        for each in view.ended:
            summary = None
            if each.run is not None and (each.run.points or each.run.attempt in self._traces or logs):
                trace = self._read_run(connection, view, each.run, logs, now)
                view.closing.append((each.run, each.over.at))
                if each.over.state == SUCCEEDED and each.run.points:
                    summary = trace.summary(connection, each.run)
            view.over.append(replace(each.over, summary=summary))

    def _read_run(self, connection: Connection, view: View, run: Running, logs: Sequence[Rule], now: datetime) -> Trace:
        trace = self._traces.setdefault(run.attempt, Trace())
        trace.read(connection, run, now=now)
        patterns = {
            rule.name: rule.when.pattern
            for rule in logs
            if isinstance(rule.when, Log) and concerns(rule.when.of, run.job)
        }
        view.lines[run.attempt] = trace.lines(connection, run, patterns)
        return trace

    def _read_profiles(self, connection: Connection, view: View) -> None:
        names = {run.job.family for run in view.running} | {over.job.family for over in view.over if over.summary}
        unknown = names - self._profiles.keys()
        if unknown:
            self._profiles |= run_summaries.profiles(connection, unknown)

    def _read_waiting(self, connection: Connection, rules: Sequence[Rule], now: datetime) -> Sequence[Waiting]:
        limits = [rule.when.lasts for rule in rules if isinstance(rule.when, Queue)]
        if not limits:
            return ()
        rests = _WAITING_EVERY if min(limits) > 10 * _WAITING_EVERY else timedelta()
        if self._waiting is None or now - self._waiting[0] >= rests:
            self._waiting = (now, alert_facts.waiting(connection, before=now - min(limits)))
        return self._waiting[1]

    def _read_successes(self, connection: Connection, view: View, rules: Sequence[Rule], now: datetime) -> None:
        """When what is missed last happened, or since when it is missed: read once, and then kept by what ends."""
        known, self._successes = self._successes, {}
        for rule in rules:
            if isinstance(rule.when, Absence):
                of, place = rule.when.of, (rule.name, repr(rule.when))
                last = known.get(place) or ended_runs.last_success(connection, of, until=now)
                before = last or rule.declared_at or now
                news = [o.at for o in view.over if o.state == SUCCEEDED and concerns(of, o.job)]
                self._successes[place] = max([before, *news])

    def _ask(self, view: View, rules: Sequence[Rule], now: datetime) -> None:
        """What the processes of those attempts do that have been still for so long that it matters."""
        asked = 0
        for run in view.running:
            trace = self._traces[run.attempt]
            limit = self._limit(run, trace, rules, now)
            if limit is None:
                trace.activity = None
                continue
            is_fresh = trace.asked_at is not None and now - trace.asked_at < _ASK_EVERY
            if is_fresh or asked >= _MOST_ASKED:
                continue
            samples = self._pulse.samples("attempt", run.attempt, since=now - min(limit, _WINDOW))
            are_real = any(uuid in view.cards and not view.cards[uuid].simulated for uuid in run.devices)
            trace.activity, trace.asked_at = activity(samples, are_gpus_real=are_real), now
            asked += 1

    def _limit(self, run: Running, trace: Trace, rules: Sequence[Rule], now: datetime) -> timedelta | None:
        """The shortest limit that it has passed; None if it has passed none."""
        live, profile = trace.live(run, gpu_percent=None, lines={}), self._profiles.get(run.job.family, Profile())
        whens = [rule.when for rule in rules if isinstance(rule.when, Hang) and concerns(rule.when.of, run.job)]
        limits = [hanging.limit(when, live, profile).limit for when in whens]
        return min((limit for limit in limits if now - live.told_at >= limit), default=None)

    def _live(self, view: View, heartbeats: Mapping[str, Mapping[str, float]]) -> list[Live]:
        ended = {run.attempt: at for run, at in view.closing}
        runs = [*view.running, *(run for run, _ in view.closing)]
        return [
            self._traces[run.attempt].live(
                run,
                gpu_percent=busy_percent(run, view.cards, heartbeats),
                lines=view.lines.get(run.attempt, {}),
                ended_at=ended.get(run.attempt),
            )
            for run in runs
        ]
