"""What the tables share: one metadata with names for every constraint, and kinds of columns."""

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import JSON, Column, MetaData
from sqlmodel import SQLModel

from levare.store.types import Json, Utc

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Table(SQLModel):
    """What every table shares: one metadata, so that migrations see all of them and nothing else."""

    metadata = metadata
    if TYPE_CHECKING:
        __tablename__: ClassVar[str]  # pyright: ignore[reportIncompatibleVariableOverride]


def one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(v) for v in values)})"


def json_column(*, nullable: bool = False) -> Any:
    return Column(Json, nullable=nullable)


def document(*, nullable: bool = False) -> Any:
    """What people declared, as they wrote it: JSONB would forget the order of names."""
    return Column(JSON, nullable=nullable)


def instant(*, index: bool = False, nullable: bool = True) -> Any:
    return Column(Utc, index=index, nullable=nullable)


def json_list() -> Any:
    return Column(Json, nullable=False, server_default="[]")
