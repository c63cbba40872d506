"""`levare why`: why a job waits, until when, behind whom, and what would start it; or what became of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from levare.cli import terminal, words
from levare.cli.kinds import JOB
from levare.cli.paragraphs import of_reasons, section, wrapped
from levare.cli.show import PENDING, name_of, standing

if TYPE_CHECKING:
    from levare.client import DryRun, Estimate, Job, Priority, Why

_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


@click.command()
@click.argument("job", type=JOB)
@terminal.json_option
def why(job: str, *, as_json: bool) -> None:
    """Say why a job waits, until when, behind whom, and what would start it; or what became of it."""
    with terminal.connect() as client:
        answer, found = client.why(job), client.job(job)
    if as_json:
        terminal.document(answer)
        return
    tell(of_job(found, answer, datetime.now(UTC)))


def tell(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(words.plain(line))


def of_job(job: "Job", answer: "Why", now: datetime) -> Iterator[str]:
    """Like a colleague who knows: the verdict first, then the reasons, then what can be done."""
    if job["state"] not in PENDING or not answer["verdict"]:
        yield from wrapped(standing(job, now) if job["state"] not in PENDING else answer["message"])
        return
    yield from wrapped(f"{name_of(job)} {_verdict(answer, now, is_array=bool(job['array']))}")
    since = words.since(job["created_at"], now)
    yield from wrapped(f"It has been {job['state']} for {since} and asks for {words.resources(job)}.")
    yield from _sections(answer)


def of_trial(answer: "DryRun", now: datetime, *, is_array: bool) -> Iterator[str]:
    """The same of a job that has not been submitted."""
    yield from wrapped(f"It would be accepted, and {_verdict(answer, now, 'would', is_array=is_array)}")
    yield from _sections(answer)


def _sections(answer: "Why") -> Iterator[str]:
    estimate = answer["estimate"]
    if answer["verdict"] == "will-wait" and answer["priority"] and not (estimate["typical"] or estimate["latest"]):
        yield from wrapped(estimate["message"])
    yield from _cost(answer)
    yield from of_reasons(answer["reasons"])
    if answer["change"]:
        yield from section("What would help", [answer["change"]["message"]])
    yield from _ahead(answer)
    if answer["priority"] and answer["verdict"] == "will-wait":
        yield from section("Its place in the queue", list(_place(answer["priority"])))


def _cost(answer: "Why") -> Iterator[str]:
    found = answer["cost"]
    if found:
        typical, most = (words.money(found[name], found["currency"]) for name in ("typical", "most"))
        yield from wrapped(f"A run of it costs about {typical}" + (f", at most {most}." if most != typical else "."))


def _verdict(answer: "Why", now: datetime, would: str = "", *, is_array: bool) -> str:
    """How it stands with the time, to follow a name or `it would be accepted, and`."""
    kind = answer["verdict"]
    if kind == "starts-now":
        how = f". {answer['estimate']['message']}" if is_array else ": there is room for it."
        return f"{would or 'will'} start at once{how}"
    if kind != "will-wait":
        can = "can never run as it is" if kind == "can-never-run" else "cannot start before something is changed"
        return f"{can}."
    if answer["priority"] is None:
        return f"{would} be {answer['state']} at first." if would else "may not start yet."
    return f"{would or 'will'} wait{_until(answer['estimate'], now)}"


def _until(estimate: "Estimate", now: datetime) -> str:
    typical, latest = (_clock(estimate[name], now) for name in ("typical", "latest"))
    at = f"at about {typical}" if (words.moment(estimate["typical"]) or now) - now >= _MINUTE else "within a minute"
    if typical and latest and typical != latest:
        return f": it starts {at}, at the latest {latest}."
    if typical:
        return f": it starts {at}{'' if latest else '; when at the latest cannot be told'}."
    if latest:
        return f": it starts at the latest {latest}."
    return "; for how long cannot be told."


def _clock(text: str | None, now: datetime) -> str | None:
    """`14:20` today, `tomorrow 14:20`, else `Fri 2030-01-04 14:20`: in the zone of this machine."""
    at = words.moment(text)
    if at is None:
        return None
    local, today = at.astimezone(), now.astimezone().date()
    if local.date() == today:
        return f"{local:%H:%M}"
    return f"tomorrow {local:%H:%M}" if local.date() == today + _DAY else f"{local:%a %Y-%m-%d %H:%M}"


def _ahead(answer: "Why") -> Iterator[str]:
    count = answer["jobs_ahead"]
    if count and answer["verdict"] == "will-wait":
        least = "at least " * answer["jobs_ahead_is_least"]
        more = count - len(answer["ahead"])
        lines = [f"{each['job']}: {each['reason']}" for each in answer["ahead"]]
        yield from section(f"Who comes first ({least}{count})", [*lines, *_unnamed(more, after=bool(lines))])


def _place(priority: "Priority") -> Iterator[str]:
    gained = [(priority["from_age"], "its age"), (priority["from_deadline"], "its deadline")]
    added = "".join(f" + {levels} for {why}" for levels, why in gained if levels)
    total = priority["declared"] + sum(levels for levels, _ in gained)
    yield f"Priority {priority['declared']}{added}{f' = {total}' if added else ''}."
    team = priority["team"]
    if team["teams"] > 1:
        yield f"Team {team['name']} {team['why'][:1].lower()}{team['why'][1:]}"


def _unnamed(more: int, *, after: bool) -> list[str]:
    """Those that come first, too, or that belong to teams which the token does not see."""
    if more <= 0:
        return []
    return [f"and {more} more" if after else f"{more} of teams that your token does not see"]
