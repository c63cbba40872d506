"""What differs between a run that failed and the last one of its family that succeeded."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|API_?KEY|AUTH", re.IGNORECASE)
_USUAL = frozenset(["PATH", "LANG", "LEVARE_DATA", "LEVARE_SEED", "LEVARE_SCHEDULE", "LEVARE_TRIGGER"])
"""Variables that go with every job and say little, or are looked at elsewhere."""
_HEX = 10
_MOST_PACKAGES = 20
_LONGEST = 200


@dataclass(frozen=True)
class Ran:
    """
    One run: what its node found at its start, and what its job asked for.

    `found` has code, locks, script, packages, python, environment, data, driver and kernel, as far as they are known.
    """

    node: str
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    cwd: str = ""
    gpu_models: Sequence[str] = ()
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """
    `kind` is code, dependencies, configuration, seed, data, environment, node, driver or interpreter.

    None is what was not there.
    """

    kind: str
    name: str
    before: str | None
    after: str | None


def differences(good: Ran, bad: Ran) -> list[Difference]:
    """What differs, what people change most often first. What is unknown of either is no difference."""
    found = (_code, _dependencies, _configuration, _seed, _data, _environment, _machine)
    return [each for look in found for each in look(good, bad)]


def _code(good: Ran, bad: Ran) -> Iterator[Difference]:
    before, after = good.found.get("code"), bad.found.get("code")
    if before and after:
        yield from _differing("code", {"commit": _commit(before)}, {"commit": _commit(after)})
        changes = {"uncommitted changes": _changes(before)}, {"uncommitted changes": _changes(after)}
        yield from _differing("code", *changes)
        yield from _differing("code", {"branch": before.get("branch")}, {"branch": after.get("branch")})
    before, after = good.found.get("script"), bad.found.get("script")
    if before and after and before["path"] == after["path"]:
        yield from _differing("code", {before["path"]: before["digest"]}, {after["path"]: after["digest"]})


def _commit(code: Mapping[str, Any]) -> str:
    return str(code.get("commit", ""))[:_HEX]


def _changes(code: Mapping[str, Any]) -> str:
    """Told by their digest: there is no other name for them."""
    if code.get("dirty") is None:
        return "unknown"
    return f"some ({code['diff']})" if code["dirty"] else "none"


def _dependencies(good: Ran, bad: Ran) -> Iterator[Difference]:
    if good.found and bad.found:
        yield from _differing("dependencies", good.found.get("locks") or {}, bad.found.get("locks") or {})
    before, after = good.found.get("packages"), bad.found.get("packages")
    if before is None or after is None:
        return
    changed = list(_differing("dependencies", _versions(before), _versions(after)))
    yield from changed[:_MOST_PACKAGES]
    if len(changed) > _MOST_PACKAGES:
        yield Difference("dependencies", "more packages", None, f"{len(changed) - _MOST_PACKAGES} more differ")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {name: version for name, _, version in (package.partition("==") for package in packages)}


def _configuration(good: Ran, bad: Ran) -> Iterator[Difference]:
    yield from _differing("configuration", {"command": _shown(good.command)}, {"command": _shown(bad.command)})
    yield from _differing("configuration", {"directory": good.cwd}, {"directory": bad.cwd})
    yield from _differing("configuration", _words(good.parameters), _words(bad.parameters))
    names = {*good.env, *bad.env}
    yield from map(_without_secret, _differing("configuration", _variables(good, names), _variables(bad, names)))
    yield from _differing("configuration", _words(good.request), _words(bad.request))


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "secret" in value:
        return f"the secret {value['secret']}"
    text = " ".join(value) if isinstance(value, list | tuple) else "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _variables(ran: Ran, names: Collection[str]) -> dict[str, str]:
    """Those of these names that it saw, whether its job gave them or its node did."""
    seen = {**(ran.found.get("environment") or {}), **ran.env}
    return {
        name: _shown(value)
        for name, value in seen.items()
        if name in names and name not in _USUAL and not name.startswith("LEVARE_PARAM_")
    }


def _without_secret(each: Difference) -> Difference:
    """Of a secret only that it differs, unless it is known by its name alone."""
    by_name = all(value is None or value.startswith("the secret ") for value in (each.before, each.after))
    if by_name or not _SECRET.search(each.name):
        return each
    return Difference(each.kind, each.name, each.before and "hidden", each.after and "another, hidden")


def _seed(good: Ran, bad: Ran) -> Iterator[Difference]:
    yield from _differing(
        "seed", {"LEVARE_SEED": good.env.get("LEVARE_SEED")}, {"LEVARE_SEED": bad.env.get("LEVARE_SEED")}
    )


def _data(good: Ran, bad: Ran) -> Iterator[Difference]:
    yield from _differing("data", {"id": good.env.get("LEVARE_DATA")}, {"id": bad.env.get("LEVARE_DATA")})
    if good.found and bad.found:
        yield from _differing("data", _digests(good), _digests(bad))


def _digests(ran: Ran) -> dict[str, str]:
    return {f"digest of {name}": digest for name, digest in (ran.found.get("data") or {}).items()}


def _environment(good: Ran, bad: Ran) -> Iterator[Difference]:
    """What only their nodes gave them."""
    if "environment" in good.found and "environment" in bad.found:
        names = {*good.found["environment"], *bad.found["environment"]} - {*good.env, *bad.env}
        yield from _differing("environment", _variables(good, names), _variables(bad, names))


def _machine(good: Ran, bad: Ran) -> Iterator[Difference]:
    yield from _differing("node", {"name": good.node}, {"name": bad.node})
    yield from _differing("node", {"GPUs": ", ".join(good.gpu_models)}, {"GPUs": ", ".join(bad.gpu_models)})
    yield from _known("driver", "NVIDIA driver", good, bad, "driver")
    yield from _known("driver", "kernel", good, bad, "kernel")
    yield from _known("interpreter", "Python", good, bad, "python_version")
    yield from _known("interpreter", "path", good, bad, "python")


def _known(kind: str, name: str, good: Ran, bad: Ran, key: str) -> Iterator[Difference]:
    if key in good.found and key in bad.found:
        yield from _differing(kind, {name: good.found[key]}, {name: bad.found[key]})


def _differing(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Difference(kind, name, _or_none(before.get(name)), _or_none(after.get(name)))


def _or_none(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
