"""`levare jobs`, `show`, `why`, `cancel`: what is there, what became of it, why it waits, and to end it."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import JOB
from levare.model import BLOCKED, FINAL, JOB_STATES, WAITING

if TYPE_CHECKING:
    from levare.client import Attempt, Job, Metrics, Reason

PENDING = (BLOCKED, WAITING)
_KINDS = {
    "can-never-run": "It can never run as it is:",
    "misconfigured": "Something is wrong with the request:",
    "will-wait": "It will start by itself, but now:",
}


@click.command()
@click.option("--state", multiple=True, type=click.Choice(JOB_STATES), help="Only jobs in this state; repeatable.")
@click.option("--team", help="Only jobs of this team.")
@click.option("--project", help="Only jobs of this project.")
@click.option("--name", help="Only jobs of this name.")
@click.option("--user", help="Only jobs that this token submitted.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@terminal.json_option
def jobs(limit: int, *, everything: bool, as_json: bool, **wanted: Any) -> None:
    """List jobs, newest first."""
    with terminal.connect() as client:
        found = list(islice(client.jobs(**wanted, limit=None if everything else limit + 1), None))
    shown = found if everything else found[:limit]
    if as_json:
        terminal.document({"items": shown})
        return
    if not shown:
        terminal.note("No such jobs." if any(wanted.values()) else "No jobs yet; `levare submit -- COMMAND` makes one.")
        return
    terminal.console().print(job_table(shown))
    if len(found) > len(shown):
        terminal.note(f"There are more than these {limit}; --limit or --all shows them.")


@click.command()
@click.argument("job", type=JOB)
@terminal.json_option
def show(job: str, *, as_json: bool) -> None:
    """Show a job: its request, its attempts, its metrics, and why it waits."""
    with terminal.connect() as client:
        found, attempts = client.job(job), client.attempts(job)
        metrics = client.metrics(job, limit=1)
        reasons = client.why(job)["reasons"] if found["state"] in PENDING else []
    if as_json:
        terminal.document({**found, "attempts": attempts, "metrics": metrics["summary"], "reasons": reasons})
        return
    console = terminal.console()
    console.print(_facts(found))
    for sentence in _because(found, reasons):
        console.print(sentence, style="yellow")
    if attempts:
        console.print("\nattempts", style="bold")
        console.print(_attempt_table(attempts))
    if metrics["summary"]:
        console.print("\nmetrics", style="bold")
        console.print(_metric_table(metrics))


@click.command()
@click.argument("job", type=JOB)
@terminal.json_option
def why(job: str, *, as_json: bool) -> None:
    """Say why a job waits, or what became of it."""
    with terminal.connect() as client:
        answer, found = client.why(job), client.job(job)
    if as_json:
        terminal.document(answer)
        return
    for sentence in _explain(found, answer["reasons"]):
        click.echo(words.plain(sentence))


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@terminal.json_option
def cancel(jobs: Sequence[str], *, as_json: bool) -> None:
    """Cancel jobs; what runs gets a signal and its grace to end."""
    with terminal.connect() as client:
        found = [client.cancel(job) for job in jobs]
    if as_json:
        terminal.document({"items": found})
        return
    for each in found:
        click.echo(_cancelled(each))


def job_table(jobs: Sequence["Job"]) -> Any:
    heads = ("id", "name", "state", "pri>", "asks for", "node", "time>", "done>")
    return terminal.table(heads, [_row(job) for job in jobs], flexible=("name", "asks for", "node"))


def _row(job: "Job") -> list[Any]:
    return [
        job["id"],
        job["name"] or terminal.cell(" ".join(job["command"]), "dim"),
        terminal.state(job["state"]),
        str(job["priority"]),
        words.resources(job),
        job["node"] or words.NOTHING,
        words.lasted(job),
        words.percent(job["progress"]),
    ]


def _facts(job: "Job") -> Any:
    left = words.time_left(job)
    limits = [f"at most {words.span(job['timeout_seconds'])}"] if job["timeout_seconds"] else []
    limits += [f"{job['retries']} retries"] if job["retries"] else []
    progress = None if job["progress"] is None else words.percent(job["progress"]) + (f", about {left} left" if left else "")
    return terminal.facts(
        [
            ("job", f"{job['id']}  {job['name']}".strip()),
            ("state", terminal.state(job["state"])),
            ("reason", job["reason"]),
            ("exit code", None if job["exit_code"] is None else str(job["exit_code"])),
            ("progress", progress),
            ("command", " ".join(job["command"])),
            ("directory", job["cwd"]),
            ("of", f"{job['user']}, team {job['team']}, project {job['project']}"),
            ("asks for", f"{words.resources(job)}, priority {job['priority']}"),
            ("limits", ", ".join(limits)),
            ("needs", ", ".join(job["needs"])),
            ("not before", job["start_after"] and words.clock(job["start_after"])),
            ("node", job["node"]),
            ("submitted", f"{words.clock(job['created_at'])}, {words.since(job['created_at'])} ago"),
            ("started", job["started_at"] and words.clock(job["started_at"])),
            ("finished", job["finished_at"] and f"{words.clock(job['finished_at'])}, after {words.lasted(job)}"),
            ("cancel", job["cancel_requested_at"] and f"wished at {words.clock(job['cancel_requested_at'])}"),
        ]
    )


def _because(job: "Job", reasons: Sequence["Reason"]) -> list[str]:
    return [f"  {reason['message']}" for reason in reasons] and _explain(job, reasons)


def _explain(job: "Job", reasons: Sequence["Reason"]) -> list[str]:
    """Like a colleague who knows: first how it stands, then each reason with its numbers."""
    lines = [standing(job)]
    for kind, head in _KINDS.items():
        messages = [reason["message"] for reason in reasons if reason["kind"] == kind]
        lines += [head, *(f"  - {message}" for message in messages)] if messages else []
    return lines


def standing(job: "Job") -> str:
    who = f"{job['id']} ({job['name']})" if job["name"] else job["id"]
    if job["state"] in PENDING:
        wanted = words.resources(job)
        return f"{who} has been {job['state']} for {words.since(job['created_at'])}; it asks for {wanted}."
    if job["state"] in FINAL:
        return f"{who} {_ending(job)}" + (f": {job['reason']}" if job["reason"] else ".")
    done = f", {words.percent(job['progress'])} done" if job["progress"] else ""
    return f"{who} does not wait: it is {job['state']} on {job['node']}, for {words.lasted(job)}{done}."


def _ending(job: "Job") -> str:
    verb = "was cancelled" if job["state"] == "cancelled" else job["state"]
    after = f" after {words.lasted(job)}" if job["started_at"] else ""
    code = f" with exit code {job['exit_code']}" if job["exit_code"] else ""
    return f"{verb}{after}{code}"


def _cancelled(job: "Job") -> str:
    if job["state"] not in FINAL:
        where = f" on {job['node']}" if job["node"] else ""
        return f"{job['id']} is being cancelled; it is still {job['state']}{where}"
    if job["cancel_requested_at"]:
        return f"{job['id']} is cancelled" if job["state"] == "cancelled" else f"{job['id']} had {_ending(job)} before"
    return f"{job['id']} had {_ending(job)} already; nothing changed"


def _attempt_table(attempts: Sequence["Attempt"]) -> Any:
    heads = ("no>", "node", "state", "exit>", "took>", "cpu time>", "peak memory>", "gpu")
    rows = [
        (
            str(each["number"]),
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
    return terminal.table(heads, rows, flexible=("node", "gpu"))


def _metric_table(metrics: "Metrics") -> Any:
    rows = [
        (stage or words.NOTHING, name, *(words.number(trend[key]) for key in ("last", "best_min", "best_max", "count")))
        for stage, trends in metrics["summary"].items()
        for name, trend in trends.items()
    ]
    return terminal.table(("stage", "metric", "last>", "least>", "most>", "points>"), rows, flexible=("metric",))
