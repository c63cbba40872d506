"""`levare jobs`, `priority` and `cancel`: what there is, to have it come earlier, and to end it."""

import shlex
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import tell
from levare.cli.kinds import JOB
from levare.cli.show import ending
from levare.errors import Conflict, Forbidden, LevareError, NotFound
from levare.model import FAILED, FINAL, JOB_STATES
from levare.written import FAILURES

if TYPE_CHECKING:
    from levare.client import Job

_STATE = "Only jobs in this state, such as running; repeatable."
_FAILURE = "Only jobs whose latest attempt has failed so, such as gpu_memory; repeatable."
_MOST_OF_COMMAND = 40  # of a command that stands in for a name


@click.command()
@click.option("--state", metavar="STATE", multiple=True, type=click.Choice(JOB_STATES), help=_STATE)
@click.option("--team", help="Only jobs of this team.")
@click.option("--project", help="Only jobs of this project.")
@click.option("--name", help="Only jobs of this name.")
@click.option("--user", help="Only jobs that this token submitted.")
@click.option("--array", metavar="JOB", type=JOB, help="Only elements of this array, which are not listed otherwise.")
@click.option("--failed", is_flag=True, help="Only jobs that have failed, with the class of their failure.")
@click.option("--failure", metavar="CLASS", multiple=True, type=click.Choice(FAILURES), help=_FAILURE)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@terminal.json_option
def jobs(limit: int, *, failed: bool, everything: bool, as_json: bool, **wanted: Any) -> None:
    """List jobs, newest first."""
    if failed:
        wanted["state"] = (*wanted["state"], FAILED)
    with terminal.connect() as client:
        found = list(islice(client.jobs(**wanted, limit=None if everything else limit + 1), None))
    shown = found if everything else found[:limit]
    if as_json:
        terminal.document({"items": shown})
        return
    if not shown:
        terminal.note("No such jobs." if any(wanted.values()) else "No jobs yet; `levare submit -- COMMAND` makes one.")
        return
    terminal.show(job_table(shown))
    if len(found) > len(shown):
        terminal.note(f"There are more than these {limit}; --limit or --all shows them.")


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@terminal.json_option
def cancel(jobs: Sequence[str], *, as_json: bool) -> int:
    """Cancel jobs; what runs gets a signal and its grace to end. Where one is refused, the others are cancelled."""
    found, refused = list["Job"](), list[LevareError]()
    with terminal.connect() as client:
        for job in jobs:
            try:
                found.append(client.cancel(job))
            except (NotFound, Conflict, Forbidden) as error:
                refused.append(error)
    if as_json:
        terminal.document({"items": found})
    else:
        click.echo("".join(f"{_cancelled(each)}\n" for each in found), nl=False)
    return max(map(tell, refused), default=0)


@click.command()
@click.argument("job", type=JOB)
@click.argument("priority", type=click.IntRange(0, 9))
@terminal.json_option
def priority(job: str, priority: int, *, as_json: bool) -> None:
    """Let a job that has not begun come earlier (9) or later (0)."""
    with terminal.connect() as client:
        found = client.set_priority(job, priority)
    if as_json:
        terminal.document(found)
        return
    click.echo(f"{found['id']} has priority {found['priority']}; `levare why {found['id']}` says what that changes")


def job_table(jobs: Sequence["Job"]) -> Any:
    """How long they still run and why they have failed have columns where that is known of any."""
    heads = ["id", "name", "state", "pri>", "asks for", "node", "time>", "done>"]
    rows = [_row(job) for job in jobs]
    if any(words.left(job) != words.NOTHING for job in jobs):
        heads.append("left>")
        rows = [[*row, words.left(job)] for row, job in zip(rows, jobs, strict=True)]
    if any(job.get("failure") for job in jobs):
        heads.append("failure")
        rows = [[*row, job["failure"] or words.NOTHING] for row, job in zip(rows, jobs, strict=True)]
    return terminal.table(heads, rows, flexible=("name", "asks for", "node"))


def _row(job: "Job") -> list[Any]:
    return [
        job["id"],
        job["name"] or terminal.cell(words.short(shlex.join(job["command"]), _MOST_OF_COMMAND), "dim"),
        terminal.state(job["state"]),
        str(job["priority"]),
        words.resources(job),
        job["node"] or words.NOTHING,
        words.lasted(job),
        words.done(job),
    ]


def _cancelled(job: "Job") -> str:
    if job["state"] not in FINAL:
        where = f" on {job['node']}" if job["node"] else ""
        return f"{job['id']} is being cancelled; it is still {job['state']}{where}"
    if job["cancel_requested_at"]:
        return f"{job['id']} is cancelled" if job["state"] == "cancelled" else f"{job['id']} had {ending(job)} before"
    had = "" if job["state"] == "cancelled" else "had "
    return f"{job['id']} {had}{ending(job)} already; nothing changed"
