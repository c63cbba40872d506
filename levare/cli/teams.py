"""`levare teams`: what each team is owed and has had, and the weights and quotas that say so."""

from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import Nouns
from levare.cli.kinds import COUNT, DURATION, GPU_HOURS, MEMBER_ROLE, NO_LIMIT, TEAM
from levare.errors import NotFound

if TYPE_CHECKING:
    from levare.client import Client, Quota, Team

_DAY_SECONDS = 86400


@click.group(cls=Nouns, default="show")
def teams() -> None:
    """Show what each team, or one of them, is owed and has had; set weights and quotas."""


@teams.command()
@click.argument("team", type=TEAM, required=False)
@terminal.json_option
def show(team: str | None, *, as_json: bool) -> None:
    """List the teams, or show one with its quotas and its place in the queue."""
    with terminal.connect() as client:
        found = [client.team(team)] if team else client.teams()
    if as_json:
        terminal.document(found[0] if team else {"items": found})
    elif not found:
        terminal.note("There is no team yet; a team begins with its first job, or with `levare teams set`.")
    else:
        terminal.show(*(_whole(found[0]) if team else [_table(found)]))


@teams.command("set")
@click.argument("team", type=TEAM)
@click.option("--weight", type=click.FloatRange(0.001, 1000), help="Its share among the weights of all teams.")
@click.option("--project", help="Set the quota of this project of the team instead.")
@click.option("--user", help="Set the quota of this user of the team instead.")
@click.option("--gpus", type=COUNT, help="GPUs at once.")
@click.option("--borrow/--no-borrow", default=None, help="Whether it may hold more while nobody else wants them.")
@click.option("--running", type=COUNT, help="Jobs that run at once.")
@click.option("--queued", type=COUNT, help="Jobs that have not begun; more are refused.")
@click.option("--gpu-hours", type=GPU_HOURS, help="GPU-hours within a period.")
@click.option("--period", "period_seconds", type=DURATION, help="That period, such as 30d.")
@click.option(
    "--member",
    "members",
    type=MEMBER_ROLE,
    multiple=True,
    help="What the token of this name may, such as ada=member: viewer, member, admin or none; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def set_(
    team: str,
    weight: float | None,
    project: str | None,
    user: str | None,
    members: tuple[tuple[str, str], ...],
    *,
    dry_run: bool,
    as_json: bool,
    **limits: Any,
) -> None:
    """Set what is given, and leave the rest as it is; `none` takes a limit away."""
    if project and user:
        raise click.UsageError("A quota is of a project or of a user, not of both.")

    def changed(client: "Client") -> "Team":
        declared, revision = _declared(client, team)
        quota = _quota_in(declared, project, user)
        quota |= {name: None if value == NO_LIMIT else value for name, value in limits.items() if value is not None}
        declared |= {} if weight is None else {"weight": weight}
        roles = {**declared.get("members", {}), **dict(members)}
        declared |= {"members": {name: role for name, role in roles.items() if role != NO_LIMIT}} if roles else {}
        return client.set_team(team, dry_run=dry_run, if_match=revision, **declared)

    with terminal.connect() as client:
        found = terminal.on_the_newest(lambda: changed(client))
    _tell(found, "would be set" if dry_run else "is set", as_json=as_json)


@teams.command()
@click.argument("team", type=TEAM)
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def remove(team: str, *, dry_run: bool, as_json: bool) -> None:
    """Forget the weight and the quotas of a team; its jobs and its use stay."""
    with terminal.connect() as client:
        found = client.remove_team(team, dry_run=dry_run)
    if as_json:
        terminal.document(found)
    else:
        click.echo(f"{team} {'would weigh' if dry_run else 'weighs'} 1 and has no quota; its jobs and its use stay")


def _declared(client: "Client", name: str) -> tuple[dict[str, Any], int | None]:
    """What is declared of a team now, and since which revision; nothing of a new one."""
    try:
        found = client.team(name)
    except NotFound:
        return {}, 0
    parts = ("weight", "quota", "projects", "users", "members")
    return {part: found[part] for part in parts}, found.get("revision")


def _quota_in(declared: dict[str, Any], project: str | None, user: str | None) -> dict[str, Any]:
    """The quota that is meant, within the declaration."""
    if not project and not user:
        return declared.setdefault("quota", {})
    return declared.setdefault("projects" if project else "users", {}).setdefault(project or user, {})


def _tell(team: "Team", what: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(team)
        return
    click.echo(f"{team['name']} {what}: weight {team['weight']:g}, {_limits(team['quota'], 'no quota')}")
    for name, role in sorted(team["members"].items()):
        click.echo(f"  member {name}: {role}")
    for noun, quotas in (("project", team["projects"]), ("user", team["users"])):
        for name, quota in sorted(quotas.items()):
            click.echo(f"  {noun} {name}: {_limits(quota)}")


def _table(found: list["Team"]) -> Any:
    heads = ("team", "weight>", "owed>", "had>", "rank>", "GPUs>", "borrowed>", "running>", "queued>", "quota")
    return terminal.table(heads, [_row(team) for team in found], flexible=("team", "quota"))


def _row(team: "Team") -> list[Any]:
    return [
        team["name"],
        words.number(team["weight"]),
        words.of_100(team["entitled_percent"]),
        words.of_100(team["used_percent"]),
        str(team["rank"]),
        words.number(team["gpus"]),
        words.number(team["borrowed_gpus"]) if team["borrowed_gpus"] else words.NOTHING,
        str(team["running"]),
        str(team["queued"]),
        _limits(team["quota"]),
    ]


def _whole(team: "Team") -> list[Any]:
    facts = [
        ("team", team["name"]),
        ("weight", words.number(team["weight"])),
        ("place", team["why"]),
        ("quota", _limits(team["quota"])),
        ("GPUs", f"{words.number(team['gpus'])}, {words.number(team['borrowed_gpus'])} of them borrowed"),
        ("jobs", f"{team['running']} running, {team['queued']} queued"),
        ("use", f"{team['used_gpu_hours']:.1f} weighted GPU-hours lately, with what runs"),
        ("GPU-hours", f"{team['period_gpu_hours']:.1f} ended in the last {_period(team['quota'])}"),
        *((f"member {name}", role) for name, role in sorted(team["members"].items())),
        *((f"project {name}", _limits(quota)) for name, quota in sorted(team["projects"].items())),
        *((f"user {name}", _limits(quota)) for name, quota in sorted(team["users"].items())),
    ]
    return [terminal.facts(facts)]


def _limits(quota: "Quota", nothing: str = "none") -> str:
    """`8 GPUs, 20 running, 2,000 GPU-hours in 30 days`."""
    borrows = "" if quota["borrow"] else " without borrowing"
    gpus = "GPU" if quota["gpus"] == 1 else "GPUs"
    texts = {
        f"{{}} {gpus}{borrows}": quota["gpus"],
        "{} running": quota["running"],
        "{} queued": quota["queued"],
        f"{{}} GPU-hours in {_period(quota)}": quota["gpu_hours"],
    }
    return ", ".join(text.format(words.number(limit)) for text, limit in texts.items() if limit is not None) or nothing


def _period(quota: "Quota") -> str:
    days = quota["period_seconds"] / _DAY_SECONDS
    return f"{days:g} day{'s' * (days != 1)}"
