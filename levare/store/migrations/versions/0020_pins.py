"""what a run was pinned to, shared by digest, and jobs that repeat a run"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_pins")),
    )
    op.create_table(
        "patches",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("patch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_patches")),
    )
    op.add_column("provenance", sa.Column("pins", sa.String(), nullable=True))
    op.add_column("provenance", sa.Column("patch", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("rerun", Json, nullable=True))
