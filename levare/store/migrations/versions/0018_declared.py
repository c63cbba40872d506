"""all that is declared under revisions: teams, windows and templates too, one head, a lock, and what a plan is"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from levare.decide.plan import NOTHING, digest_after
from levare.model.changes import Change
from levare.store.types import Utc

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COUNTS = ("created", "updated", "removed")
_LONG_AGO = "1970-01-01 00:00:00"
_PERIOD_SECONDS = 30 * 24 * 3600
_USUAL_QUOTA = {"borrow": True, "period_seconds": _PERIOD_SECONDS}
_REASON = "As it was declared before this was kept in revisions."


def upgrade() -> None:
    _tell_more_of_revisions()
    _declare("teams", changed_at="updated_at")
    _declare("windows", changed_at=None)
    for name in ("job_templates", "pipeline_templates"):
        op.create_table(
            name,
            sa.Column("name", sa.String(), nullable=False),
            sa.Column("definition", sa.JSON(), nullable=False),
            sa.Column("revision", sa.Integer(), nullable=False),
            sa.Column("owner", sa.String(), nullable=False),
            sa.Column("changed_at", Utc(), nullable=False),
            sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{name}")),
        )
    op.create_table(
        "declared_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("lock_id", sa.String(), nullable=True),
        sa.Column("lock_owner", sa.String(), nullable=True),
        sa.Column("lock_reason", sa.Text(), nullable=True),
        sa.Column("locked_at", Utc(), nullable=True),
        sa.Column("locked_until", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_declared_head")),
    )
    _take_over()


def _tell_more_of_revisions() -> None:
    """Column by column: to make the table anew would leave its changes without it for a moment, which SQLite forbids."""
    for column in (
        sa.Column("origin", sa.String(), nullable=False, server_default="edit"),
        sa.Column("plan", sa.String(), nullable=True),
        sa.Column("commit", sa.String(), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False, server_default=NOTHING),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in _COUNTS),
    ):
        op.add_column("revisions", column)
    op.create_index("ix_revisions_plan", "revisions", ["plan"])
    op.create_index("ix_revisions_origin", "revisions", ["origin", "number"])


def _declare(table: str, *, changed_at: str | None) -> None:
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(sa.Column("definition", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("owner", sa.String(), nullable=False, server_default=""))
        if changed_at:
            batch_op.alter_column(changed_at, new_column_name="changed_at")
        else:
            batch_op.add_column(sa.Column("changed_at", Utc(), nullable=False, server_default=_LONG_AGO))


def _take_over() -> None:
    """Bring what was declared without a revision under one, and the digests of all revisions up to date."""
    connection = op.get_bind()
    digest, number = _digests(connection)
    found = [*_of_teams(connection), *_of_windows(connection), *_of_pauses(connection)]
    if found:
        number, digest = number + 1, digest_after(digest, found)
        made = {"number": number, "at": datetime.now(UTC), "by": "levare", "source": "", "reason": _REASON}
        created = sum(each.before is None for each in found)
        counts = {"created": created, "updated": len(found) - created, "removed": 0}
        connection.execute(sa.insert(_revisions), made | counts | {"origin": "edit", "digest": digest})
        connection.execute(sa.insert(_changes), [{"revision": number, **vars(each)} for each in found])
    for each in found:
        table = {"team": _teams, "window": _windows}.get(each.kind)
        if table is not None:
            values = {"definition": each.after, "revision": number}
            connection.execute(sa.update(table).where(table.c.name == each.name).values(values))
    if number:
        connection.execute(sa.insert(_head), {"id": 1, "revision": number, "digest": digest})


def _digests(connection: sa.Connection) -> tuple[str, int]:
    digest, number = NOTHING, 0
    for (number,) in connection.execute(sa.select(_revisions.c.number).order_by(_revisions.c.number)).all():
        columns = (_changes.c.kind, _changes.c.name, _changes.c.before, _changes.c.after)
        rows = connection.execute(sa.select(*columns).where(_changes.c.revision == number)).all()
        changed = [Change(*row) for row in rows]
        digest = digest_after(digest, changed)
        created = sum(each.before is None for each in changed)
        removed = sum(each.after is None for each in changed)
        counts = {"created": created, "removed": removed, "updated": len(changed) - created - removed}
        connection.execute(sa.update(_revisions).where(_revisions.c.number == number).values(digest=digest, **counts))
    return digest, number


def _of_teams(connection: sa.Connection) -> Iterator[Change]:
    for row in connection.execute(sa.select(_teams)).mappings().all():
        found = {"weight": row["weight"]} if row["weight"] != 1 else {}
        quota = _said(_decoded(row["quota"]))
        found |= {"quota": quota} if quota else {}
        for part in ("projects", "users"):
            quotas = {name: _said(each) for name, each in _decoded(row[part]).items()}
            found |= {part: quotas} if quotas else {}
        yield Change("team", row["name"], None, found)


def _of_windows(connection: sa.Connection) -> Iterator[Change]:
    for row in connection.execute(sa.select(_windows)).mappings().all():
        times = {name: f"{row[name].replace(tzinfo=None).isoformat()}Z" for name in ("starts", "ends")}
        whom = {name: row[name] for name in ("team", "user", "reason") if row[name]}
        yield Change("window", row["name"], None, {"nodes": sorted(_decoded(row["nodes"])), **times, **whom})


def _of_pauses(connection: sa.Connection) -> Iterator[Change]:
    for kind in ("schedule", "trigger", "alert_rule"):
        table = _pausable(f"{kind}s")
        for row in connection.execute(sa.select(table).where(table.c.paused_at.is_not(None))).mappings().all():
            yield Change(kind, row["name"], row["definition"], {**row["definition"], "paused": True})


def _said(quota: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in quota.items() if value != _USUAL_QUOTA.get(name)}


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _table(table: str, /, **columns: Any) -> sa.TableClause:
    return sa.table(table, *(sa.column(key, kind) for key, kind in columns.items()))


def _pausable(name: str) -> sa.TableClause:
    return _table(name, name=sa.String(), definition=sa.JSON(), paused_at=Utc())


_TEXT, _JSON, _INTEGER = sa.String(), sa.JSON(), sa.Integer()
_teams = _table(
    "teams", name=_TEXT, weight=sa.Float(), quota=None, projects=None, users=None, definition=_JSON, revision=_INTEGER
)
_windows = _table(
    "windows",
    name=_TEXT,
    nodes=None,
    starts=Utc(),
    ends=Utc(),
    team=_TEXT,
    user=_TEXT,
    reason=_TEXT,
    definition=_JSON,
    revision=_INTEGER,
)
_revisions = _table(
    "revisions",
    number=_INTEGER,
    at=Utc(),
    by=_TEXT,
    source=_TEXT,
    reason=_TEXT,
    origin=_TEXT,
    digest=_TEXT,
    created=_INTEGER,
    updated=_INTEGER,
    removed=_INTEGER,
)
_changes = _table("changes", revision=_INTEGER, kind=_TEXT, name=_TEXT, before=_JSON, after=_JSON)
_head = _table("declared_head", id=_INTEGER, revision=_INTEGER, digest=_TEXT)
