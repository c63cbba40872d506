"""
Situations that are worth an alert, on plain facts, and what each says.

`python -m tests.alarming` writes what they say into docs/monitoring.md.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from levare.decide.alerts.course import Course
from levare.decide.alerts.deciding import decide
from levare.decide.alerts.defaults import DEFAULTS
from levare.decide.alerts.facts import Activity, Facts, Job, Live, Node, Over, Point, Profile, Summary, Waiting
from levare.decide.alerts.rules import Rule, declared

NOON = datetime(2030, 1, 4, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DOCUMENT = Path(__file__).parent.parent / "docs" / "monitoring.md"
JOB = Job(id="k3v9x2m1qa", name="resnet", team="vision", project="churn", family="vision/churn/resnet", user="ada")
IDLE, SPINNING = Activity(True, True, "CPU 0 %, GPU 0 %"), Activity(False, True, "CPU 100 %, GPU 0 %")
AT_WORK = Activity(False, False, "CPU 340 %, GPU 91 %")


def a_rule(name: str = "rule", **when: Any) -> Rule:
    """A default of this name, or one that looks for something else."""
    return declared(name, {"when": when} if when else DEFAULTS[name])


def a_course(
    *, steps: int = 200, every: float = 2.0, begun_at: datetime, stage: str = "train", **values: Any
) -> Course:
    course = Course()
    course.add(some_points(steps=steps, every=every, begun_at=begun_at, stage=stage, **values), now=None)
    return course


def some_points(*, steps: int, every: float, begun_at: datetime, stage: str = "train", **values: Any) -> list[Point]:
    """A line each so many seconds; a value may be a function of the step."""
    told = values or {"loss": 0.1}
    return [
        Point(begun_at + timedelta(seconds=every * step), stage, step, {name: _at(v, step) for name, v in told.items()})
        for step in range(steps)
    ]


def _at(value: Any, step: int) -> float:
    told: Any = value(step) if callable(value) else value
    return float(told)


def a_live(course: Course | None = None, *, started: timedelta = HOUR, job: Job = JOB, **more: Any) -> Live:
    pace = (course or Course()).pace
    facts: dict[str, Any] = {"points": tuple(course.recent) if course else (), "gpus": 2, "activity": AT_WORK} | more
    return Live(job=job, attempt=f"{job.id}-1", node="atlas", started_at=NOON - started, pace=pace, **facts)


def a_profile(*seconds: float, accuracy: tuple[float, ...] = (), interval: float = 2.0, gap: float = 60.0) -> Profile:
    """Runs of the family before."""
    runs = [
        Summary(30.0, gap, {"train": interval}, {("val", "accuracy"): (value, value, value)})
        for value in accuracy or (0.9,) * len(seconds)
    ]
    return Profile(seconds or (3600.0,) * len(runs), runs)


def hangs() -> tuple[Rule, Facts]:
    course = a_course(begun_at=NOON - HOUR)
    live = a_live(course, activity=IDLE, log_at=NOON - 53 * MINUTE)
    return a_rule("hang"), Facts(now=NOON, live=[live], profiles={JOB.family: a_profile(3600, 3700, 3650)})


def is_slow() -> tuple[Rule, Facts]:
    live = a_live(a_course(begun_at=NOON - HOUR, steps=600, every=6.0), started=2 * HOUR)
    known = a_profile(3600, 3720, 3580, 3640, 3610, 3700)
    return a_rule("slow"), Facts(now=NOON, live=[live], profiles={JOB.family: known})


def has_degraded() -> tuple[Rule, Facts]:
    summary = Summary(30.0, 60.0, {}, {("val", "accuracy"): (0.71, 0.4, 0.734)})
    over = Over(job=JOB, state="succeeded", reason="Exited with code 0.", at=NOON, node="atlas", summary=summary)
    known = a_profile(accuracy=(0.912, 0.921, 0.917, 0.909, 0.915, 0.918))
    return a_rule("degraded"), Facts(now=NOON, over=[over], profiles={JOB.family: known})


def has_diverged() -> tuple[Rule, Facts]:
    course = a_course(begun_at=NOON - 10 * MINUTE, loss=lambda step: 0.4 if step < 190 else float("nan"))
    return a_rule("not-finite"), Facts(now=NOON, live=[a_live(course)])


def has_failed() -> tuple[Rule, Facts]:
    over = Over(
        job=JOB,
        state="failed",
        reason="Ended by signal 9 (SIGKILL).",
        at=NOON,
        attempts=3,
        seconds=412,
        exit_code=137,
        node="atlas",
        failure="host_memory",
    )
    return a_rule("failure"), Facts(now=NOON, over=[over])


def node_is_lost() -> tuple[Rule, Facts]:
    node = Node(name="atlas", state="lost", renewed_at=NOON - 2 * MINUTE, jobs=["k3v9x2m1qa"])
    return a_rule("node-lost"), Facts(now=NOON, nodes=[node])


def gpus_are_idle() -> tuple[Rule, Facts]:
    return a_rule(idle={"for_seconds": 1}), Facts(now=NOON, live=[a_live(gpu_percent=0.4)])


def waits_long() -> tuple[Rule, Facts]:
    return a_rule("queue"), Facts(
        now=NOON, waiting=[Waiting(job=JOB, since=NOON - 26 * HOUR, asks="8 GPUs and 16 CPUs")]
    )


ALARMS: Mapping[str, Callable[[], tuple[Rule, Facts]]] = {
    each.__name__: each
    for each in (hangs, is_slow, has_degraded, has_diverged, has_failed, node_is_lost, gpus_are_idle, waits_long)
}
_BLOCK = re.compile(r"(<!-- (\w+) -->\n```\n)(.*?)(\n```\n)", re.DOTALL)


def said(name: str) -> str:
    """What the alert of a situation says, once it has lasted."""
    rule, facts = ALARMS[name]()
    first = decide([rule], facts, [], {})
    later = decide([rule], facts, [], first.standings) if not first.starts else first
    if not later.starts:
        ready = {place: _since_long(standing) for place, standing in first.standings.items()}
        later = decide([rule], facts, [], ready)
    [start] = later.starts
    return start.sight.message


def _since_long(standing: Any) -> Any:
    return type(standing)(standing.armed, NOON - HOUR, NOON)


def told_in(document: str) -> dict[str, str]:
    """What the document says of each situation that it shows."""
    return {found[2]: " ".join(found[3].split()) for found in _BLOCK.finditer(document)}


def rewritten(document: str) -> str:
    return _BLOCK.sub(lambda found: found[1] + _folded(said(found[2])) + found[4], document)


def _folded(text: str, width: int = 116) -> str:
    lines = [""]
    for word in text.split():
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < width else [*lines, word]
    return "\n".join(lines)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
