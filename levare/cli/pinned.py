"""What a run was pinned to, in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from levare.cli import words
from levare.errors import NotFound

if TYPE_CHECKING:
    from levare.client import Client, Job
    from levare.client.pins import Pins

Facts = list[tuple[str, str | None]]

_HEX = 10


def of_job(client: "Client", job: str, *, patch: bool = False) -> "Pins | None":
    """None before there is an attempt."""
    try:
        return client.pins(job, patch=patch)
    except NotFound:
        return None


def facts(job: "Job", pins: "Pins | None") -> Facts:
    """A line each; empty where nothing is known."""
    secrets = {name: value["secret"] for name, value in job["env"].items() if not isinstance(value, str)}
    return [
        ("repeats", _repeated(job.get("rerun"))),
        ("secrets", ", ".join(f"{name} is {secret}" for name, secret in secrets.items())),
        *(_found(pins) if pins else []),
    ]


def _repeated(rerun: dict[str, Any] | None) -> str | None:
    return f"{rerun['attempt']}, {'with its code' if rerun['code'] else 'with the code of now'}" if rerun else None


def _found(pins: "Pins") -> Facts:
    missing = ", ".join(dict.fromkeys(each["what"] for each in pins["missing"]))
    return [
        ("code", code(pins["code"])),
        ("python", _python(pins)),
        ("seed", pins["seed"]),
        ("data", _data(pins)),
        ("not pinned", f"{missing}; `levare show {pins['job']} --pins` says why" if missing else None),
    ]


def code(found: dict[str, Any] | None) -> str | None:
    if found is None:
        return None
    on = f" on {found['branch']}" if found["branch"] not in ("", "HEAD") else ""
    if found["dirty"] is None:
        return f"{found['commit'][:_HEX]}{on}, uncommitted changes are not known"
    return f"{found['commit'][:_HEX]}{on}" + (f" with uncommitted changes ({found['diff']})" if found["dirty"] else "")


def _python(pins: "Pins") -> str | None:
    packages = f" with {words.counted(len(pins['packages']), 'package')}" if pins["packages"] else ""
    return f"{pins['python_version']}{packages}" if pins["python_version"] else None


def _data(pins: "Pins") -> str | None:
    digests = ", ".join(f"{name} {digest}" for name, digest in (pins["data"] or {}).items())
    return ", ".join(filter(None, [pins["data_id"], digests])) or None


def lines(pins: "Pins") -> Iterator[str]:
    """All of it, for a person."""
    yield f"{pins['attempt']} on {pins['node']}, as it was when it started"
    for name, value in _all(pins):
        if value:
            yield f"  {name:12} {value}"
    for each in pins["missing"]:
        yield f"  not pinned: {each['what']}. {each['why']}"
    if pins["patch"]:
        yield ""
        yield from pins["patch"].rstrip("\n").split("\n")


def _all(pins: "Pins") -> Facts:
    return [
        ("code", code(pins["code"])),
        ("in", pins["code"]["root"] if pins["code"] else None),
        ("script", " ".join((pins["script"] or {}).values())),
        ("locks", ", ".join(f"{name} {digest}" for name, digest in pins["locks"].items())),
        ("python", _python(pins)),
        ("interpreter", pins["python"]),
        ("seed", pins["seed"]),
        ("data", _data(pins)),
        ("GPUs", ", ".join(pins["gpu_models"])),
        ("driver", pins["driver"]),
        ("kernel", pins["kernel"]),
        ("environment", " ".join(f"{name}={value}" for name, value in sorted(pins["environment"].items()))),
    ]
