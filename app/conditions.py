"""
ETags: a GET says what a thing is, a write may say what it was.

The tag is `VERSION-DIGEST`. The digest is of the whole answer, so that `If-None-Match` spares whoever has just that;
the version changes with what people change, and that is what `If-Match` compares: a schedule that has fired meanwhile
is still the one that was read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer
from levare.errors import Fault, Stale
from levare.store import versions
from levare.store.versions import (
    ALERT,
    CHANNEL,
    FAMILY,
    JOB,
    LOCK,
    MACHINE,
    NODE,
    PIPELINE,
    POOL,
    RULE,
    SCHEDULE,
    SILENCE,
    TEAM,
    TOKEN,
    TRIGGER,
    UNDECLARED,
    WINDOW,
)

_NUMBER = re.compile(r"^[1-9][0-9]{0,9}$")

WRITES: Mapping[str, tuple[str, str]] = {
    "cancel_job": (JOB, "job_id"),
    "cancel_pipeline": (PIPELINE, "pipeline_id"),
    "release_family": (FAMILY, "name"),
    **dict.fromkeys(("set_node_state", "reap_orphans"), (NODE, "name")),
    **dict.fromkeys(("set_machine_state", "forget_machine"), (MACHINE, "name")),
    **dict.fromkeys(("set_pool", "remove_pool"), (POOL, "name")),
    **dict.fromkeys(("set_team", "remove_team"), (TEAM, "name")),
    **dict.fromkeys(("set_window", "remove_window"), (WINDOW, "name")),
    **dict.fromkeys(("set_schedule", "remove_schedule", "set_schedule_state"), (SCHEDULE, "name")),
    **dict.fromkeys(("set_trigger", "remove_trigger", "set_trigger_state"), (TRIGGER, "name")),
    **dict.fromkeys(("set_alert_rule", "remove_alert_rule", "set_alert_rule_state"), (RULE, "name")),
    **dict.fromkeys(("set_channel", "remove_channel"), (CHANNEL, "name")),
    "acknowledge_alert": (ALERT, "number"),
    "remove_silence": (SILENCE, "number"),
    "revoke_token": (TOKEN, "token_id"),
    **dict.fromkeys(("take_lock", "release_lock"), (LOCK, "")),
}
"""What an operation changes, and the parameter that names it."""
READS = frozenset(
    (
        *("read_job", "read_pipeline", "read_family", "read_node", "read_machine", "read_pool", "read_team"),
        *("read_window", "read_schedule", "read_trigger", "read_alert_rule", "read_channel", "read_alert"),
        *("read_silence", "read_token", "read_lock"),
    )
)
"""The operations whose answers have a tag."""


@dataclass(frozen=True)
class Conditions:
    """What a request says of the thing that it names: None where it says nothing."""

    kind: str = ""
    name: object = ""
    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    def hold(self, connection: Connection) -> None:
        """Raise Stale unless the thing is as the request expects it; it stays so until the transaction ends."""
        if not self.kind or (self.match is None and self.none_match is None):
            return
        version = versions.held(connection, self.kind, self.name)
        if version is None:
            return  # whoever writes says that there is none
        if self.match is not None and not _is_of(version, self.match):
            raise _stale(self, "If-Match", self.match, version)
        if self.none_match is not None and _is_of(version, self.none_match):
            raise _stale(self, "If-None-Match", self.none_match, version)

    def told(self, content: Any, version: str | None) -> Response:
        """The answer with its tag; without a body for whoever has it already."""
        response = answer(content)
        tag = f'"{version}-{sha256(response.body).hexdigest()[:16]}"'
        if self.none_match is not None and _is_one(tag, self.none_match):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        response.headers["ETag"] = tag
        return response


NO_CONDITIONS = Conditions()


def conditions_of(request: Request) -> Conditions:
    """Those of a request. A tag may lack its quotes, as people write it."""
    operation, headers = request.scope["endpoint"].__name__, request.headers
    if not ("if-match" in headers or "if-none-match" in headers):
        return NO_CONDITIONS
    if operation not in WRITES and operation not in READS:
        return NO_CONDITIONS
    kind, parameter = WRITES.get(operation, ("", ""))
    name = request.path_params.get(parameter, "")
    is_number = kind in (ALERT, SILENCE)
    if is_number and not _NUMBER.match(name):
        return NO_CONDITIONS  # it is refused as a name
    return Conditions(
        kind,
        int(name) if is_number else name,
        _tags(headers.getlist("if-match")) if kind else None,
        _tags(headers.getlist("if-none-match")),
    )


def _tags(given: list[str]) -> tuple[str, ...] | None:
    return tuple(each.strip() for each in ",".join(given).split(",")) if given else None


def _is_of(version: str, tags: Iterable[str]) -> bool:
    """Whether one of the tags is of this version; a weak one never is."""
    return any(_version_in(tag) == version if tag != "*" else version != UNDECLARED for tag in tags)


def _is_one(tag: str, tags: Iterable[str]) -> bool:
    """As `If-None-Match` compares: a proxy may have made ours weak."""
    return any(each == "*" or each.removeprefix("W/") == tag for each in tags)


def _version_in(tag: str) -> str:
    return tag.strip('"').partition("-")[0]


def _stale(conditions: Conditions, header: str, tags: tuple[str, ...], version: str) -> Stale:
    noun = conditions.kind.replace("_", " ")
    what = f"{noun.capitalize()} {conditions.name}".strip()
    now = f'"{version}"' if version != UNDECLARED else "not declared"
    wanted = ", ".join(tags)
    message = f"{what} is {now}; the request is for {'anything but ' if header == 'If-None-Match' else ''}{wanted}."
    return Stale(
        message,
        "Read it again, see what has changed, and send it with the new ETag.",
        [Fault(header, "is not what there is now", wanted, now)],
    )
