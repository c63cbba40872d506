"""A job once more: its request, pinned to what one of its runs had, and what of that is not known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.errors import Conflict, Fault
from levare.store import arrays, provenance, views
from levare.store.jobs import Submission
from levare.store.tables import jobs, needs

Row = Mapping[Any, Any]

_SHOWN = 3
_COMPUTES = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV")
"""What a run had of its worker's environment and gets again; the rest of it is the node's own."""
_NOT_AGAIN = ("pipeline", "step", "schedule", "trigger", "due_at", "start_after", "rerun")


@dataclass(frozen=True)
class Missing:
    """`what` is attempt, code, untracked, dependencies, interpreter, seed, data or inputs; `why` is a sentence."""

    what: str
    why: str


@dataclass(frozen=True)
class Again:
    """A wish to repeat a run, and all that stands against its being exact."""

    wish: Submission
    attempt: str | None
    missing: list[Missing]

    @property
    def restores_code(self) -> bool:
        return bool(self.wish.rerun and self.wish.rerun["code"])

    def refuse_missing(self) -> None:
        """Raise Conflict if anything is."""
        if self.missing:
            faults = [Fault(each.what, each.why) for each in self.missing]
            raise Conflict(
                f"{self.attempt or 'It'} cannot be repeated exactly: {self.missing[0].why}",
                "Without `strict` the rest is repeated, and what is missing is taken as it is now.",
                faults,
            )


def again(
    connection: Connection, job_id: str, *, number: int | None, pinned: bool, strict: bool, now: datetime
) -> Again:
    """The request of a job; unless it is not to be pinned, with the code and environment of its attempt `number`."""
    views.job(connection, job_id)
    row = {**connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()}
    wish = _wish(connection, row, now)
    if not pinned:
        return Again(wish, None, [])
    if wish.array:
        why = "An array has no run of its own: its elements are repeated as they are now; rerun one of them instead."
        return Again(wish, None, [Missing("attempt", why)])
    attempt = views.attempt(connection, job_id, number)
    if attempt is None:
        return Again(wish, None, [Missing("attempt", f"Job {job_id} has had no attempt, so nothing is pinned.")])
    return _pinned(connection, row, wish, attempt["id"], strict=strict)


def _pinned(connection: Connection, row: Row, wish: Submission, attempt: str, *, strict: bool) -> Again:
    """What repeats the code of a run is itself repeated from that run: its own code lies in a folder that may go."""
    if row["rerun"] and row["rerun"]["code"]:
        attempt = row["rerun"]["attempt"]
    found = provenance.of_attempt(connection, attempt)
    missing = list(missing_of(row, found, attempt))
    rerun = {"attempt": attempt, "code": _is_whole(found.get("code")), "strict": strict}
    kept = {name: value for name, value in found.get("environment", {}).items() if _matters(name)}
    return Again(_with(wish, env={**kept, **wish.env}, rerun=rerun), attempt, missing)


def _matters(name: str) -> bool:
    return name in _COMPUTES or name.startswith("LC_")


def _wish(connection: Connection, row: Row, now: datetime) -> Submission:
    """What was asked for; a deadline that has passed cannot be kept."""
    own = {field.name: row[field.name] for field in fields(Submission) if field.name in row}
    needed = connection.execute(select(needs).where(needs.c.job_id == row["id"]))
    deadline = row["deadline"] if row["deadline"] and row["deadline"] > now else None
    array = arrays.elements_of(row) if row["array_size"] is not None else None
    return Submission(
        **{
            **{name: value for name, value in own.items() if name not in _NOT_AGAIN},
            "needs": {each.needed_id: each.outcome for each in needed},
            "deadline": deadline,
            "array": array,
        }
    )


def _with(wish: Submission, **changed: Any) -> Submission:
    return Submission(**{**vars(wish), **changed})


def _is_whole(code: Row | None) -> bool:
    """Whether all that git knows of it is pinned."""
    return bool(code and code.get("dirty") is not None and _patch_is_kept(code))


def _patch_is_kept(code: Row) -> bool:
    return not code["dirty"] or code.get("patch_kept", False)


def missing_of(row: Row, found: Row, attempt: str) -> Iterator[Missing]:
    """What of a run is not pinned, or could not be restored."""
    if not found:
        yield Missing(
            "attempt", f"The node told nothing of {attempt}: it ended too soon, or ran before pins were kept."
        )
        return
    for each in found.get("missing", ()):
        yield Missing(each["what"], each["why"])
    yield from _of_code(found.get("code") or {})
    for folder in found.get("editable", ()):
        yield Missing("dependencies", f"{folder} is installed as it stands: what it holds now is imported from there.")
    yield from _of_wish(row)


def _of_code(code: Row) -> Iterator[Missing]:
    if code.get("dirty") and not _patch_is_kept(code):
        yield Missing("code", f"Its uncommitted changes have {code.get('diff_bytes')} bytes, too many to be kept.")
    if code.get("submodules"):
        yield Missing("code", "Its checkout has submodules, which are not restored.")
    count, names = code.get("untracked") or 0, code.get("untracked_names", [])
    if count:
        shown = ", ".join(names[:_SHOWN]) + (", ..." if count > _SHOWN else "")
        yield Missing("untracked", f"Git did not know {count} of its files or folders, which are not kept: {shown}.")


def _of_wish(row: Row) -> Iterator[Missing]:
    if "LEVARE_SEED" not in row["env"] and not any(name.lower() == "seed" for name in row["parameters"]):
        yield Missing("seed", "No seed was declared: `levare submit --seed N` sets LEVARE_SEED.")
    if "LEVARE_DATA" not in row["env"]:
        yield Missing("data", "No data was declared: `levare submit --data imagenet@v3` names it.")
    if row["pipeline"]:
        yield Missing(
            "inputs",
            f"It was step {row['step']} of pipeline {row['pipeline']}: what other steps left it is not passed on.",
        )
