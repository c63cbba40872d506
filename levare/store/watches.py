"""Files that triggers watch: who watches what, how each was last seen, and what is told of it, each once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, bindparam, delete, select

from levare.decide.declared import FILES, Files, Trigger, declared
from levare.decide.files import Print, Seen
from levare.decide.happenings import of_file
from levare.store import activations, triggers
from levare.store.tables_triggers import triggers as triggers_table
from levare.store.tables_triggers import watched, watches
from levare.store.upsert import upsert

BEAT = ""
"""Who watches what no node is named for."""


@dataclass(frozen=True)
class Watch:
    """The files that a trigger is about."""

    trigger: Trigger
    files: Files
    digest: str
    """Of what is watched and since when it is declared so: what was known of something else is of no use."""


@dataclass(frozen=True)
class Known:
    """What is known of the files of a watch; nothing at the first look."""

    seen: Mapping[str, Seen]
    is_first: bool


@dataclass(frozen=True)
class Looked:
    """All files as they are known after a look, what is told of some of them, and what was in the way."""

    seen: Mapping[str, Seen]
    told: Mapping[str, str]
    problem: str | None


def of(connection: Connection, node: str) -> list[Watch]:
    """What this node has to watch, or beat."""
    found = list[Watch]()
    for row in connection.execute(_OF_FILES):
        trigger = declared(row.name, row.definition)
        if isinstance(trigger.when, Files) and (trigger.when.node or BEAT) == node:
            found.append(Watch(trigger, trigger.when, _digest(row.definition["when"], row.begun_at)))
    return found


def known(connection: Connection, watch: Watch) -> Known:
    """How its files were last seen, by whoever looked."""
    digest = connection.execute(_DIGEST, {"of_trigger": watch.trigger.name}).scalar_one_or_none()
    if digest != watch.digest:
        return Known({}, is_first=True)
    rows = connection.execute(_SEEN, {"of_trigger": watch.trigger.name})
    seen = {row.path: Seen(Print(row.size, row.mtime_ns, int(row.inode)), row.since, row.news) for row in rows}
    return Known(seen, is_first=False)


def keep(connection: Connection, watch: Watch, before: Known, looked: Looked, *, node: str, now: datetime) -> bool:
    """
    Write what has changed and record what is told of it, in one transaction; return whether there was any to tell.

    False, and nothing is written, if the trigger has been removed or declared otherwise since.
    """
    row = triggers.locked(connection, watch.trigger.name)
    if row is None or _digest(row.definition["when"], row.begun_at) != watch.digest:
        return False
    after = looked.seen
    _write(connection, watch, before, after)
    told = {"node": node, "digest": watch.digest, "scanned_at": now, "files": len(after), "problem": looked.problem}
    _WATCH.run(connection, [{"trigger": watch.trigger.name, **told}])
    happened = [of_file(path, after[path].mark, news, node=node, at=now) for path, news in looked.told.items()]
    recorded = activations.record(connection, watch.trigger, happened, now=now)
    if recorded:
        triggers.wake(connection, watch.trigger.name, now)
    return recorded > 0


def _write(connection: Connection, watch: Watch, before: Known, after: Mapping[str, Seen]) -> None:
    name = watch.trigger.name
    gone = [path for path in before.seen if path not in after]
    if before.is_first:
        connection.execute(_FORGET_ALL, {"of_trigger": name})
    elif gone:
        connection.execute(_FORGET, [{"of_trigger": name, "of_path": path} for path in gone])
    changed = {path: seen for path, seen in after.items() if before.seen.get(path) != seen}
    _PUT.run(connection, [_row(name, path, seen) for path, seen in changed.items()])


def _row(trigger: str, path: str, seen: Seen) -> dict[str, object]:
    mark = {"size": seen.mark.size, "mtime_ns": seen.mark.mtime_ns, "inode": str(seen.mark.inode)}
    return {"trigger": trigger, "path": path, **mark, "since": seen.since, "news": seen.news}


def _digest(when: Mapping[str, object], begun_at: datetime) -> str:
    return sha256(json.dumps([when, begun_at.isoformat()], sort_keys=True).encode()).hexdigest()


_OF_FILES = (
    select(triggers_table.c.name, triggers_table.c.definition, triggers_table.c.begun_at)
    .where(triggers_table.c.kind == FILES)
    .order_by(triggers_table.c.name)
)
_DIGEST = select(watches.c.digest).where(watches.c.trigger == bindparam("of_trigger"))
_SEEN = select(watched).where(watched.c.trigger == bindparam("of_trigger"))
_FORGET_ALL = delete(watched).where(watched.c.trigger == bindparam("of_trigger"))
_FORGET = delete(watched).where(watched.c.trigger == bindparam("of_trigger"), watched.c.path == bindparam("of_path"))
_PUT = upsert(watched, replacing=("size", "mtime_ns", "inode", "since", "news"))
_WATCH = upsert(watches, replacing=("node", "digest", "scanned_at", "files", "problem"))
