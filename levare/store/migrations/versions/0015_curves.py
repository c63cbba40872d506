"""what metrics came to, and how far an attempt is"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "summaries",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("finite", sa.BigInteger(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("least", sa.Float(), nullable=True),
        sa.Column("least_step", sa.Integer(), nullable=True),
        sa.Column("greatest", sa.Float(), nullable=True),
        sa.Column("greatest_step", sa.Integer(), nullable=True),
        sa.Column("last", sa.Float(), nullable=True),
        sa.Column("last_word", sa.String(), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=True),
        sa.Column("last_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_summaries_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", "stage", "name", name=op.f("pk_summaries")),
    )
    op.create_table(
        "courses",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.Float(), nullable=True),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("begun", sa.Float(), nullable=True),
        sa.Column("begun_at", Utc(), nullable=True),
        sa.Column("told_at", Utc(), nullable=True),
        sa.Column("params", Json, nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("window", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_courses_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_courses")),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(_SUMMARIES.format(**(_SQLITE if is_sqlite else _POSTGRESQL)))
    op.execute("INSERT INTO courses (attempt_id, params, kept) SELECT id, '{}', points FROM attempts WHERE points > 0")


_SQLITE = {
    "entries": 'json_each(metrics."values") AS e',
    "value": "CASE WHEN e.type IN ('integer', 'real') THEN e.value END",
    "word": "CASE WHEN e.type = 'text' THEN e.value END",
}
_POSTGRESQL = {
    "entries": 'LATERAL jsonb_each(metrics."values") AS e',
    "value": "CASE WHEN jsonb_typeof(e.value) = 'number' THEN CAST(e.value AS double precision) END",
    "word": "CASE WHEN jsonb_typeof(e.value) = 'string' THEN e.value #>> '{}' END",
}
# What was told before: the steps of extremes are not looked for.
_SUMMARIES = """
INSERT INTO summaries (attempt_id, stage, name, count, finite, mean, least, greatest, last, last_word, last_step, last_at)
WITH told AS (
    SELECT metrics.attempt_id, coalesce(metrics.stage, '') AS stage, e.key AS name, metrics.step, metrics.at,
        {value} AS value, {word} AS word,
        row_number() OVER (
            PARTITION BY metrics.attempt_id, coalesce(metrics.stage, ''), e.key ORDER BY metrics."offset" DESC
        ) AS back
    FROM metrics, {entries}
)
SELECT attempt_id, stage, name, count(*), count(value), coalesce(avg(value), 0), min(value), max(value),
    max(CASE WHEN back = 1 THEN value END), max(CASE WHEN back = 1 THEN word END),
    max(CASE WHEN back = 1 THEN step END), max(CASE WHEN back = 1 THEN at END)
FROM told GROUP BY attempt_id, stage, name
"""
