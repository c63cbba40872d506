"""rules of alerts, alerts, silences, channels, deliveries, and what is kept of runs to compare with"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_KINDS = (
    "'failure', 'slow', 'degraded', 'metric', 'not_finite', 'sample', 'log', "
    "'hang', 'node_lost', 'unhealthy', 'queue', 'disk', 'idle', 'absence'"
)


def _declared(name: str, kinds: str) -> None:
    op.create_table(
        name,
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("paused_at", Utc(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f(f"ck_{name}_kind")),
        sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{name}")),
    )


def upgrade() -> None:
    _declared("alert_rules", _KINDS)
    _declared("channels", "'webhook', 'email', 'apprise'")
    op.create_table(
        "alerts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("node", sa.String(), nullable=True),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("family", sa.String(), nullable=True),
        sa.Column("begun_at", Utc(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.Column("is_silenced", sa.Boolean(), nullable=False),
        sa.Column("told", Json, nullable=False),
        sa.Column("acknowledged_at", Utc(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("acknowledged_note", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name=op.f("ck_alerts_severity")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alerts")),
    )
    op.create_index("ix_alerts_begin", "alerts", ["rule", "subject", "begun_at"], unique=True)
    is_open = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_alerts_open", "alerts", ["rule", "subject"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_alerts_begun", "alerts", ["begun_at", "number"])
    op.create_index(op.f("ix_alerts_job_id"), "alerts", ["job_id"])
    op.create_table(
        "silences",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=True),
        sa.Column("job", sa.String(), nullable=True),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("node", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("ends_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_silences")),
    )
    op.create_index(op.f("ix_silences_ends_at"), "silences", ["ends_at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("news", sa.String(), nullable=False),
        sa.Column("alerts", Json, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("opens_at", Utc(), nullable=False),
        sa.Column("next_at", Utc(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("sent_at", Utc(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed')", name=op.f("ck_deliveries_state")),
        sa.CheckConstraint("news IN ('begin', 'recovery', 'test')", name=op.f("ck_deliveries_news")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    is_pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_deliveries_due", "deliveries", ["next_at"], sqlite_where=is_pending, postgresql_where=is_pending
    )
    op.create_index("ix_deliveries_channel", "deliveries", ["channel", "created_at"])
    op.create_table(
        "run_summaries",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=False),
        sa.Column("summary", Json, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_run_summaries")),
        sa.UniqueConstraint("job_id", name=op.f("uq_run_summaries_job_id")),
    )
    op.create_index("ix_run_summaries_family", "run_summaries", ["family", "number"])
    op.create_table(
        "alert_endings",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_alert_endings_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_alert_endings")),
    )
    op.create_table(
        "alert_looks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("looked_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_looks")),
    )
