"""Files that are watched: which are new or changed since they were last seen, and have been still since."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CREATED, CHANGED = "created", "changed"
FILE_EVENTS = (CREATED, CHANGED)


@dataclass(frozen=True)
class Print:
    """What tells one content of a file from another without reading it."""

    size: int
    mtime_ns: int
    inode: int

    def __str__(self) -> str:
        return f"{self.size}-{self.mtime_ns}-{self.inode}"


@dataclass(frozen=True)
class Seen:
    """A file as it was last seen: so since `since`; `news` is what has to be told once it is still."""

    mark: Print
    since: datetime
    news: str | None = None


def look(
    before: Mapping[str, Seen],
    found: Mapping[str, Print],
    *,
    quiet: timedelta,
    is_first: bool,
    now: datetime,
) -> tuple[dict[str, Seen], dict[str, str]]:
    """
    All files as they are known from now on, and path -> what is told of it now.

    What is there at the first look is not news. A file that goes is forgotten: if it comes back it is created.
    """
    seen = {path: _seen(before.get(path), mark, is_first=is_first, now=now) for path, mark in found.items()}
    still = {path: each.news for path, each in seen.items() if each.news and now - each.since >= quiet}
    return {path: replace(each, news=None) if path in still else each for path, each in seen.items()}, still


def _seen(before: Seen | None, mark: Print, *, is_first: bool, now: datetime) -> Seen:
    if before is None:
        return Seen(mark, now, None if is_first else CREATED)
    if before.mark != mark:
        return Seen(mark, now, before.news or CHANGED)
    return replace(before, since=min(before.since, now))
