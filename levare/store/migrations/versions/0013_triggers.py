"""triggers, what happened to them, events, and files that are watched"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("received_at", Utc(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
    )
    op.create_index("ix_events_digest", "events", ["digest"], unique=True)
    op.create_index("ix_events_received", "events", ["received_at", "number"])
    op.create_index("ix_events_type", "events", ["type", "received_at"])
    op.create_index(
        "ix_events_unsettled",
        "events",
        ["number"],
        sqlite_where=sa.text("NOT settled"),
        postgresql_where=sa.text("NOT settled"),
    )
    op.create_table(
        "triggers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("begun_at", Utc(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("paused_at", Utc(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("wakes_at", Utc(), nullable=True),
        sa.Column("state", Json, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("problem_at", Utc(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('event', 'files', 'ended', 'metric', 'resource', 'absence')", name=op.f("ck_triggers_kind")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_triggers")),
    )
    op.create_index(op.f("ix_triggers_kind"), "triggers", ["kind"])
    op.create_index("ix_triggers_wakes_at", "triggers", ["wakes_at"])
    op.create_table(
        "watched",
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.String(), nullable=False),
        sa.Column("since", Utc(), nullable=False),
        sa.Column("news", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("trigger", "path", name=op.f("pk_watched")),
    )
    op.create_table(
        "watches",
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scanned_at", Utc(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("trigger", name=op.f("pk_watches")),
    )
    op.create_table(
        "activations",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("same", sa.Text(), nullable=True),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("pipeline", sa.String(), nullable=True),
        sa.Column("decided_at", Utc(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.CheckConstraint("outcome IN ('run', 'held', 'pending')", name=op.f("ck_activations_outcome")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_activations_job_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_activations")),
    )
    op.create_index("ix_activations_at", "activations", ["trigger", "at", "number"])
    op.create_index(op.f("ix_activations_job_id"), "activations", ["job_id"])
    op.create_index("ix_activations_key", "activations", ["trigger", "key"], unique=True)
    op.create_index("ix_activations_outcome", "activations", ["trigger", "outcome", "decided_at"])
    op.create_index("ix_activations_same", "activations", ["trigger", "same"])
    op.create_table(
        "endings",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_endings_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_endings")),
    )
