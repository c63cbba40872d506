"""scheduling: requests, sharing, history, decisions"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _add_tables()
    _add_columns()
    _extend_jobs()


def _add_tables() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decisions_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_decisions_job_id"), ["job_id"], unique=False)

    op.create_table(
        "families",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("seconds", Json, nullable=False),
        sa.Column("fast_failures", sa.Integer(), nullable=False),
        sa.Column("held_until", Utc(), nullable=True),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_families")),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("quota", Json, nullable=False),
        sa.Column("projects", Json, nullable=False),
        sa.Column("users", Json, nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_teams_weight")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_teams")),
    )
    op.create_table(
        "use",
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("use", sa.Float(), nullable=False),
        sa.Column("as_of", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("team", "project", "user", name=op.f("pk_use")),
    )
    op.create_table(
        "use_days",
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("team", "project", "user", "day", name=op.f("pk_use_days")),
    )
    op.create_table(
        "windows",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("nodes", Json, nullable=False),
        sa.Column("starts", Utc(), nullable=False),
        sa.Column("ends", Utc(), nullable=False),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("user", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_windows")),
    )
    with op.batch_alter_table("windows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_windows_ends"), ["ends"], unique=False)


def _add_columns() -> None:
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rank", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("scratch_mib", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("resources", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("preempted_at", Utc(), nullable=True))
        batch_op.add_column(sa.Column("preempted_for", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("safe_at", Utc(), nullable=True))
        batch_op.drop_index(batch_op.f("ix_attempts_job"))
        batch_op.create_index("ix_attempts_job", ["job_id", "number", "rank"], unique=True)

    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("excluded_until", Utc(), nullable=True))
        batch_op.add_column(sa.Column("excluded_reason", sa.Text(), nullable=True))

    with op.batch_alter_table("needs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("outcome", sa.String(), nullable=False, server_default="success"))

    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scratch_mib", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("resources", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("address", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("excluded_until", Utc(), nullable=True))
        batch_op.add_column(sa.Column("excluded_reason", sa.Text(), nullable=True))


def _extend_jobs() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scratch_mib", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("gpu_model", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("resources", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("require", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("prefer", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("avoid", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("nodes", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("spread", sa.Boolean(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("family", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("lane", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("retry_on", Json, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("backoff_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("memory_growth", sa.Float(), nullable=False, server_default="1.0"))
        batch_op.add_column(sa.Column("preemptible", sa.Boolean(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("min_runtime_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("warning_signal", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("warning_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("deadline", Utc(), nullable=True))
        batch_op.add_column(sa.Column("only_between", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("shunned", Json, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("pipeline", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("step", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("parameters", Json, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("array", Json, nullable=True))
        batch_op.add_column(sa.Column("array_next", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("array_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("array_index", sa.Integer(), nullable=True))
        batch_op.drop_index(batch_op.f("ix_jobs_queue"))
        batch_op.create_index("ix_jobs_queue", ["state", "lane", "created_at", "id"], unique=False)
        batch_op.create_index("ix_jobs_array", ["array_id", "array_index"], unique=True)
        batch_op.create_index(batch_op.f("ix_jobs_family"), ["family"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_pipeline"), ["pipeline"], unique=False)
    op.execute('ALTER TABLE jobs DROP COLUMN "shape"')
    op.execute("UPDATE jobs SET lane = id, family = team || '/' || project || '/' || name")
