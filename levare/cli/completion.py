"""`levare completion`: what a shell needs to complete commands, options, jobs and nodes."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from levare.cli import terminal
from levare.errors import LevareError

if TYPE_CHECKING:
    from levare.client import Client

_HOW = {
    "bash": 'eval "$(levare completion bash)"',
    "zsh": 'eval "$(levare completion zsh)"',
    "fish": "levare completion fish | source",
}


@click.command(epilog="For good: put `" + _HOW["bash"] + "` into ~/.bashrc, or the same with zsh into ~/.zshrc.")
@click.argument("shell", type=click.Choice(sorted(_HOW)))
def completion(shell: str) -> None:
    """Print the script that lets bash, zsh or fish complete levare's commands."""
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind:
        click.echo(kind(root, {}, "levare", "_LEVARE_COMPLETE").source())


def known(noun: str) -> list[CompletionItem]:
    """The jobs, nodes, tokens and so on that there are; none when the API does not answer at once."""
    try:
        with terminal.client_kind()(timeout=1, patience=0) as client:
            return list(_KNOWN[noun](client))
    except (LevareError, OSError):
        return []


def _jobs(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(job["id"], help=f"{job['state']} {job['name']}") for job in client.jobs(limit=100)]


def _nodes(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(node["name"], help=node["state"]) for node in client.nodes()]


def _tokens(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(token["name"]) for token in client.tokens() if not token["revoked_at"]]


def _teams(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(team["name"]) for team in client.teams()]


def _windows(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(window["name"], help=window["reason"]) for window in client.windows()]


def _families(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(family["name"]) for family in client.families(held=True)]


def _schedules(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(each["name"], help=each["definition"].get("description")) for each in client.schedules()]


def _triggers(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(trigger["name"], help=trigger["kind"]) for trigger in client.triggers()]


def _rules(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(rule["name"], help=rule["definition"].get("description")) for rule in client.alert_rules()]


def _channels(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(channel["name"], help=channel["kind"]) for channel in client.channels()]


def _pools(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(pool["name"], help=pool["definition"].get("description")) for pool in client.pools()]


def _machines(client: "Client") -> Iterable[CompletionItem]:
    return [CompletionItem(machine["name"], help=machine["state"]) for machine in client.machines()]


_KNOWN: dict[str, Callable[["Client"], Iterable[CompletionItem]]] = {
    "job": _jobs,
    "node": _nodes,
    "token": _tokens,
    "team": _teams,
    "window": _windows,
    "family": _families,
    "schedule": _schedules,
    "trigger": _triggers,
    "rule": _rules,
    "channel": _channels,
    "pool": _pools,
    "machine": _machines,
}
