"""The five fields of a cron expression: what each may hold, and errors that say so."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from levare.errors import Fault, InvalidSchedule

MACROS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(5)
"""The places of the fields."""

_NUMBER = re.compile(r"[0-9]{1,4}")
_MOST_WEEKS = 5
"""In one month, so the highest number after `#`."""


@dataclass(frozen=True)
class Kind:
    """What one of the five fields may hold: numbers within limits, words for them, signs of its own."""

    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()
    signs: str = ""

    def refuse(self, value: str, allowed: str = "") -> InvalidSchedule:
        """The error for a value, with what is allowed instead."""
        allowed = allowed or self.allowed
        fault = Fault(f"cron.{self.name}", f"{value!r} is not allowed here", value, allowed)
        return InvalidSchedule(
            f"The {self.name} of a cron expression cannot be {value!r}.", f"Give {allowed}.", [fault]
        )

    @property
    def allowed(self) -> str:
        words = f", {self.words[0]} to {self.words[-1]}" if self.words else ""
        return f"{self.least} to {self.most}{words}, *, ranges (a-b), steps (*/n) or lists (a,b){self.signs}"


KINDS = (
    Kind("minute", 0, 59),
    Kind("hour", 0, 23),
    Kind("day of month", 1, 31, signs=", or L for the last day and LW for the last from Monday to Friday"),
    Kind("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    Kind(
        "day of week",
        0,
        7,
        ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"),
        ", or 5L for the last Friday and MON#2 for the second Monday of a month",
    ),
)


@dataclass(frozen=True)
class Item:
    """One part of a list: its numbers, how many apart, and how cronsim writes it. A sign such as L has no numbers."""

    text: str
    values: frozenset[int] = frozenset()
    step: int = 1


@dataclass(frozen=True)
class Field:
    """One field, understood."""

    kind: Kind
    items: tuple[Item, ...]

    @property
    def text(self) -> str:
        """As cronsim reads it: without names."""
        return ",".join(item.text for item in self.items)

    @property
    def star(self) -> bool:
        """Whether it begins with a star, which is what Debian's cron looks at."""
        return self.text.startswith("*")

    @property
    def values(self) -> frozenset[int]:
        """Its numbers, without signs such as L."""
        return frozenset().union(*(item.values for item in self.items))

    @property
    def signs(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not item.values)


def parse(text: str) -> tuple[Field, ...]:
    """The five fields of an expression or a macro; InvalidSchedule names the field, the value and what is allowed."""
    words = _expanded(text.strip().upper()).split()
    if len(words) != len(KINDS):
        raise _miscounted(text, len(words))
    return tuple(parse_field(kind, word) for kind, word in zip(KINDS, words, strict=True))


def parse_field(kind: Kind, text: str) -> Field:
    return Field(kind, tuple(_item(kind, part) for part in text.split(",")))


def _expanded(text: str) -> str:
    if not text.startswith("@"):
        return text
    if text == "@REBOOT":
        raise _refused(
            text, "is not of one machine, so its start is no time to be due", "Give a time, such as @hourly."
        )
    if text not in MACROS:
        near = get_close_matches(text, MACROS, n=1) or [*MACROS]
        raise _refused(text, "knows no such macro", f"Give {' or '.join(near).lower()}.")
    return MACROS[text]


def _refused(text: str, why: str, next_step: str) -> InvalidSchedule:
    fault = Fault("cron", f"{text.lower()} is not allowed here", text.lower(), " ".join(MACROS).lower())
    return InvalidSchedule(f"{text.lower()}: a schedule {why}.", next_step, [fault])


def _miscounted(text: str, count: int) -> InvalidSchedule:
    names = ", ".join(kind.name for kind in KINDS)
    hint = " Seconds are for intervals." if count == len(KINDS) + 1 else ""
    fault = Fault("cron", f"{count} fields", text, len(KINDS))
    return InvalidSchedule(f"{text!r} has {count} fields and not {len(KINDS)}.", f"Give {names}.{hint}", [fault])


def _item(kind: Kind, part: str) -> Item:
    sign = _sign(kind, part)
    if sign:
        return Item(sign)
    span, slash, step = part.partition("/")
    first, last, written = _span(kind, span)
    apart = _step(kind, part, step) if slash else 1
    if slash and not ("-" in span or span == "*"):
        last = kind.most
    values = frozenset(range(first, last + 1, apart))
    if len(values) == 1:
        return Item(str(first), values)  # cronsim reads 5-5/10 as 5/10
    return Item(f"{written}/{apart}" if slash else written, values, apart)


def _sign(kind: Kind, part: str) -> str:
    """L, LW, 5L or 1#2 where the field knows them, else nothing."""
    if kind is KINDS[DAY]:
        return part if part in ("L", "LW") else ""
    if kind is not KINDS[WEEKDAY]:
        return ""
    day, mark, week = part.partition("#")
    if mark:
        return f"{_number(kind, day, part)}#{_week(kind, part, week)}"
    return f"{_number(kind, part[:-1], part)}L" if part.endswith("L") and part != "L" else ""


def _week(kind: Kind, part: str, week: str) -> int:
    if not _NUMBER.fullmatch(week) or not 1 <= int(week) <= _MOST_WEEKS:
        raise kind.refuse(part, f"1 to {_MOST_WEEKS} after #, such as MON#2")
    return int(week)


def _span(kind: Kind, text: str) -> tuple[int, int, str]:
    """First and last of a star, a number or a range, and how cronsim writes it."""
    if text == "*":
        return kind.least, kind.most, text
    low, dash, high = text.partition("-")
    first = _number(kind, low, text)
    if not dash:
        return first, first, str(first)
    last = _number(kind, high, text)
    if kind is KINDS[WEEKDAY] and last == 0 < first:
        last = kind.most  # FRI-SUN: Sunday is 7 where it ends a range
    if last < first:
        raise kind.refuse(
            text, f"a range that goes up; one that goes round is two: {low}-{kind.most},{kind.least}-{high}"
        )
    return first, last, f"{first}-{last}"


def _number(kind: Kind, word: str, part: str) -> int:
    if word in kind.words:
        return kind.words.index(word) + kind.least
    if not _NUMBER.fullmatch(word) or not kind.least <= int(word) <= kind.most:
        raise kind.refuse(part, "* for any" if part == "?" else "")
    return int(word)


def _step(kind: Kind, part: str, step: str) -> int:
    """Longer steps than the field are refused: `*/90` minutes would be every hour, which nobody means."""
    most = kind.most - kind.least
    if not _NUMBER.fullmatch(step) or not 1 <= int(step) <= most:
        raise kind.refuse(part, f"a step of 1 to {most}; for any other an interval, such as every 90 minutes")
    return int(step)
