"""schedules, their fires, and revisions of what is declared"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Utc

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("schedule", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("trigger", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("due_at", Utc(), nullable=True))
        batch_op.create_index("ix_jobs_schedule", ["schedule", "state"])
        batch_op.create_index("ix_jobs_trigger", ["trigger", "state"])
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("paused_at", Utc(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("settled_to", Utc(), nullable=False),
        sa.Column("due_at", Utc(), nullable=True),
        sa.Column("fires_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_index("ix_schedules_fires_at", "schedules", ["fires_at"])
    op.create_table(
        "fires",
        sa.Column("schedule", sa.String(), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("until", Utc(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("pipeline", sa.String(), nullable=True),
        sa.Column("decided_at", Utc(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.CheckConstraint("outcome IN ('run', 'skipped')", name=op.f("ck_fires_outcome")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_fires_job_id")),
        sa.PrimaryKeyConstraint("schedule", "due_at", name=op.f("pk_fires")),
    )
    op.create_index("ix_fires_job_id", "fires", ["job_id"])
    op.create_index("ix_fires_decided_at", "fires", ["decided_at"])
    op.create_table(
        "revisions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_revisions")),
    )
    op.create_index("ix_revisions_at", "revisions", ["at"])
    op.create_table(
        "changes",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["revision"], ["revisions.number"], name=op.f("fk_changes_revision")),
        sa.PrimaryKeyConstraint("revision", "kind", "name", name=op.f("pk_changes")),
    )
    op.create_index("ix_changes_object", "changes", ["kind", "name", "revision"])
