"""what requests with an idempotency key were answered, and every change of a state as news, by triggers"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Utc

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_CHANGES = {
    "jobs": ("UPDATE OF state", "OLD.state <> NEW.state", "'job', NEW.id, NEW.team, OLD.state, NEW.state"),
    "nodes": ("UPDATE OF state", "OLD.state <> NEW.state", "'node', NEW.name, NULL, OLD.state, NEW.state"),
    "alerts": (
        "UPDATE OF ended_at",
        "OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL",
        "'alert', CAST(NEW.number AS TEXT), NEW.team, 'open', 'ended'",
    ),
}
_BEGINNINGS = {
    "jobs": "'job', NEW.id, NEW.team, NULL, NEW.state",
    "nodes": "'node', NEW.name, NULL, NULL, NEW.state",
    "alerts": "'alert', CAST(NEW.number AS TEXT), NEW.team, NULL, 'open'",
    "events": "'event', CAST(NEW.number AS TEXT), NULL, NULL, 'received'",
}
_INTO = "INSERT INTO news (mark, at, kind, name, team, before, after) VALUES"
_SQLITE_NOW = "0, strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_POSTGRESQL_NOW = "pg_current_xact_id()::text::bigint, clock_timestamp()"


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_answers")),
    )
    op.create_index("ix_answers_age", "answers", ["created_at"])
    op.drop_table("idempotency")
    op.create_table(
        "news",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_news")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_news_place", "news", ["mark", "number"])
    op.create_index("ix_news_age", "news", ["at"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, what in _BEGINNINGS.items():
        _tell(f"news_of_new_{table}", f"INSERT ON {table}", "", what, is_sqlite=is_sqlite)
    for table, (change, when, what) in _CHANGES.items():
        _tell(f"news_of_{table}", f"{change} ON {table}", f"WHEN ({when})", what, is_sqlite=is_sqlite)


def _tell(name: str, change: str, when: str, what: str, *, is_sqlite: bool) -> None:
    """A trigger that writes a row of news. A migration that copies one of the tables on SQLite has to make it anew."""
    if is_sqlite:
        op.execute(f"CREATE TRIGGER {name} AFTER {change} {when} BEGIN {_INTO} ({_SQLITE_NOW}, {what}); END")
        return
    body = f"BEGIN {_INTO} ({_POSTGRESQL_NOW}, {what}); RETURN NULL; END"
    op.execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    op.execute(f"CREATE TRIGGER {name} AFTER {change} FOR EACH ROW {when} EXECUTE FUNCTION {name}()")
