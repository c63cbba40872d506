"""JSON documents of a run dir: a reader finds one whole or not at all."""
# pathlib costs more to import than all else here
# ruff: noqa: PTH104, PTH123

import json
import os
from collections.abc import Mapping


def put(path: str, document: Mapping[str, object], *, durable: bool = False) -> None:
    """
    Replace the document at once. It survives the death of any process.

    A durable one never comes back torn from a crash of the machine either: it is whole or not there. Without that, a
    torn one may be found after a crash, and counts as absent.
    """
    draft = f"{path}.tmp"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, json.dumps(document).encode())
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, path)


def get(path: str) -> dict[str, object] | None:
    """The document, or None where there is none that is whole."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
