"""What the API reads: rows as plain mappings, in Core, and each list in an order that stays while rows come."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    TableValuedAlias,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    select,
)

from levare.errors import NotFound
from levare.model import BLOCKED, CANCELLED, FAILED, FINAL, LIVE, SUCCEEDED, SUCCESS, WAITING
from levare.store import arrays
from levare.store.tables import attempts, devices, jobs, metrics, needs, nodes

Row = Mapping[str, Any]

_INTERNAL = ("lane", "family", "losses", "cancelled_by", "array", "shunned")
_OF_ARRAY = ("array_size", "array_cap", "array_next")
_NEEDED = ("id", "created_at", "state", "attempt", "progress", "started_at", "cancel_requested_at", *_OF_ARRAY)
"""What is read of each job, whatever is asked for: its place in a list, and what the rest of it follows from."""
_UNTOLD: Row = dict.fromkeys(("progress_from", "left_seconds", "left_from"))
"""What `trends.with_left` says of some."""
_latest = and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt, attempts.c.rank == 0)
WITH_LATEST = jobs.outerjoin(attempts, _latest)
_JOB: Mapping[str, ColumnElement[Any]] = {
    **{column.name: column for column in jobs.c if column.name not in _INTERNAL},
    "node": case((jobs.c.state.not_in((BLOCKED, WAITING)), attempts.c.node)).label("node"),
    "failure": attempts.c.failure,
    "needs": exists().where(needs.c.job_id == jobs.c.id).label("has_needs"),  # most have none, and are not asked
}
_job_by_id = (  # built once, for building costs more than asking
    select(*_JOB.values()).select_from(WITH_LATEST).where(jobs.c.id == bindparam("job_id"))
)
_size_by_id = select(jobs.c.array_size).where(jobs.c.id == bindparam("job_id"))
_needs_of = select(needs).where(needs.c.job_id.in_(bindparam("jobs", expanding=True)))


def job(connection: Connection, job_id: str) -> Row:
    """The job with its needs and with the node of its latest attempt, while it is or after it was there."""
    found = jobs_of(connection, _job_by_id, {"job_id": job_id})
    if not found:
        raise _no_such_job(connection, job_id)
    return found[0]


def unknown_job(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id!r}.", "`levare jobs` lists them.")


def _no_such_job(connection: Connection, job_id: str) -> NotFound:
    array_id, index = arrays.array_of(job_id) or ("", 0)
    size = connection.execute(_size_by_id, {"job_id": array_id}).scalar()
    if size is None:
        return unknown_job(job_id)
    if index >= size:
        return NotFound(f"Array {array_id} has {size} elements; there is none of index {index}.", "The first is 0.")
    return NotFound(f"Element {index} of array {array_id} has not begun.", f"`levare why {array_id}` says why.")


def _arrays(rows: Iterable[Row]) -> list[str]:
    return [row["id"] for row in rows if row["array_size"] is not None]


def _add_array(row: dict[str, Any], counts: Mapping[str, Mapping[str, int]]) -> None:
    """Add how far its elements are, if it is an array; those that have not begun wait, or are cancelled."""
    size, cap, opened = row.pop("array_size"), row.pop("array_cap"), row.pop("array_next")
    row["array"] = None
    if size is None:
        return
    found = counts.get(row["id"], {})
    left = size - opened
    is_over = row["state"] in FINAL or row["cancel_requested_at"] is not None
    row["array"] = {
        "size": size,
        "cap": cap,
        "opened": opened,
        "waiting": found.get(WAITING, 0) + (0 if is_over else left),
        "running": sum(found.get(state, 0) for state in LIVE),
        "succeeded": found.get(SUCCEEDED, 0),
        "failed": found.get(FAILED, 0),
        "cancelled": found.get(CANCELLED, 0) + (left if is_over else 0),
    }


def array(connection: Connection, job_id: str) -> Row:
    """What tells the elements of an array apart, as a submit takes it."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
    if row is None:
        raise _no_such_job(connection, job_id)
    if row["array_size"] is None:
        raise NotFound(f"Job {job_id} is no array.", f"GET /v1/jobs/{job_id} says what it is.")
    made_of = {"grid": dict(row["array"].get("grid", ())) or None, "list": row["array"].get("list")}
    is_sweep = made_of["grid"] or made_of["list"]
    return {"size": None if is_sweep else row["array_size"], **made_of, "cap": row["array_cap"]}


def shown_needs(needed: Mapping[str, str]) -> list[str | Mapping[str, str]]:
    """Needs as a submit takes them: the bare id where the job has to succeed."""
    return [job if on == SUCCESS else {"job": job, "on": on} for job, on in sorted(needed.items())]


def new_job(row: Row, needed: Mapping[str, str]) -> Row:
    """What `job` gives for a row that has just been written."""
    shown = {name: value for name, value in row.items() if name not in _INTERNAL}
    shown |= {"node": None, "failure": None, "needs": shown_needs(needed), **_UNTOLD}
    _add_array(shown, {})
    return shown


def job_columns(names: Collection[str] | None) -> list[ColumnElement[Any]]:
    """The columns of these fields of a job, and those that every reader of jobs needs; None for all fields."""
    return [column for name, column in _JOB.items() if names is None or name in names or name in _NEEDED]


def jobs_of(connection: Connection, query: Any, values: Row) -> list[Row]:
    """The jobs that a query of `job_columns` finds, with what other tables say of them."""
    rows = _rows(connection, query, **values)
    needing = [row["id"] for row in rows if row.pop("has_needs", False)]
    needed = _needed(connection, needing) if needing else {}
    counts = arrays.counts_of(connection, _arrays(rows))
    for row in rows:
        row.update(_UNTOLD, needs=shown_needs(needed[row["id"]]) if row["id"] in needed else [])
        _add_array(row, counts)
    return [*rows]


def _needed(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for need in connection.execute(_needs_of, {"jobs": job_ids}):
        found[need.job_id][need.needed_id] = need.outcome
    return found


def job_attempts(connection: Connection, job_id: str) -> list[Row]:
    """Every attempt of a job, first to last and by rank, with the GPUs that it holds or held."""
    job(connection, job_id)
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number, attempts.c.rank)
    rows = _rows(connection, query)
    cards = _devices(connection, {uuid for row in rows for uuid in row["devices"]})
    return [{**row, "gpus": _gpus(row["devices"], cards)} for row in rows]


def attempt(connection: Connection, job_id: str, number: int | None, *, rank: int = 0) -> Row | None:
    """This attempt of a job, or its latest, and of a gang that rank; None only for the latest of a job without any."""
    latest = job(connection, job_id)["attempt"]
    wanted = attempts.c.number == (latest if number is None else number)
    found = _rows(connection, select(attempts).where(attempts.c.job_id == job_id, wanted).order_by(attempts.c.rank))
    if found and rank >= len(found):
        size = "one part, rank 0" if len(found) == 1 else f"ranks 0 to {len(found) - 1}"
        raise NotFound(f"Job {job_id} has {size}; there is no rank {rank}.", f"GET /v1/jobs/{job_id}/attempts.")
    if not found and number is not None:
        had = "no attempt yet" if not latest else f"attempts 1 to {latest}"
        raise NotFound(f"Job {job_id} has {had}; there is no attempt {number}.", f"GET /v1/jobs/{job_id}/attempts.")
    return found[rank] if found else None


def _devices(connection: Connection, uuids: Iterable[str]) -> Mapping[str, Row]:
    rows = _rows(connection, select(devices).where(devices.c.uuid.in_(list(uuids))))
    return {row["uuid"]: row for row in rows}


def models_of(connection: Connection, held: Mapping[str, int]) -> list[str]:
    """The models of the GPUs that an attempt holds or held, as far as they are known."""
    return sorted(card["model"] for card in _devices(connection, held).values()) if held else []


def _gpus(held: Mapping[str, int], cards: Mapping[str, Row]) -> list[Row]:
    """What an attempt holds of each GPU; of a GPU that has left its machine only that is known."""
    gone = {"index": None, "model": ""}
    gpus = [
        {"uuid": uuid, "index": card["index"], "model": card["model"], "memory_mib": mib}
        for uuid, mib in held.items()
        for card in (cards.get(uuid, gone),)
    ]
    return sorted(gpus, key=lambda gpu: (gpu["index"] is None, gpu["index"], gpu["uuid"]))


def find_nodes(connection: Connection, name: str | None = None) -> list[Row]:
    """The nodes, or the one of this name, with what is free and who holds the rest."""
    rows = _rows(connection, _of(select(nodes), nodes.c.name, name).order_by(nodes.c.name))
    cards = _rows(connection, _of(select(devices), devices.c.node, name).order_by(devices.c["index"]))
    live = select(attempts).where(attempts.c.state.in_(LIVE)).order_by(attempts.c.id)
    running = _rows(connection, _of(live, attempts.c.node, name))
    return [_whole_node(row, cards, [each for each in running if each["node"] == row["name"]]) for row in rows]


def node(connection: Connection, name: str) -> Row:
    found = find_nodes(connection, name)
    if not found:
        raise NotFound(f"There is no node {name!r}.", "`levare nodes` lists them.")
    return found[0]


def _of(query: Any, column: ColumnElement[str], name: str | None) -> Any:
    return query if name is None else query.where(column == name)


def _whole_node(row: Row, cards: Sequence[Row], running: Sequence[Row]) -> Row:
    return {
        **row,
        "cpus_free": row["cpus"] - sum(each["cpus"] for each in running),
        "memory_free_mib": row["memory_mib"] - sum(each["memory_mib"] for each in running),
        "scratch_free_mib": row["scratch_mib"] - sum(each["scratch_mib"] for each in running),
        "resources_free": {
            name: amount - sum(each["resources"].get(name, 0) for each in running)
            for name, amount in row["resources"].items()
        },
        "devices": [_whole_device(card, running) for card in cards if card["node"] == row["name"]],
        "attempts": [each["id"] for each in running],
    }


def _whole_device(card: Row, running: Sequence[Row]) -> Row:
    held = {each["id"]: each["devices"][card["uuid"]] for each in running if card["uuid"] in each["devices"]}
    return {**card, "free_mib": card["memory_mib"] - sum(held.values()), "attempts": list(held)}


def points(
    connection: Connection, attempt_id: str, *, stage: str | None, name: str | None, after: int, limit: int
) -> list[Row]:
    """Lines of an attempt's metrics file that begin beyond the offset `after`; with `name` only that metric of them."""
    query = _metrics(connection, select(metrics), attempt_id, stage, name).where(metrics.c.offset > after)
    rows = _rows(connection, query.order_by(metrics.c.offset).limit(limit))
    if name is None:
        return [*rows]
    return [{**row, "values": {name: row["values"][name]}} for row in rows]


def _metrics(connection: Connection, query: Any, attempt_id: str, stage: str | None, name: str | None) -> Any:
    query = query.where(metrics.c.attempt_id == attempt_id)
    if stage is not None:
        query = query.where(func.coalesce(metrics.c.stage, "") == stage)
    if name is not None:
        entries, _ = entries_of(connection)
        query = query.where(exists().select_from(entries).where(entries.c.key == name).correlate(metrics))
    return query


def entries_of(connection: Connection) -> tuple[TableValuedAlias, ColumnElement[Any]]:
    """The names and values of a row of metrics as a table, and the value where it is a finite number."""
    values = metrics.c["values"]
    if connection.dialect.name == "sqlite":
        entries = func.json_each(values).table_valued("key", "value", "type", joins_implicitly=True)
        return entries, case((entries.c.type.in_(("integer", "real")), entries.c.value))
    entries = func.jsonb_each(values).table_valued("key", "value", joins_implicitly=True)
    return entries, case((func.jsonb_typeof(entries.c.value) == "number", cast(entries.c.value, Float)))


def _rows(connection: Connection, query: Any, **values: Any) -> list[dict[str, Any]]:
    """Rows as dicts; to ask each row for its columns one by one would take twice as long."""
    found = connection.execute(query, values)
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found]
