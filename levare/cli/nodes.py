"""`levare nodes`, `nodes invite`, `nodes reap`, `drain`, `resume`: the machines and whether they take work."""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, usage, words
from levare.cli.group import FAILED
from levare.cli.kinds import DURATION, MACHINE, NODE
from levare.errors import Unavailable
from levare.model import TAKEN

if TYPE_CHECKING:
    from levare.client import Client, Device, Node, Orphan, Reap

_REAP_SECONDS, _LOOK_SECONDS = 30.0, 0.25
_OUTCOMES = {
    "ended": "ended",
    "killed": "did not end by itself and was killed",
    "gone": "had ended already",
    "spared": "was left alone: nothing proves any more that it is left behind",
    "remains": "could not be ended",
}


class _Nodes(click.Group):
    """`levare nodes NODE` is short for `levare nodes show NODE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_own = args[:1] and (args[0] in self.commands or args[0] in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if is_own else ["show", *args])


@click.group(cls=_Nodes)
def nodes() -> None:
    """List the nodes with what is free on them, show one, invite machines, end what is left behind on GPUs."""


@nodes.command()
@click.argument("node", type=NODE, required=False)
@click.option("--samples", "last", metavar="TIME", type=DURATION, help="Of one, also what it used in that time: 24h.")
@terminal.json_option
def show(node: str | None, *, last: int | None, as_json: bool) -> None:
    """List the nodes with what is free on them, or show one with its GPUs; the word `show` may be left out."""
    if last is not None and not node:
        raise click.UsageError("--samples is of one node: `levare nodes NODE --samples 24h`.")
    with terminal.connect() as client:
        found = [client.node(node)] if node else client.nodes()
        used = usage.of_node(client, node, timedelta(seconds=last)) if node and last else []
    if as_json:
        terminal.document({**found[0], **({"samples": used} if last else {})} if node else {"items": found})
    elif not found:
        terminal.note("No node has joined yet; `levare up` starts one on this machine.")
    else:
        details = [terminal.title("offers"), _facts(found[0])] if node else []
        devices = [terminal.title("GPUs"), device_table(found)] if node and found[0]["devices"] else []
        excluded = (words.plain(line) for line in _excluded(found))
        told = [terminal.title("used"), usage.node_table(used)] if used else []
        told += ["Nothing of what it used in that time is kept."] if last and not used else []
        terminal.show(node_table(found), *details, *devices, *excluded, *_notes(found), *told)


@nodes.command()
@click.argument("node", type=NODE)
@click.option("--dry-run", is_flag=True, help="Only list what would be ended.")
@terminal.json_option
def reap(node: str, *, dry_run: bool, as_json: bool) -> int:
    """End the processes that ended jobs left behind on the GPUs of a node; no other process is touched."""
    with terminal.connect() as client:
        answer = client.reap(node, dry_run=dry_run)
        answer["reaped"] = (
            _await_reap(client, node)["reaped"] if answer["requested_at"] else []
        )  # not of an earlier one
    if as_json:
        terminal.document(answer)
    else:
        for line in _reap_lines(answer, dry_run=dry_run):
            click.echo(words.plain(line))
    return 0 if dry_run or all(each.get("outcome") != "remains" for each in answer["reaped"]) else FAILED


@nodes.command()
@click.option("--machine", type=MACHINE, help="The only name that may join by it; a known one comes back only so.")
@click.option("--expires", type=DURATION, help="For how long it is valid, 15m by default.")
@click.option("--url", metavar="URL", help="By which the machine reaches the API, for the command that is shown.")
@terminal.json_option
def invite(machine: str | None, *, expires: int | None, url: str | None, as_json: bool) -> None:
    """Make a code by which one machine may join the fleet, once, and print the command that does it there."""
    with terminal.connect() as client:
        made, address = client.invite_machine(machine=machine, expires_in_seconds=expires), url or client.address.url
    if as_json:
        terminal.document(made)
        return
    named = f" --name {machine}" if machine else ""
    click.echo(f"levare node join {address} {made['code']}{named}")
    terminal.note(f"Run this on the machine by {words.clock(made['expires_at'])}; it joins one machine, once.")


def _await_reap(client: "Client", node: str) -> "Reap":
    until = time.monotonic() + _REAP_SECONDS
    while (answer := client.last_reap(node))["requested_at"]:
        if time.monotonic() > until:
            raise Unavailable(
                f"{node} has not said in {_REAP_SECONDS:.0f} s what became of its orphans.",
                f"It ends them once its worker is there; `levare nodes reap {node} --dry-run` lists what is left.",
            )
        time.sleep(_LOOK_SECONDS)
    return answer


def _reap_lines(answer: "Reap", *, dry_run: bool) -> list[str]:
    if dry_run and answer["orphans"]:
        return [f"{_named(each)} would be ended" for each in answer["orphans"]]
    if dry_run or not answer["reaped"]:
        return [f"Nothing is left behind on the GPUs of {answer['node']}."]
    return [f"{_named(each)} {_OUTCOMES.get(each.get('outcome', ''), '')}" for each in answer["reaped"]]


def _named(orphan: "Orphan") -> str:
    gpus = f"{'GPU' if len(orphan['gpus']) == 1 else 'GPUs'} {words.listed([str(index) for index in orphan['gpus']])}"
    return f"process {orphan['pid']} ({orphan['command']}) of attempt {orphan['attempt']} on {gpus}"


@click.command()
@click.argument("node", type=NODE)
@terminal.json_option
def drain(node: str, *, as_json: bool) -> None:
    """Give a node nothing new; what runs there runs on."""
    _set_state(node, "draining", "takes nothing new; what runs there runs on", as_json=as_json)


@click.command()
@click.argument("node", type=NODE)
@terminal.json_option
def resume(node: str, *, as_json: bool) -> None:
    """Let a node take jobs again that was drained, or excluded because jobs failed on it."""
    _set_state(node, "ready", "takes jobs again", as_json=as_json)


def _set_state(name: str, state: str, meaning: str, *, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.set_node_state(name, state)
    if as_json:
        terminal.document(found)
        return
    running = len(found["attempts"])
    click.echo(f"{found['name']} is {found['state']}: it {meaning} ({running} {'job' if running == 1 else 'jobs'}).")


def node_table(found: list["Node"]) -> Any:
    heads = ("node", "state", "GPUs free>", "CPUs free>", "memory free>", "cpu>", "disk>", "jobs>", "seen>")
    return terminal.table(heads, [_row(node) for node in found], flexible=("node",))


def _row(node: "Node") -> list[Any]:
    sample = node["sample"] or {}
    usable = [device for device in node["devices"] if device["ownership"] not in TAKEN]
    free = sum(device["free_mib"] == device["memory_mib"] for device in usable)
    return [
        node["name"],
        terminal.state(node["state"]),
        f"{free}/{len(node['devices'])}",
        f"{node['cpus_free']}/{node['cpus']}",
        f"{words.size(node['memory_free_mib'])}",
        words.of_100(sample.get("cpu_percent")),
        words.of_100(sample.get("disk_used_percent")),
        str(len(node["attempts"])),
        words.since(node["renewed_at"]),
    ]


def _facts(node: "Node") -> Any:
    """What a node offers beside CPUs, memory and GPUs."""
    free = ((name, node["resources_free"][name], amount) for name, amount in node["resources"].items())
    return terminal.facts(
        [
            ("labels", words.labels(node["labels"])),
            ("scratch", f"{words.size(node['scratch_free_mib'])} free of {words.size(node['scratch_mib'])}"),
            ("resources", ", ".join(f"{name} {left}/{amount} free" for name, left, amount in free)),
            ("address", node["address"]),
            ("price", None if node["price"] is None else f"{words.money(node['price'])} an hour"),
        ]
    )


def _excluded(found: Sequence["Node"]) -> Iterator[str]:
    """A sentence for each node and each GPU that takes nothing new for a while."""
    for node in found:
        yield from _exclusion(node["name"], node)
        for device in node["devices"]:
            yield from _exclusion(f"{node['name']} gpu {device['index']}", device)


def _exclusion(name: str, what: "Node | Device") -> Iterator[str]:
    if what["excluded_until"]:
        yield f"{name} takes nothing new until {words.clock(what['excluded_until'])}: {what['excluded_reason']}"


def device_table(found: list["Node"]) -> Any:
    heads = ("node", "gpu>", "whose", "model", "use>", "used>", "held>", "power>", "temp>", "jobs")
    rows = [_device_row(node, device) for node in found for device in node["devices"]]
    return terminal.table(heads, rows, flexible=("node", "model", "jobs"))


def _notes(found: list["Node"]) -> list[Any]:
    """Who uses GPUs besides levare."""
    notes = [device["note"] for node in found for device in node["devices"] if device["note"]]
    return ["", *map(words.plain, notes)] if notes else []


def _device_row(node: "Node", device: "Device") -> list[Any]:
    sample, gpu = node["sample"] or {}, f"gpu{device['index']}"
    watts, celsius = sample.get(f"{gpu}_power_watts"), sample.get(f"{gpu}_temperature_celsius")
    return [
        node["name"],
        str(device["index"]),
        terminal.state(device["ownership"]),
        device["model"] or ("simulated" if device["simulated"] else words.NOTHING),
        words.of_100(sample.get(f"{gpu}_utilisation_percent")),
        words.size(sample.get(f"{gpu}_memory_used_mib")),
        f"{(device['memory_mib'] - device['free_mib']) / 1024:.0f}/{device['memory_mib'] / 1024:.0f}GiB",
        words.NOTHING if watts is None else f"{watts:.0f}W",
        words.NOTHING if celsius is None else f"{celsius:.0f}C",
        words.listed([attempt.rpartition("-")[0] for attempt in device["attempts"]]),
    ]
