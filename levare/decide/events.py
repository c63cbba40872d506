"""Events as CloudEvents 1.0 has them: which of them a trigger is about, and what its jobs learn of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from levare.model import Parameter, Parameters

Event = Mapping[str, Any]
_ABSENT = object()
_LONGEST_KEY = 200
"""Characters: what is longer would not fit into an index of PostgreSQL in every script."""


@dataclass(frozen=True)
class EventFilter:
    """What an event must be: `type`, `source` and `subject` may hold `*`; `where` maps dotted paths to values."""

    type: str | None = None
    source: str | None = None
    subject: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    def mismatch(self, event: Event) -> str | None:
        """Why the event is not one of these, in a sentence; None if it is."""
        for name in ("type", "source", "subject"):
            wanted, found = getattr(self, name), event.get(name)
            if wanted is not None and not fnmatchcase(str(found or ""), wanted):
                return f"Its {name} is {_shown(found)}, not {wanted}."
        for path, wanted in self.where.items():
            found = at_path(event, path)
            if found is _ABSENT or not _is_same(found, wanted):
                return f"Its {path} is {'absent' if found is _ABSENT else _shown(found)}, not {_shown(wanted)}."
        return None


def at_path(event: Event, path: str) -> Any:
    """What stands at a dotted path such as `data.dataset` or `data.files.0`; a mark of its own where nothing does."""
    found: Any = event
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return _ABSENT
    return found


def has_path(event: Event, path: str) -> bool:
    return at_path(event, path) is not _ABSENT


def sameness(event: Event, paths: Sequence[str]) -> str | None:
    """What two events have in common that are the same by these paths; None without paths."""
    if not paths:
        return None
    return shortened(json.dumps([_plain(at_path(event, path)) for path in paths], sort_keys=True))


def shortened(key: str) -> str:
    """The key, or its digest if it is too long to be one."""
    return key if len(key) <= _LONGEST_KEY else sha256(key.encode()).hexdigest()


def digest_of(event: Event) -> str:
    """What no two different events share: it is of their source and id."""
    return sha256(text_of([event["source"], event["id"]]).encode()).hexdigest()


def parameters_of(declared: Mapping[str, Any], event: Event) -> Parameters:
    """
    The parameters of a run; `{"from": PATH}` takes the value of the event, or its `default`.

    Raise KeyError with the path where the event has no such value and there is no default.
    """
    return {name: _parameter(value, event) for name, value in declared.items()}


def _parameter(value: Any, event: Event) -> Parameter:
    if not isinstance(value, Mapping):
        return value
    found = at_path(event, value["from"])
    if found is _ABSENT or found is None:
        if value.get("default") is None:
            raise KeyError(value["from"])
        return value["default"]
    return found if isinstance(found, str | int | float | bool) else text_of(found)


def environment_of(events: Sequence[Event]) -> dict[str, str]:
    """What the jobs of a run find of its events; of several only what is about all of them."""
    paths = [event["data"]["path"] for event in events if str(event["type"]).startswith("levare.file.")]
    files = {"LEVARE_FILES": text_of(paths)} if paths else {}
    if len(paths) == 1:
        files["LEVARE_FILE"] = paths[0]
    if len(events) > 1:
        return {"LEVARE_EVENTS": text_of(events), **files}
    event = events[0]
    named = {f"LEVARE_EVENT_{name.upper()}": event.get(name) for name in ("type", "source", "subject", "id")}
    return {"LEVARE_EVENT": text_of(event), **{key: str(each) for key, each in named.items() if each}, **files}


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_same(found: Any, wanted: Any) -> bool:
    """JSON's idea of equal: true is not 1."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def _plain(found: Any) -> Any:
    return None if found is _ABSENT else found


def _shown(value: Any) -> str:
    text = text_of(value)
    return text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004  # as much as a line shows
