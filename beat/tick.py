"""
One decision: load, decide, apply, send.

The reading, the deciding and the writing are three places; nothing but SQL is called while a
connection is open, and what is to be sent, or whom to wake, is handed on after the commit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import Connection

from beat import aftermath
from beat.aftermath import Aftermath
from beat.leader import Leader
from levare.decide import arrays, lifecycle
from levare.decide.placement import place
from levare.model import FINAL, WAITING, Decision, Move, Node, Parting, Rules, Silent, Waiting
from levare.store import alert_facts, attempts, decisions, nodes, pipelines, promises, snapshot, triggers, wishes
from levare.store.arrays import is_awaited
from levare.store.engine import Database
from levare.store.messages import Message, mark_sent
from levare.store.snapshot import Snapshot

_FORGET_EVERY = timedelta(hours=1)


class Watchman:
    """How long each node has been silent, by this process's own monotonic clock since it first saw its last renewal."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def silences(self, renewals: Mapping[str, int]) -> dict[str, timedelta]:
        clock = monotonic()
        self._seen = {
            name: seen if (seen := self._seen.get(name)) and seen[0] == count else (count, clock)
            for name, count in renewals.items()
        }
        return {name: timedelta(seconds=clock - since) for name, (_, since) in self._seen.items()}


@dataclass(frozen=True)
class Plan:
    """What one decision changes."""

    decision: Decision
    moves: Sequence[Move]
    lost_nodes: Mapping[str, int]
    """Name -> the count of renewals at which it was seen to stand still."""
    lost_attempts: Sequence[str]
    unclaimed_to_cancel: Sequence[str]
    to_part: Sequence[Parting]
    unsent: Sequence[Message]
    fleet: Sequence[Node]
    digest: str
    """Of the facts that it was decided upon, if anything starts."""
    aftermath: Aftermath

    @property
    def incarnations(self) -> Mapping[str, str]:
        return {node.name: node.incarnation for node in self.fleet}

    @property
    def changes_anything(self) -> bool:
        losses = self.lost_nodes or self.lost_attempts or self.unclaimed_to_cancel
        told_to_end = self.decision.preemptions or self.to_part
        return bool(self.decision.placements or self.moves or self.unsent or losses or told_to_end)

    @property
    def calls_for_another(self) -> bool:
        """Whether its consequences may allow more at once."""
        back_in_the_queue = any(move.state == WAITING for move in self.moves)
        return back_in_the_queue or bool(self.lost_attempts or self.unclaimed_to_cancel)


class Tick:
    def __init__(
        self,
        database: Database,
        leader: Leader,
        rules: Rules,
        *,
        wake: Callable[[Iterable[str]], object] = lambda _: None,
    ) -> None:
        self._database, self._leader, self._rules, self._wake = database, leader, rules, wake
        self._watchman = Watchman()
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._promised: dict[str, datetime] = {}
        self._kept: dict[str, datetime] = {}
        self._epoch: int | None = None
        self._memory = snapshot.Memory()
        self.without_room: Sequence[Waiting] = ()
        """What the last decision left waiting for room, of each lane the first that it came to."""

    def run(self, *, now: datetime) -> tuple[list[Message], bool]:
        """Decide once; return what is to be sent, and whether to decide again at once."""
        return self.apply(self.decide(self.load(now), now), now)

    def load(self, now: datetime) -> Snapshot:
        with self._database.reading() as connection:
            self._recall(connection)
            return snapshot.load(connection, now=now, rules=self._rules, memory=self._memory)

    def apply(self, plan: Plan, now: datetime) -> tuple[list[Message], bool]:
        """Write what was decided, all or nothing; what SQL says otherwise by now is left as it is."""
        if not (plan.changes_anything or self._promised != self._kept or self._leader.renewal_is_due()):
            return [], False
        with self._database.writing() as connection:
            self._leader.renew_in(connection)
            messages, to_wake = self._write(connection, plan, now)
            again = plan.calls_for_another or is_awaited(connection, plan.moves)
        self._kept = self._promised
        self._wake(to_wake)
        return messages, again or bool(to_wake)

    def decide(self, seen: Snapshot, now: datetime) -> Plan:
        silences = self._watchman.silences(seen.renewals)
        moves = [
            *lifecycle.settle(seen.ended, seen.nodes, now=now),
            *lifecycle.cancel(seen.to_cancel),
            *lifecycle.unblock(seen.blocked, now=now),
            *arrays.follow(seen.arrays),
        ]
        lost_nodes = {
            name: seen.renewals[name] for name, silence in silences.items() if silence >= self._rules.lost_after
        }
        silent = [
            Silent(live.id, live.node, silences[live.node], live.on_lost, live.cancel_requested_at is not None)
            for live in seen.live
            if live.node in lost_nodes
        ]
        awake = [node for node in seen.nodes if node.name not in lost_nodes]
        decision = place(promises.remembered(seen.waiting, self._promised), awake, now=now, sharing=seen.sharing)
        self._remember(decision)
        short = decision.without_room
        self.without_room = [job for job in seen.waiting if job.job_id in short] if short else ()
        return Plan(
            decision=decision,
            moves=moves,
            lost_nodes={node.name: lost_nodes[node.name] for node in seen.nodes if self._is_news(node, lost_nodes)},
            lost_attempts=lifecycle.lost_attempts(silent, lost_after=self._rules.lost_after),
            unclaimed_to_cancel=seen.unclaimed_to_cancel,
            to_part=seen.to_part,
            unsent=seen.unsent,
            fleet=seen.nodes,
            digest=decisions.digest_of(seen.waiting, awake, seen.sharing) if decision.placements else "",
            aftermath=aftermath.draw(seen, now),
        )

    def _recall(self, connection: Connection) -> None:
        """A new leader keeps what the one before it has promised."""
        if self._epoch != self._leader.epoch:
            self._promised = self._kept = promises.load(connection)
            self._epoch = self._leader.epoch

    def _remember(self, decision: Decision) -> None:
        """What each job was promised first, as long as it is promised anything."""
        made = decision.promises.items()
        self._promised = {job_id: self._promised.get(job_id, promise.at) for job_id, promise in made}

    @staticmethod
    def _is_news(node: snapshot.Node, lost: Mapping[str, int]) -> bool:
        return node.name in lost and node.state != "lost"

    def _write(self, connection: Connection, plan: Plan, now: datetime) -> tuple[list[Message], list[str]]:
        """What is to be sent, and the nodes that have something to end."""
        nodes.declare_lost(connection, plan.lost_nodes, now=now)
        if plan.lost_attempts:
            attempts.lose(connection, plan.lost_attempts, reason=self._why_lost(), now=now)
        if plan.unclaimed_to_cancel:
            attempts.cancel_unclaimed(connection, plan.unclaimed_to_cancel, now=now)
        to_wake = wishes.preempt(connection, plan.decision.preemptions, now=now)
        to_wake += wishes.part(connection, plan.to_part, now=now)
        aftermath.write(connection, plan.aftermath, plan.moves, now=now)
        attempts.move(connection, plan.moves, now=now, half_life=self._rules.half_life)
        pipelines.stay_close(connection, plan.moves)
        over = [move.job_id for move in plan.moves if move.state in FINAL]
        triggers.note_endings(connection, over)
        alert_facts.note_endings(connection, over)
        mark_sent(connection, plan.unsent, plan.incarnations, now=now)
        placed = attempts.place(connection, plan.decision.placements, plan.incarnations, now=now, fleet=plan.fleet)
        if self._promised != self._kept:
            promises.keep(connection, self._promised)
        self._forget_old(connection, now)
        decisions.record(connection, placed, plan.decision.turns, digest=plan.digest, now=now)
        return [*plan.unsent, *placed], to_wake

    def _forget_old(self, connection: Connection, now: datetime) -> None:
        if now - self._forgot_at >= _FORGET_EVERY:
            decisions.prune(connection, now=now)
            self._forgot_at = now

    def _why_lost(self) -> str:
        return f"Its node did not renew its lease for {self._rules.lost_after.total_seconds():g} s."
