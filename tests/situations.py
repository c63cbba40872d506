"""
Situations in which a job waits, on plain facts, and what `levare why` says of each.

`python -m tests.situations` writes what it says into docs/scheduling.md.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.answers import answer
from levare.cli import why
from levare.decide.explain import Explanation, explain
from levare.model import Account, DayWindow, Device, Duration, Held, Node, Quota, Request, Sharing, Waiting, Window
from levare.store.explain import told

NOON = datetime(2030, 1, 4, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GIB = 1024
DOCUMENT = Path(__file__).parent.parent / "docs" / "scheduling.md"


@dataclass(frozen=True)
class Situation:
    """A job, the others that wait, and the fleet."""

    job: Waiting
    nodes: Sequence[Node]
    others: Sequence[Waiting] = ()
    sharing: Sharing = field(default_factory=Sharing)

    def explain(self) -> Explanation:
        return explain(self.job, self.others, self.nodes, now=NOON, sharing=self.sharing)

    def print(self) -> str:
        """What `levare why` prints."""
        body = json.loads(bytes(answer(told(self.explain())).body))
        found: Any = {"job": self.job.job_id, "state": "waiting", "message": "", **body}
        return "\n".join(why.of_job(_as_answered(self.job), found, NOON)) + "\n"


def a_node(name: str = "atlas", *held: Held, gpus: int = 4, model: str = "NVIDIA H100", **more: Any) -> Node:
    cards = [Device(f"{name}-{number}", number, 80 * GIB, model) for number in range(gpus)]
    facts: dict[str, Any] = {"labels": {"node": name}} | more
    return Node(name, facts.pop("state", "ready"), 32, 256 * GIB, facts.pop("devices", cards), held, **facts)


def a_run(job: str, *gpus: int, node: str = "atlas", mib: int = 80 * GIB, **more: Any) -> Held:
    """Something that has run for an hour, and usually takes three, at most four."""
    facts: dict[str, Any] = {"placed_at": NOON - HOUR, "expected": Duration(3 * HOUR, 4 * HOUR), "user": "eve"} | more
    cpus = facts.pop("cpus", len(gpus) or 1)
    return Held(f"{job}-1", job, {f"{node}-{number}": mib for number in gpus}, cpus, 0, **facts)


def a_job(job: str = "mine", *, waited: timedelta = 12 * MINUTE, priority: int = 5, **more: Any) -> Waiting:
    known = {"team", "user", "project", "family", "expected", "deadline", "only_between", "shunned"}
    about = {name: value for name, value in more.items() if name in known}
    request = Request(**{name: value for name, value in more.items() if name not in known})
    whose: dict[str, Any] = {"user": "ada"} | about
    return Waiting(job, request, priority, NOON - waited, **whose)


def _as_answered(job: Waiting) -> Any:
    request = job.request
    plain = {name: getattr(request, name) for name in ("gpus", "gpu_memory_mib", "cpus", "memory_mib", "nodes")}
    times = {"state": "waiting", "array": None, "created_at": job.since.isoformat()}
    return {"id": job.job_id, "name": "resnet"} | plain | times


def no_gpu_free() -> Situation:
    return Situation(a_job(gpus=2), [a_node("atlas", a_run("lora", 0, 1, 2), gpus=4)])


def shares_full() -> Situation:
    node = a_node("atlas", a_run("serve", 0, mib=50 * GIB), a_run("eval", 1, mib=70 * GIB), gpus=2)
    return Situation(a_job(gpus=1, gpu_memory_mib=40 * GIB), [node])


def too_big() -> Situation:
    return Situation(a_job(gpus=6), [a_node("atlas"), a_node("borea", gpus=2)])


def no_such_label() -> Situation:
    nodes = [a_node("atlas", labels={"disk": "nvme"}), a_node("borea", labels={"disk": "hdd"})]
    return Situation(a_job(gpus=1, require=(("disk", "nvm"),)), nodes)


def no_such_model() -> Situation:
    return Situation(a_job(gpus=1, gpu_model="B200"), [a_node("atlas"), a_node("borea", model="NVIDIA A100")])


def no_such_resource() -> Situation:
    nodes = [a_node("atlas", resources={"fpga": 2})]
    return Situation(a_job(resources=(("matlap", 1),)), nodes, sharing=Sharing(licences={"matlab": 4}))


def licence_used_up() -> Situation:
    run = a_run("sim", cpus=4, resources=(("matlab", 3),))
    return Situation(a_job(resources=(("matlab", 2),)), [a_node("atlas", run)], sharing=Sharing(licences={"matlab": 4}))


def hard_quota() -> Situation:
    account = Account("vision", quota=Quota(gpus=2, borrow=False))
    nodes = [a_node("atlas", a_run("lora", 0, 1, team="vision"))]
    return Situation(a_job(gpus=1, team="vision"), nodes, sharing=Sharing({"vision": account}))


def borrowing() -> Situation:
    accounts = {"vision": Account("vision", quota=Quota(gpus=2)), "speech": Account("speech", quota=Quota(gpus=2))}
    node = a_node("atlas", a_run("lora", 0, 1, team="vision"))
    theirs = a_job("asr", gpus=2, team="speech", user="eve", waited=MINUTE)
    return Situation(a_job(gpus=1, team="vision"), [node], [theirs], Sharing(accounts))


def held_family() -> Situation:
    why_held = "5 jobs of vision/ocr/train in a row failed within 60 s of their start; none starts before 12:10 UTC."
    sharing = Sharing(held_families={"vision/ocr/train": why_held})
    return Situation(a_job(gpus=1, family="vision/ocr/train"), [a_node("atlas")], sharing=sharing)


def maintenance() -> Situation:
    window = Window("driver", "atlas", NOON + 3 * HOUR, NOON + 5 * HOUR)
    job = a_job(gpus=1, expected=Duration(6 * HOUR, 6 * HOUR))
    return Situation(job, [a_node("atlas", windows=[window])])


def drained_and_excluded() -> Situation:
    note = "4 attempts in a row failed on it within a minute."
    nodes = [a_node("atlas", state="draining"), a_node("borea", note=note)]
    return Situation(a_job(gpus=1), nodes)


def kept_for_another() -> Situation:
    node = a_node("atlas", a_run("lora", 0, 1))
    big = a_job("big", gpus=4, priority=6, expected=Duration(HOUR, 2 * HOUR))
    job = a_job(gpus=1, expected=Duration(5 * HOUR, 5 * HOUR))
    return Situation(job, [node], [big])


def behind_another_team() -> Situation:
    accounts = {
        "vision": Account("vision", weight=2, use=40 * 3600),
        "speech": Account("speech", weight=1, use=5 * 3600),
    }
    theirs = a_job("asr", gpus=2, team="speech", user="eve", waited=MINUTE, expected=Duration(HOUR, 2 * HOUR))
    return Situation(a_job(gpus=1, team="vision"), [a_node("atlas", gpus=2)], [theirs], Sharing(accounts))


def foreign_gpu() -> Situation:
    note = "GPU 0 of atlas is used by process 4711 of bob (python train.py, 20480 MiB), which levare did not start."
    cards = [Device("atlas-0", 0, 80 * GIB, "NVIDIA H100", "foreign", note), Device("atlas-1", 1, 80 * GIB)]
    return Situation(a_job(gpus=2), [a_node("atlas", devices=cards)])


def gang() -> Situation:
    return Situation(a_job(gpus=4, nodes=2), [a_node("atlas"), a_node("borea", a_run("lora", 0, node="borea"))])


def off_hours() -> Situation:
    return Situation(a_job(gpus=1, only_between=DayWindow(22 * 60, 6 * 60)), [a_node("atlas")])


def failed_there() -> Situation:
    return Situation(a_job(gpus=1, shunned=frozenset({"atlas"})), [a_node("atlas")])


def preempting() -> Situation:
    node = a_node("atlas", a_run("lora", 0, 1, 2, 3, priority=3))
    return Situation(a_job(gpus=2, priority=9), [node])


def first_come() -> Situation:
    usual = Duration(HOUR, 2 * HOUR)
    others = [a_job(f"job{number}", gpus=4, waited=(45 + number) * MINUTE, expected=usual) for number in range(7)]
    job = a_job(gpus=4, deadline=NOON + HOUR, expected=usual)
    return Situation(job, [a_node("atlas", a_run("lora", 0))], others)


SITUATIONS: Mapping[str, Callable[[], Situation]] = {
    each.__name__: each
    for each in (
        *(
            no_gpu_free,
            shares_full,
            too_big,
            no_such_label,
            no_such_model,
            no_such_resource,
            licence_used_up,
            hard_quota,
        ),
        *(
            borrowing,
            held_family,
            maintenance,
            drained_and_excluded,
            kept_for_another,
            behind_another_team,
            foreign_gpu,
            gang,
        ),
        *(off_hours, failed_there, preempting, first_come),
    )
}
_BLOCK = re.compile(r"(<!-- (\w+) -->\n```console\n\$ levare why mine\n)(.*?)(```\n)", re.DOTALL)


def told_in(document: str) -> dict[str, str]:
    """What the document says of each situation that it shows."""
    return {found[2]: found[3] for found in _BLOCK.finditer(document)}


def rewritten(document: str) -> str:
    return _BLOCK.sub(lambda found: found[1] + SITUATIONS[found[2]]().print() + found[4], document)


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
