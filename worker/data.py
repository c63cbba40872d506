"""What data a job trains on: the ids that it was given, and digests of what lies behind those that are paths."""

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

MOST_FILES = 100_000
MOST_BYTES = 256 * 2**20
_HEX = 16
_PIECE = 1 << 20


def named(text: str) -> dict[str, str]:
    """`imagenet@v3` is the data, `train=imagenet@v3,val=/data/val` are two by their names."""
    found = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = part.partition("=")
        found.update({name: value} if equals and "/" not in name else {"data": part})
    return found


def digests(ids: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Name -> digest of those that are absolute paths, and sentences about those that could not be read."""
    found, missing = {}, []
    for name, path in ids.items():
        if path.startswith("/"):
            try:
                found[name] = digest(Path(path))
            except (OSError, ValueError) as error:
                missing.append(f"The data {path} cannot be read: {getattr(error, 'strerror', None) or error}.")
    return found, missing


def digest(path: Path, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> str:
    """
    `content:...` of all files with their names; where they are large, `listing:...` of names, sizes and times.

    Raise OSError for what cannot be read, and ValueError for too many files.
    """
    files = list(islice(_files(path), most_files + 1))
    if len(files) > most_files:
        raise ValueError(f"it has more than {most_files} files")
    whole = sum(found.st_size for _, found in files) <= most_bytes
    summed = sha256()
    for name, found in files:
        summed.update(f"{os.path.relpath(name, path)}\0{found.st_size}\0".encode(errors="surrogateescape"))
        if whole:
            _add_content(summed, name)
        else:
            summed.update(f"{found.st_mtime_ns}\0".encode())
    return f"{'content' if whole else 'listing'}:{summed.hexdigest()[:_HEX]}"


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """In an order that is the same everywhere."""
    if not path.is_dir():
        yield str(path), path.stat()
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            full = f"{folder}/{name}"
            yield full, os.stat(full)  # noqa: PTH116  # there may be many


def _raise(error: OSError) -> None:
    raise error


def _add_content(summed: Any, name: str) -> None:
    with Path(name).open("rb") as file:
        while piece := file.read(_PIECE):
            summed.update(piece)
