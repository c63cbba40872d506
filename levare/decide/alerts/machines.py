"""The nodes: whether they are there, well, full, and whether GPUs that are held are used."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase

from levare.decide.alerts.facts import Facts, Filling, Live, Node
from levare.decide.alerts.robust import line
from levare.decide.alerts.rules import Disk, Idle, NodeLost, Sample, Unhealthy
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import moment, number, span
from levare.decide.amounts import counted
from levare.decide.conditions import BETWEEN, BREACH, CLEAR, Test, read

BEAT, WORKER = "beat", "worker"
_LOST = "lost"
_FEWEST_FOR_LINE, _LEAST_SECONDS, _LEAST_EXPLAINED, _LEAST_USED = 10, 600, 0.8, 50.0
_HOME, _MOUNT = "disk_used_percent", "mount_used_percent:"
_ALL = 100.0


def node_lost(rule: NodeLost, node: Node) -> Sight | None:
    if rule.node not in (None, node.name):
        return None
    is_lost = node.state == _LOST
    runs = f" {counted(len(node.jobs), 'job')} of it may still run: {', '.join(node.jobs[:5])}." if node.jobs else ""
    return Sight(
        subject=f"node:{node.name}",
        level=BREACH if is_lost else CLEAR,
        message=(
            f"Node {node.name} is lost: its worker has not renewed its lease since {moment(node.renewed_at)}.{runs} "
            "Look whether the machine answers and `levare up --only worker` runs there; nothing new is placed on it."
            if is_lost
            else f"Node {node.name} is back."
        ),
        node=node.name,
        since=node.renewed_at if is_lost else None,
    )


def unhealthy(rule: Unhealthy, facts: Facts) -> Iterator[Sight]:
    if rule.part in (None, WORKER):
        yield from (_worker(rule, node) for node in facts.nodes if node.state != _LOST)
    if rule.part in (None, BEAT):
        yield _beat(rule, facts)


def _worker(rule: Unhealthy, node: Node) -> Sight:
    ill = None
    if node.silent >= rule.lasts:
        ill = f"has not renewed its lease for {span(node.silent)}"
    elif node.heartless is not None and node.heartless >= rule.lasts:
        ill = f"has sent no heartbeat for {span(node.heartless)}, though it renews its lease"
    is_well = node.renews and node.heartless is None
    return Sight(
        subject=f"worker:{node.name}",
        level=BREACH if ill else CLEAR if is_well else BETWEEN,
        message=(
            f"The worker of {node.name} {ill}; {span(rule.lasts)} is the limit. Look at its output and at the load of "
            f"the machine; `levare doctor` there checks what it needs."
            if ill
            else f"The worker of {node.name} is well again."
        ),
        node=node.name,
    )


def _beat(rule: Unhealthy, facts: Facts) -> Sight:
    away = facts.now - facts.away_since if facts.away_since else timedelta()
    ill = None
    if facts.undecided >= rule.lasts:
        ill = f"Beat has decided nothing for {span(facts.undecided)}: its database or its machine is slow."
    elif away >= rule.lasts and facts.away_since:
        ill = f"No beat has looked after jobs for {span(away)}, since {moment(facts.away_since)}: nothing started then."
    return Sight(
        subject="beat",
        level=BREACH if ill else CLEAR,
        message=f"{ill} Look at the output of `levare up`." if ill else "Beat is well again.",
        since=facts.away_since if ill and facts.away_since else None,
    )


def sample(rule: Sample, facts: Facts) -> Iterator[Sight]:
    for node in facts.nodes:
        if rule.node not in (None, node.name) or node.state == _LOST:
            continue
        names = [name for name in sorted(node.sample or ()) if fnmatchcase(name, rule.sample)]
        if rule.absent is not None:
            yield _absent(rule, node, is_there=bool(names))
        elif rule.test is not None:
            yield from (_sample(rule, rule.test, node, name, facts) for name in names)


def _sample(rule: Sample, test: Test, node: Node, name: str, facts: Facts) -> Sight:
    reading = read(test, facts.series.get((node.name, name), ()))
    of = f"{name} of {node.name}"
    return Sight(
        subject=f"sample:{node.name}/{name}",
        level=reading.level,
        message=(
            f"{of} is {number((node.sample or {})[name])}. {reading.message} It has been so for {span(rule.lasts)} or "
            f"longer. `levare top` shows what runs there; `levare drain {node.name}` keeps new jobs off."
            if reading.level == BREACH
            else f"{of} is well again."
        ),
        node=node.name,
        lasts=rule.lasts,
        detail={"value": (node.sample or {})[name]},
    )


def _absent(rule: Sample, node: Node, *, is_there: bool) -> Sight:
    level = BETWEEN if node.sample is None else CLEAR if is_there else BREACH
    return Sight(
        subject=f"sample:{node.name}/{rule.sample}",
        level=level,
        message=(
            f"{node.name} has not told {rule.sample!r} for {span(rule.absent or 0)}: the counter is gone."
            if level == BREACH
            else f"{node.name} tells {rule.sample!r} again."
        ),
        node=node.name,
        lasts=rule.absent or timedelta(),
    )


def is_disk(name: str) -> bool:
    """Whether a number of a heartbeat says how full a disk is."""
    return name == _HOME or name.startswith(_MOUNT)


def disk(rule: Disk, facts: Facts) -> Iterator[Sight]:
    for node in facts.nodes:
        if rule.node in (None, node.name) and node.sample and node.state != _LOST:
            for name, used in _disks(node.sample):
                filling = facts.filling.get((node.name, name), Filling())
                if not _is_image(used, filling):
                    yield _disk(rule, node, name, used, filling)


def _disks(sample: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Each once: the mount that holds LEVARE_HOME is told by two names, with the same number."""
    home = sample.get(_HOME)
    for name in sorted(filter(is_disk, sample)):
        if name == _HOME or sample[name] != home:
            yield name, sample[name]


def _is_image(used: float, filling: Filling) -> bool:
    """What was always full is read and never written, such as the image of a package."""
    return used >= _ALL and bool(filling.points) and all(percent >= _ALL for _, percent in filling.points)


def _disk(rule: Disk, node: Node, name: str, used: float, filling: Filling) -> Sight:
    full_in = _full_in(rule, filling)
    is_full, will_be = used > rule.above, full_in is not None
    where = "the disk of LEVARE_HOME" if name == _HOME else name.removeprefix(_MOUNT)
    what = f"is {used:.1f} % full, more than {rule.above:g} %"
    if will_be and not is_full:
        what = f"will be full in {span(full_in or timedelta())}: it is {used:.1f} % full and grows steadily"
    is_clear = used <= min(rule.rearm, rule.above) and (rule.full_within is None or _is_known(filling))
    return Sight(
        subject=f"disk:{node.name}/{name}",
        level=BREACH if is_full or will_be else CLEAR if is_clear else BETWEEN,
        message=(
            f"On {node.name} {where} {what}. Jobs there fail to write checkpoints once it is. Remove old checkpoints "
            f"and outputs, or `levare drain {node.name}`."
            if is_full or will_be
            else f"On {node.name} {where} has room again: {used:.1f} % full."
        ),
        node=node.name,
        lasts=rule.lasts,
        detail={"used_percent": used, "full_in_seconds": full_in.total_seconds() if full_in else None},
    )


def _is_known(filling: Filling) -> bool:
    """Whether it was looked at for long enough to say how it fills."""
    points = filling.points
    return len(points) >= _FEWEST_FOR_LINE and points[-1][0] - points[0][0] >= _LEAST_SECONDS


def _full_in(rule: Disk, filling: Filling) -> timedelta | None:
    """Until it is full, if it fills so steadily that this can be said, and soon enough to matter."""
    points = filling.points
    if rule.full_within is None or not _is_known(filling):
        return None
    slope, at, explained = line(points)
    if slope <= 0 or explained < _LEAST_EXPLAINED or at < _LEAST_USED:
        return None
    left = timedelta(seconds=min((100 - at) / slope, 1e9))
    return left if left <= rule.full_within else None


def idle(rule: Idle, live: Live) -> Sight | None:
    """None for a job without GPUs, or of which nobody knows how busy they are."""
    if not live.gpus or live.gpu_percent is None:
        return None
    is_breach = live.gpu_percent < rule.below
    held = f"the {counted(live.gpus, 'GPU')} that it holds" if live.gpus > 1 else "the GPU that it holds"
    return Sight(
        subject=f"job:{live.job.id}",
        level=BREACH if is_breach else CLEAR,
        message=(
            f"{live.job.title} has not used {held} on {live.node} for {span(rule.lasts)} or longer: "
            f"{'they are' if live.gpus > 1 else 'it is'} {live.gpu_percent:.0f} % busy, less than {rule.below:g} %. "
            f"If it is done with them, `levare cancel {live.job.id}` gives them to those who wait."
            if is_breach
            else f"{live.job.title} uses its GPUs again: {live.gpu_percent:.0f} % busy."
        ),
        job=live.job,
        node=live.node,
        lasts=rule.lasts,
        detail={"gpu_percent": round(live.gpu_percent, 1)},
    )
