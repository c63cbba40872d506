"""`levare show`: what became of a job, and why it waits."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from levare.cli import pinned, terminal, usage, wishes, words
from levare.cli.failure import of_dossier
from levare.cli.kinds import JOB
from levare.cli.metrics import given, left_out
from levare.cli.paragraphs import of_reasons
from levare.model import BLOCKED, FINAL, WAITING
from levare.model.failures import FAILURE_CLASSES

if TYPE_CHECKING:
    from levare.client import Attempt, Job, Metrics

PENDING = (BLOCKED, WAITING)


@click.command()
@click.argument("job", type=JOB)
@click.option("--samples", "with_samples", is_flag=True, help="Also what its last attempt used, over its whole life.")
@click.option("--failure", is_flag=True, help="Why it has failed: class, evidence, what has changed, what to do.")
@click.option(
    "--pins", is_flag=True, help="What it was pinned to: code with its uncommitted changes, packages, machine."
)
@click.option("--attempt", metavar="N", type=click.IntRange(1), help="With --failure or --pins: of this attempt.")
@terminal.json_option
def show(job: str, *, with_samples: bool, failure: bool, pins: bool, attempt: int | None, as_json: bool) -> None:
    """Show a job: its request, its attempts, its metrics, and why it waits."""
    if failure:
        _tell_failure(job, attempt, as_json=as_json)
        return
    if pins:
        _tell_pins(job, attempt, as_json=as_json)
        return
    if attempt is not None:
        raise click.UsageError("--attempt chooses whose failure or pins are told: it goes with --failure or --pins.")
    with terminal.connect() as client:
        found, attempts = client.job(job), client.attempts(job)
        metrics = client.metrics(job, limit=1)
        had = pinned.of_job(client, job) if attempts else None
        reasons = client.why(job)["reasons"] if found["state"] in PENDING else []
        used = usage.of_attempt(client, job, attempts[-1]) if with_samples and attempts else []
    if as_json:
        samples = {"samples": used} if with_samples else {}
        terminal.document({**found, **_all(attempts, metrics), "reasons": reasons, **samples})
        return
    params = metrics.get("params") or {}
    parts = [_facts(found, pinned.facts(found, had)), *([f"\ngiven: {given(params)}"] if params else [])]
    parts += ["\n".join(words.plain(line) for line in of_reasons(reasons))] if reasons else []
    parts += [terminal.title("attempts"), _attempt_table(attempts)] if attempts else []
    parts += [terminal.title("metrics"), _metric_table(metrics)] if metrics["summary"] else []
    parts += left_out(attempts)
    parts += [terminal.title("used"), usage.attempt_table(used)] if used else []
    parts += ["Nothing of what it used is kept."] if with_samples and not used else []
    terminal.show(*parts)


def _all(attempts: Sequence["Attempt"], metrics: "Metrics") -> dict[str, Any]:
    return {"attempts": attempts, "metrics": metrics["summary"], "params": metrics.get("params") or {}}


def _tell_failure(job: str, attempt: int | None, *, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.failure(job, attempt=attempt)
    if as_json:
        terminal.document(found)
        return
    click.echo("\n".join(of_dossier(found)))


def _tell_pins(job: str, attempt: int | None, *, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.pins(job, attempt=attempt, patch=True)
    if as_json:
        terminal.document(found)
        return
    click.echo("\n".join(words.plain(line) for line in pinned.lines(found)))


def _failure(job: "Job") -> str | None:
    """The class in words, and where more is told."""
    name = job.get("failure")
    if not name:
        return None
    return f"{name}: {FAILURE_CLASSES[name].title}; `levare show {job['id']} --failure` says why"


def _facts(job: "Job", pins: pinned.Facts) -> Any:
    limits = [f"at most {words.span(job['timeout_seconds'])}"] if job["timeout_seconds"] else []
    limits += [f"{job['retries']} {'retry' if job['retries'] == 1 else 'retries'}"] if job["retries"] else []
    done = [] if job["progress"] is None else [words.percent(job["progress"])]
    left = words.time_left(job)
    return terminal.facts(
        [
            ("job", f"{job['id']}  {job['name']}".strip()),
            ("state", terminal.state(job["state"])),
            ("reason", job["reason"]),
            ("failure", _failure(job)),
            ("exit code", None if job["exit_code"] is None else str(job["exit_code"])),
            ("progress", ", ".join([*done, *([left] if left else [])])),
            ("elements", words.elements(job)),
            ("element of", job["array_id"] and f"{job['array_id']}, number {job['array_index']}"),
            ("parameters", words.given(job)),
            ("schedule", job["schedule"] and f"{job['schedule']}, {_due(job)}"),
            ("step of", job["pipeline"] and f"{job['pipeline']}, {job['step']}"),
            ("command", shlex.join(job["command"])),
            ("directory", job["cwd"]),
            *pins,
            ("of", f"{job['user']}, team {job['team']}, project {job['project']}"),
            ("asks for", f"{words.resources(job)}, priority {job['priority']}"),
            *wishes.rare_needs(job),
            ("limits", ", ".join(limits)),
            *wishes.rare_terms(job),
            ("needs", words.needs(job)),
            ("not before", job["start_after"] and words.clock(job["start_after"])),
            ("node", job["node"]),
            ("submitted", f"{words.clock(job['created_at'])}, {words.since(job['created_at'])} ago"),
            ("started", job["started_at"] and words.clock(job["started_at"])),
            ("finished", job["finished_at"] and f"{words.clock(job['finished_at'])}, after {words.lasted(job)}"),
            ("cost", None if job["cost"] is None else words.money(job["cost"], job["currency"])),
            ("energy", None if job["energy_joules"] is None else f"{words.energy(job['energy_joules'])} of its GPUs"),
            ("cancel", job["cancel_requested_at"] and f"wished at {words.clock(job['cancel_requested_at'])}"),
        ]
    )


def _due(job: "Job") -> str:
    return f"due {words.clock(job['due_at'])}" if job["due_at"] else "asked for"


def name_of(job: "Job") -> str:
    return f"{job['id']} ({job['name']})" if job["name"] else job["id"]


def standing(job: "Job", now: datetime | None = None) -> str:
    """How a job stands, in a sentence."""
    if job["state"] in PENDING:
        since, wanted = words.since(job["created_at"], now), words.resources(job)
        return f"{name_of(job)} has been {job['state']} for {since} and asks for {wanted}."
    if job["state"] in FINAL:
        return f"{name_of(job)} {ending(job)}" + (f": {job['reason']}" if job["reason"] else ".")
    if job["array"]:
        return f"{name_of(job)} does not wait: all its elements have begun ({words.elements(job)})."
    done = f", {words.percent(job['progress'])} done" if job["progress"] else ""
    return f"{name_of(job)} does not wait: it is {job['state']} on {job['node']}, for {words.lasted(job)}{done}."


def ending(job: "Job") -> str:
    verb = "was cancelled" if job["state"] == "cancelled" else job["state"]
    after = f" after {words.lasted(job)}" if job["started_at"] else ""
    code = f" with exit code {job['exit_code']}" if job["exit_code"] and not job["reason"] else ""
    return f"{verb}{after}{code}"


def _attempt_table(attempts: Sequence["Attempt"]) -> Any:
    heads = ("no>", "node", "state", "exit>", "took>", "cpu time>", "peak memory>", "gpu")
    rows = [
        (
            _number(each),
            each["node"],
            terminal.state(each["state"]),
            words.NOTHING if each["exit_code"] is None else str(each["exit_code"]),
            words.between(each["started_at"], each["ended_at"]),
            words.NOTHING if each["cpu_seconds"] is None else words.span(each["cpu_seconds"]),
            words.size(each["peak_memory_mib"]),
            words.held(each),
        )
        for each in attempts
    ]
    if any(each.get("failure") for each in attempts):
        heads = (*heads, "failure")
        rows = [(*row, each["failure"] or words.NOTHING) for row, each in zip(rows, attempts, strict=True)]
    return terminal.table(heads, rows, flexible=("node", "gpu"))


def _number(attempt: "Attempt") -> str:
    """Also of its part of a gang, as in its id."""
    return f"{attempt['number']}.{attempt['rank']}" if attempt["rank"] else str(attempt["number"])


def _metric_table(metrics: "Metrics") -> Any:
    columns = ("last", "best", "best_step", "best_min", "best_max", "count")
    rows = [
        (stage or words.NOTHING, name, *(words.number(trend.get(key)) for key in columns))
        for stage, trends in metrics["summary"].items()
        for name, trend in trends.items()
    ]
    heads = ("stage", "metric", "last>", "best>", "at step>", "least>", "most>", "points>")
    return terminal.table(heads, rows, flexible=("metric",))
