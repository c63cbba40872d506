"""Values as people write them: sizes, durations, moments, variables; each refused with an example."""

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from levare.model import NEED_OUTCOMES, SUCCESS
from levare.model.access import TEAM_ROLES
from levare.written import SIGNALS, amount, duration_seconds, ending, hours, label, size_mib

NO_LIMIT = "none"
_KIND_NAME_FIELD = 3
_DATA_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


class Written(click.ParamType):
    """What a reader makes of a text; it raises ValueError with an example for what it cannot read."""

    def __init__(self, name: str, reader: Callable[[str], Any]) -> None:
        self.name, self._reader = name, reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._reader(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Moment(click.ParamType):
    """An ISO 8601 time, of this machine's zone when it names none, or `+30m` from now; aware and in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        moment = value if isinstance(value, datetime) else _moment(value)
        if moment is None:
            self.fail(f"{value!r} is not a time such as 2030-12-24T20:00, or +30m.", param, ctx)
        return moment.astimezone(UTC)


class Clock(Moment):
    """The same, but one that names no zone stays naive: what shows it is said elsewhere."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        moment = super().convert(value, param, ctx)
        is_naive = isinstance(value, str) and value[:1] != "+" and datetime.fromisoformat(value).tzinfo is None
        return datetime.fromisoformat(value) if is_naive else moment


class Variable(click.ParamType):
    """`NAME=VALUE`, or `NAME` alone for its value here."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self.fail(f"{value!r} is not a variable such as SEED=7.", param, ctx)
        if not equals and name not in os.environ:
            self.fail(f"{name} has no value here to pass on; write {name}=VALUE.", param, ctx)
        return name, text if equals else os.environ[name]


class Need(click.ParamType):
    """`JOB`, which must succeed, or `JOB:failure`, or `JOB:always` for any end: as the API takes it."""

    name = "need"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        job, colon, on = value.strip().partition(":")
        if not job or (colon and on not in NEED_OUTCOMES):
            self.fail(f"{value!r} is not JOB, JOB:failure or JOB:always.", param, ctx)
        return {"job": job, "on": on} if colon and on != SUCCESS else job

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return JOB.shell_complete(ctx, param, incomplete)


class Limit(click.ParamType):
    """A number that is not negative, or `none` for no limit: None is "not said", so no limit is NO_LIMIT."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.name, self.kind = "number|none", kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == NO_LIMIT:
            return value
        with suppress(ValueError):
            if 0 <= (number := self.kind(value)) < float("inf"):
                return number
        return self.fail(f"{value!r} is not a number such as 8, nor `none` for no limit.", param, ctx)


class Name(click.ParamType):
    """The id of a job, or the name of a node, token, team and so on; the shell completes it by asking the API."""

    name = "name"

    def __init__(self, of: str) -> None:
        self.of = of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.strip():
            self.fail(f"The {self.of} is empty.", param, ctx)
        return value.strip()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from levare.cli.completion import known

        del ctx, param  # click's signature
        return [item for item in known(self.of) if item.value.startswith(incomplete)]


def _setting(text: str) -> tuple[tuple[str, ...], Any]:
    """`teams.vision.quota.gpus=6`: where, and the value as JSON or, where that is none, as text."""
    path, equals, value = text.partition("=")
    parts = tuple(path.split("."))
    if not equals or len(parts) < _KIND_NAME_FIELD or not all(parts):
        raise ValueError(f"{text!r} is not a path and a value such as teams.vision.quota.gpus=6")
    try:
        return parts, None if value == NO_LIMIT else json.loads(value)
    except ValueError:
        return parts, value


def _nodes(text: str) -> tuple[str, int]:
    """`node-a=2`: so many nodes like that one."""
    name, equals, count = text.rpartition("=")
    if not equals or not name or not count.isdecimal():
        raise ValueError(f"{text!r} is not a node and a number such as node-a=2")
    return name, int(count)


def _warning(text: str) -> tuple[str, int]:
    """`USR1@60s` is the signal, and how many seconds before the end it comes."""
    signal, _, time = text.partition("@")
    name = signal.upper().removeprefix("SIG")
    if name not in SIGNALS or not (seconds := duration_seconds(time or "0")):
        raise ValueError(f"{text!r} is not a signal ({', '.join(SIGNALS)}) and a duration such as USR1@60s")
    return name, seconds


def _secret(text: str) -> tuple[str, str]:
    """A variable and the name of its secret; the same for both where there is one."""
    variable, _, name = text.rpartition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable or name) or not re.fullmatch(r"[A-Z][A-Z0-9_]{0,62}", name):
        raise ValueError(f"{text!r} is not a variable and the name of a secret such as API_KEY=HUB_KEY")
    return variable or name, name


def _data(text: str) -> str:
    """An id, or NAME=ID; a path is one by its first characters, and is told as an absolute one."""
    head, equals, value = text.partition("=") if not text.startswith((".", "/", "~")) else ("", "", text)
    value = value if equals or not head else head
    if not re.fullmatch(r"[^,\s\x00-\x1f]+", value) or (equals and not re.fullmatch(_DATA_NAME, head)):
        raise ValueError(f"{text!r} is not an id such as imagenet@v3, NAME=ID, or a path such as ./data")
    place = os.path.abspath(os.path.expanduser(value)) if value.startswith((".", "/", "~")) else value  # noqa: PTH100, PTH111
    return f"{head}={place}" if equals else place


def _ago(text: str) -> datetime:
    """`30d` is 30 days ago; or a time."""
    try:
        return datetime.now(UTC) - timedelta(seconds=duration_seconds(text))
    except (ValueError, OverflowError):
        at = _moment(text)
    if at is None:
        raise ValueError(f"{text!r} is neither a time such as 2030-12-24T20:00 nor a duration such as 12h or 30d")
    return at


def _ahead(text: str) -> datetime:
    """`90d` is in 90 days; or a time."""
    at = _moment(text if text[:1] == "+" else f"+{text}") or _moment(text)
    if at is None:
        raise ValueError(f"{text!r} is neither a time such as 2030-12-24T20:00 nor a duration such as 12h or 90d")
    return at.astimezone(UTC)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is not a name and a value such as limit=5")
    return name, value


def _team_role(text: str) -> tuple[str, str]:
    """`vision=member`: a team and a role in it."""
    team, equals, role = text.partition("=")
    if not team or not equals or role not in TEAM_ROLES:
        raise ValueError(f"{text!r} is not a team and a role ({', '.join(TEAM_ROLES)}) such as vision=member")
    return team, role


def _member_role(text: str) -> tuple[str, str]:
    """`ada=member`: a token's name and a role, or `none`."""
    name, equals, role = text.partition("=")
    known = (*TEAM_ROLES, NO_LIMIT)
    if not name or not equals or role not in known:
        raise ValueError(f"{text!r} is not a name and a role ({', '.join(known)}) such as ada=member")
    return name, role


SIZE, HOURS, WARNING = Written("size", size_mib), Written("hours", hours), Written("signal@duration", _warning)
LABEL, AMOUNT, ENDING = Written("label=value", label), Written("name=n", amount), Written("ending", ending)
DURATION, MOMENT, CLOCK = Written("duration", duration_seconds), Moment(), Clock()
VARIABLE, NEED = Variable(), Need()
SECRET = Written("variable=name", _secret)
DATA = Written("id", _data)
AGO, AHEAD = Written("time|duration", _ago), Written("time|duration", _ahead)
TEAM_ROLE, MEMBER_ROLE = Written("team=role", _team_role), Written("name=role", _member_role)
PAIR = Written("name=value", _pair)
SETTING, NODES = Written("path=value", _setting), Written("node=number", _nodes)
COUNT, GPU_HOURS = Limit(int), Limit(float)
JOB, NODE, TOKEN, TEAM, WINDOW = Name("job"), Name("node"), Name("token"), Name("team"), Name("window")
FAMILY, SCHEDULE, TRIGGER = Name("family"), Name("schedule"), Name("trigger")
RULE, CHANNEL = Name("rule"), Name("channel")
POOL, MACHINE = Name("pool"), Name("machine")


def _moment(text: str) -> datetime | None:
    try:
        if text.startswith("+"):
            return datetime.now(UTC) + timedelta(seconds=duration_seconds(text[1:]))
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None
