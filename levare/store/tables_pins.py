"""The tables of what runs were pinned to: documents by their digest, kept once however many runs share them."""

from typing import Any

from sqlmodel import Field

from levare.store.columns import Table, document, metadata


class PinsRow(Table, table=True):
    """What a node found at a start: code, lock files, interpreter, inherited environment, driver, what is missing."""

    __tablename__ = "pins"

    digest: str = Field(primary_key=True)
    document: dict[str, Any] = Field(sa_column=document())


class PatchRow(Table, table=True):
    """The uncommitted changes of a checkout, compressed by zlib."""

    __tablename__ = "patches"

    digest: str = Field(primary_key=True)
    patch: bytes


pins = metadata.tables["pins"]
patches = metadata.tables["patches"]
