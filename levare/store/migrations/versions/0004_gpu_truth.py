"""whose each GPU is, and what is left behind on it"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ownership", sa.String(), server_default="free", nullable=False))
        batch_op.add_column(sa.Column("note", sa.Text(), nullable=True))
        batch_op.create_check_constraint(
            op.f("ck_devices_ownership"), "ownership IN ('free', 'ours', 'foreign', 'orphan')"
        )

    op.add_column("nodes", sa.Column("orphans", Json, server_default="[]", nullable=False))
    op.add_column("nodes", sa.Column("reap_requested_at", Utc(), nullable=True))
    op.add_column("nodes", sa.Column("reaped", Json, server_default="[]", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.drop_column("reaped")
        batch_op.drop_column("reap_requested_at")
        batch_op.drop_column("orphans")

    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_devices_ownership"), type_="check")
        batch_op.drop_column("note")
        batch_op.drop_column("ownership")
