"""What an attempt has failed by: found when it ends, kept with it, so that lists and reports need not look again."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select

from levare.decide.failures import Diagnosis, Facts, diagnose
from levare.model import CANCELLED, SUCCEEDED
from levare.store.tables_failures import failures

__all__ = ["Diagnosis", "Facts", "diagnose", "evidence_of", "is_failure", "keep"]


def is_failure(state: str) -> bool:
    """Whether an attempt that has ended so has failed by something; what was cancelled was wanted so."""
    return state not in (SUCCEEDED, CANCELLED)


def keep(connection: Connection, attempt_id: str, found: Diagnosis) -> None:
    """Write down what speaks for its class; to be done once, in the transaction of its ending."""
    evidence = [asdict(each) for each in found.evidence]
    connection.execute(_INSERT, {"attempt_id": attempt_id, "exception": found.exception, "evidence": evidence})


def evidence_of(connection: Connection, attempt_id: str) -> tuple[str | None, list[dict[str, Any]]]:
    """The type of the exception and the evidence; none of what ended where nobody could look."""
    row = connection.execute(select(failures).where(failures.c.attempt_id == attempt_id)).one_or_none()
    return (row.exception, list(row.evidence)) if row else (None, [])


_INSERT = insert(failures)
