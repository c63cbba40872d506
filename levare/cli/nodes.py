"""`levare nodes`, `drain`, `resume`: the machines, and whether they take work."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import NODE

if TYPE_CHECKING:
    from levare.client import Device, Node


@click.command()
@click.argument("node", type=NODE, required=False)
@terminal.json_option
def nodes(node: str | None, *, as_json: bool) -> None:
    """List the nodes with what is free on them, or show one with its GPUs."""
    with terminal.connect() as client:
        found = [client.node(node)] if node else client.nodes()
    if as_json:
        terminal.document(found[0] if node else {"items": found})
    elif not found:
        terminal.note("No node has joined yet; `levare up` starts one on this machine.")
    else:
        details = [terminal.title("offers"), _facts(found[0])] if node else []
        devices = [terminal.title("GPUs"), device_table(found)] if node and found[0]["devices"] else []
        terminal.show(node_table(found), *details, *devices, *(words.plain(line) for line in _excluded(found)))


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
    """Let a drained node take jobs again."""
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
    free = sum(device["free_mib"] == device["memory_mib"] for device in node["devices"])
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
    heads = ("node", "gpu>", "model", "use>", "used>", "held>", "power>", "temp>", "jobs")
    rows = [_device_row(node, device) for node in found for device in node["devices"]]
    return terminal.table(heads, rows, flexible=("node", "model", "jobs"))


def _device_row(node: "Node", device: "Device") -> list[Any]:
    sample, gpu = node["sample"] or {}, f"gpu{device['index']}"
    watts, celsius = sample.get(f"{gpu}_power_watts"), sample.get(f"{gpu}_temperature_celsius")
    return [
        node["name"],
        str(device["index"]),
        device["model"] or ("simulated" if device["simulated"] else words.NOTHING),
        words.of_100(sample.get(f"{gpu}_utilisation_percent")),
        words.size(sample.get(f"{gpu}_memory_used_mib")),
        f"{(device['memory_mib'] - device['free_mib']) / 1024:.0f}/{device['memory_mib'] / 1024:.0f}GiB",
        words.NOTHING if watts is None else f"{watts:.0f}W",
        words.NOTHING if celsius is None else f"{celsius:.0f}C",
        words.listed([attempt.rpartition("-")[0] for attempt in device["attempts"]]),
    ]
