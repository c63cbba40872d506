"""groups: sizes and caps of arrays, pipelines"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Utc

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_array = sa.text("array_size IS NOT NULL")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("array_size", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("array_cap", sa.Integer(), nullable=True))
        batch_op.create_index("ix_jobs_elements", ["array_id", "state"], unique=False)
        batch_op.create_index("ix_jobs_arrays", ["state"], sqlite_where=is_array, postgresql_where=is_array)
    op.create_table(
        "pipelines",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pipelines")),
    )
    with op.batch_alter_table("pipelines", schema=None) as batch_op:
        batch_op.create_index("ix_pipelines_created", ["created_at", "id"], unique=False)
