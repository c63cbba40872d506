"""`levare doctor`: checks what levare needs, and says for each thing that is wrong what to do."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from levare.cli import terminal, words
from levare.cli.group import FAILED
from levare.errors import Forbidden, LevareError, NotFound

if TYPE_CHECKING:
    from levare.client import Address, Client, Node

_MOST_SKEW_SECONDS = 5
_LEAST_FREE_GIB = 2
_HEARTBEAT_SECONDS = 15


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `next_step` says what to do where it is not ok."""

    name: str
    ok: bool
    detail: str
    next_step: str = ""


@click.command()
@click.option("--chaos", is_flag=True, help="Kill everything but the training instead, in a deployment of its own.")
@terminal.json_option
def doctor(*, chaos: bool, as_json: bool) -> int:
    """
    Check the address, the token, the API and what stands behind it, the audit, the nodes, clocks and disks.

    With --chaos nothing of yours is asked or touched: levare runs in a temporary folder with simulated GPUs and real
    jobs, each of its processes is killed in turn and all at once, Redis is emptied and hangs. What levare promises is
    counted by what the jobs themselves wrote down. It takes about a minute, and ends with 1 if a promise is broken.
    """
    if chaos:
        from levare.cli.chaos import trial

        return trial(as_json=as_json)
    checks: list[Check] = []
    with terminal.connect() as client:
        for check in examine(client):
            checks.append(check)
            if not as_json:
                _tell(check)
    if as_json:
        terminal.document({"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]})
    return 0 if all(check.ok for check in checks) else FAILED


def examine(client: "Client") -> Iterator[Check]:
    """The checks in order; what cannot be asked because of what is wrong before it is left out."""
    address = client.address
    yield Check("address", True, f"{address.url} (from {address.url_from})")
    try:
        health = client.health()
    except LevareError as error:
        yield Check("api", False, error.detail, error.next_step)
        return
    yield Check("api", True, "answers")
    yield _part("database", health["database"], "Look at the log of process web, and at LEVARE_DATABASE.")
    yield _part(
        "redis", health["redis"], "Look at the log of process redis, and at LEVARE_REDIS; jobs start later without."
    )
    if "beat" in health:
        step = "Look at the log of process beat, or start it: nothing begins until it decides."
        yield _part("beat", health["beat"], step, well="decides")
    yield _clock("clock", "the API's clock", health["skew_seconds"])
    try:
        nodes = client.nodes()
    except LevareError as error:
        yield Check("token", False, error.detail, error.next_step)
        return
    yield Check("token", True, f"is valid (from {address.token_from})")
    yield from _audit(client)
    yield from _nodes(nodes, with_heartbeats=health["redis"] == "ok")
    yield from _home(address)


def _part(name: str, answer: str, next_step: str, *, well: str = "answers") -> Check:
    return Check(name, True, well) if answer == "ok" else Check(name, False, answer, next_step)


def _clock(name: str, whose: str, skew: float | None) -> Check:
    """Whether a clock agrees with ours, as far as whole seconds tell."""
    if skew is None:
        return Check(name, True, f"{whose} is not told")
    if abs(skew) <= _MOST_SKEW_SECONDS:
        return Check(name, True, f"{whose} agrees with this one within {_MOST_SKEW_SECONDS} s")
    ahead = "ahead of" if skew > 0 else "behind"
    step = "Let both machines take their time by NTP (`timedatectl set-ntp true`)."
    return Check(name, False, f"{whose} is {words.span(abs(skew))} {ahead} this one", step)


def _audit(client: "Client") -> Iterator[Check]:
    """Only admins may look at it; what they are told is not for others to know."""
    try:
        found = client.verify_audit()
    except (Forbidden, NotFound):
        return
    except LevareError as error:
        yield Check("audit", False, error.detail, error.next_step)
        return
    step = "Look at the log of process beat: it seals what comes."
    if found["broken"]:
        step = "Somebody has changed it in SQL: compare it with a backup, and look who can write to the database."
    detail = f"{found['message']} Its end is {_short(found['head'])}."
    yield Check("audit", found["ok"], detail, "" if found["ok"] else step)


def _short(head: str) -> str:
    """Enough of it for an anchor."""
    place, _, digest = head.partition(":")
    return f"{place}:{digest[:16]}"


def _nodes(nodes: "list[Node]", *, with_heartbeats: bool) -> Iterator[Check]:
    if not nodes:
        yield Check("nodes", False, "none has joined", "Start a worker: `levare up` on a machine.")
    for node in nodes:
        name, sample = node["name"], node["sample"]
        yield _alive(node, with_heartbeats=with_heartbeats)
        if sample:
            yield _clock(
                f"clock of {name}", f"its clock, by a heartbeat of less than {_HEARTBEAT_SECONDS} s,", _late(sample)
            )
            yield _disk(f"disk of {name}", sample)


def _alive(node: "Node", *, with_heartbeats: bool) -> Check:
    """To drain is a wish and no fault; silence is one. Without Redis there are no heartbeats to miss."""
    name, step = f"node {node['name']}", "Look whether its machine and its worker run; it comes back by itself."
    if node["state"] == "lost":
        return Check(name, False, f"is lost, last heard {words.clock(node['renewed_at'])}", step)
    if with_heartbeats and not node["sample"]:
        return Check(name, False, f"is {node['state']}, but without a heartbeat for {_HEARTBEAT_SECONDS} s", step)
    return Check(name, True, f"is {node['state']}, with {len(node['attempts'])} attempts")


def _late(sample: Mapping[str, float]) -> float | None:
    """How far the node's clock is from ours, less what its heartbeat may have aged."""
    if "at" not in sample:
        return None
    skew = sample["at"] - time.time()
    return min(skew + _HEARTBEAT_SECONDS, 0) if skew < 0 else skew


def _disk(name: str, sample: Mapping[str, float]) -> Check:
    free, used = sample.get("disk_free_gib"), sample.get("disk_used_percent")
    if free is None or used is None:
        return Check(name, True, "is not told")
    return _space(name, free, used)


def _home(address: "Address") -> Iterator[Check]:
    """The disk of the state directory, where this machine has one."""
    if address.home and address.home.is_dir():
        disk = shutil.disk_usage(address.home)
        yield _space(f"disk of {address.home}", disk.free / 2**30, 100 * disk.used / (disk.used + disk.free))


def _space(name: str, free_gib: float, used_percent: float) -> Check:
    ok = free_gib >= _LEAST_FREE_GIB
    step = "Make room: logs, metrics and checkpoints of jobs are kept there."
    return Check(name, ok, f"{free_gib:.1f} GiB free, {used_percent:.0f}% used", "" if ok else step)


def _tell(check: Check) -> None:
    mark = terminal.paint("ok  ", fg="green") if check.ok else terminal.paint("FAIL", fg="red", bold=True)
    click.echo(f"{mark}  {check.name}: {words.plain(check.detail)}")
    if check.next_step:
        click.echo(f"      next: {words.plain(check.next_step)}")
