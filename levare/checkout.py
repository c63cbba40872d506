"""What code a folder holds, if it is a checkout of git: its commit, and a digest of what differs from it."""

import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 2.0
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_DIFF = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short")
_HEX = 12


def code_of(folder: Path, *, patience: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
    """
    `commit`, `branch`, `root`, `dirty` and `diff`, the digest of the changes to files that git knows; None elsewhere.

    It takes git two short runs, each no longer than `patience` seconds: where the second takes longer, `dirty` is None.
    """
    root = root_of(folder)
    if root is None:
        return None
    named = _run(root, ("rev-parse", "HEAD", "--abbrev-ref", "HEAD"), patience)
    if named is None:
        return None
    commit, branch = (*named.decode("utf-8", "replace").split("\n"), "")[:2]
    changes = _run(root, _DIFF, patience)
    digest = sha256(changes).hexdigest()[:_HEX] if changes else None
    return {
        "commit": commit,
        "branch": branch,
        "root": str(root),
        "dirty": None if changes is None else bool(changes),
        "diff": digest,
    }


def root_of(folder: Path) -> Path | None:
    """The checkout that a folder is in, found without git."""
    try:
        return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    except OSError:
        return None


def _run(root: Path, arguments: tuple[str, ...], patience: float) -> bytes | None:
    """None where git is not there, refuses, or takes too long."""
    try:
        done = subprocess.run(
            [*_GIT, "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
