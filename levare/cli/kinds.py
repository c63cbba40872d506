"""Values as people write them: sizes, durations, moments, variables; each refused with an example."""

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from levare.model import NEED_OUTCOMES, SUCCESS

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Size(click.ParamType):
    """`20GiB`, `20G` or `20480`: MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from levare.settings import size_mib

        try:
            return value if isinstance(value, int) else size_mib(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Duration(click.ParamType):
    """`90s`, `15m`, `2h`, `1d` or `1h30m`: whole seconds. A bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        seconds = value if isinstance(value, int) else _seconds(value)
        if seconds is None:
            self.fail(f"{value!r} is not a duration such as 90s, 15m, 2h or 1d.", param, ctx)
        return seconds


class Moment(click.ParamType):
    """An ISO 8601 time, of this machine's zone when it names none, or `+30m` from now; aware and in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        moment = value if isinstance(value, datetime) else _moment(value)
        if moment is None:
            self.fail(f"{value!r} is not a time such as 2030-12-24T20:00, or +30m.", param, ctx)
        return moment.astimezone(UTC)


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


class Name(click.ParamType):
    """The id of a job, or the name of a node or token; the shell completes it by asking the API."""

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


SIZE, DURATION, MOMENT, VARIABLE, NEED = Size(), Duration(), Moment(), Variable(), Need()
JOB, NODE, TOKEN = Name("job"), Name("node"), Name("token")


def _seconds(text: str) -> int | None:
    if text.isdecimal():
        return int(text)
    if not re.fullmatch(r"(?:\d+[smhdw])+", text):
        return None
    parts = re.findall(r"(\d+)([smhdw])", text)
    return sum(int(timedelta(**{_UNITS[unit]: int(number)}).total_seconds()) for number, unit in parts)


def _moment(text: str) -> datetime | None:
    try:
        if text.startswith("+"):
            seconds = _seconds(text[1:])
            return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None
