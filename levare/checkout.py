"""What code a folder holds, if it is a checkout of git: its commit, and what differs from it."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Timer
from typing import Any

PATIENCE_SECONDS = 2.0
MOST_NAMES = 50
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_DIFF = (
    *("diff", "HEAD", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"),
    *("--submodule=short", "--ignore-submodules=dirty", "--src-prefix=a/", "--dst-prefix=b/"),
)
_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--ignore-submodules=dirty")
_TOLD = ("commit", "branch", "root", "dirty", "diff")
_HEX = 12
_PIECE = 1 << 16
_ENDING_SECONDS = 0.5


@dataclass(frozen=True)
class Checkout:
    """
    `code` has commit, branch, root, dirty, diff (a digest), diff_bytes, patch_kept, submodules, untracked (a count)
    and untracked_names.

    `patch` is the diff itself, or None where there is none or it is too large. `missing` are sentences about what
    could not be found out.
    """

    code: dict[str, Any] | None
    patch: bytes | None = None
    missing: Sequence[str] = ()


class Refused(Exception):
    """Why git tells nothing, in a sentence."""


class Git:
    """
    git in one checkout, each run no longer than `patience` seconds; it writes nothing there.

    One that belongs to somebody else is refused unless it is `trusted`: git may run what its configuration says.
    """

    def __init__(self, root: Path, *, patience: float = PATIENCE_SECONDS, trusted: bool = False) -> None:
        self.root, self.patience = root, patience
        safe = ("-c", "safe.directory=*") if trusted else ()
        self._command = (*_GIT, *safe, "-C", str(root))
        self._late = TimeoutError(f"git took longer than {patience:g} s in {root}.")

    def run(self, *arguments: str, given: bytes | None = None) -> bytes:
        """What git says, or Refused with its own words; TimeoutError where that takes too long."""
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        process = self._start(arguments, stdin=stdin, stderr=subprocess.PIPE)
        try:
            told, complaint = process.communicate(given, timeout=self.patience)
        except subprocess.TimeoutExpired:
            _end(process)
            raise self._late from None
        if process.returncode:
            words = complaint.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            raise Refused(f"git refuses in {self.root}: {words[0].removeprefix('fatal: ').removesuffix('.')}.")
        return told

    def diff(self, *, most_bytes: int) -> tuple[int, str, bytes | None]:
        """How long the diff to HEAD is, its digest, and the diff unless it is longer than `most_bytes`."""
        digest, size, kept = sha256(), 0, bytearray()
        with self._start(_DIFF, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            timer = Timer(self.patience, process.kill)
            timer.start()
            while piece := process.stdout.read(_PIECE):  # pyright: ignore[reportOptionalMemberAccess]
                digest.update(piece)
                size += len(piece)
                kept += piece[: max(0, most_bytes - len(kept))]
        timer.cancel()
        if process.returncode < 0:
            raise self._late
        if process.returncode:
            raise Refused(f"git diff fails in {self.root}.")
        return size, digest.hexdigest(), bytes(kept) if size <= most_bytes else None

    def _start(self, arguments: Sequence[str], *, stdin: int, stderr: int) -> "subprocess.Popen[bytes]":
        """It gets nothing of our environment that could lead it elsewhere, and no secret."""
        env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        try:
            return subprocess.Popen(
                [*self._command, *arguments], env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr
            )
        except OSError as error:
            raise Refused(f"git cannot be started: {error.strerror}.") from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it, and leave it to itself if it hangs in the kernel."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING_SECONDS)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


def code_of(folder: Path, *, patience: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
    """
    `commit`, `branch`, `root`, `dirty` and `diff`, the digest of the changes to files that git knows; None elsewhere.

    It takes git two short runs, each no longer than `patience` seconds: where they take longer, `dirty` is None.
    """
    root = root_of(folder)
    code = checkout_of(Git(root, patience=patience), most_bytes=0, untracked="no").code if root else None
    return code and {name: code[name] for name in _TOLD}


def checkout_of(git: Git, *, most_bytes: int, untracked: str = "normal") -> Checkout:
    """All of it, with a diff of at most `most_bytes`; `untracked` is `no` where such files are not looked for."""
    try:
        commit, branch, changed, others = _status(git, untracked)
    except TimeoutError:
        return _in_haste(git)
    except Refused as refused:
        return Checkout(None, missing=(str(refused),))
    if not commit:
        return Checkout(None, missing=(f"The repository {git.root} has no commit.",))
    code = {"commit": commit, "branch": branch, "root": str(git.root)}
    code |= {"submodules": (git.root / ".gitmodules").exists()}
    code |= {"untracked": len(others), "untracked_names": sorted(others)[:MOST_NAMES]}
    if not changed:
        return Checkout(code | {"dirty": False, "diff": None, "diff_bytes": 0})
    return _with_diff(git, code, most_bytes)


def root_of(folder: Path) -> Path | None:
    """The checkout that a folder is in, found without git."""
    try:
        return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    except OSError:
        return None


def _with_diff(git: Git, code: dict[str, Any], most_bytes: int) -> Checkout:
    try:
        size, digest, patch = git.diff(most_bytes=most_bytes)
    except (TimeoutError, Refused) as error:
        return Checkout(code | _UNKNOWN, missing=(f"Of uncommitted changes nothing is known: {error}",))
    found = code | {"dirty": size > 0, "diff": digest[:_HEX] if size else None, "diff_bytes": size}
    found |= {"patch_kept": patch is not None}
    return Checkout(found, patch if size else None)


def _in_haste(git: Git) -> Checkout:
    """The commit alone, which git tells without a look at the files."""
    late = f"git took longer than {git.patience:g} s in {git.root}."
    try:
        named = git.run("rev-parse", "HEAD", "--abbrev-ref", "HEAD")
    except (TimeoutError, Refused):
        return Checkout(None, missing=(late,))
    commit, branch = (*named.decode("utf-8", "replace").split("\n"), "")[:2]
    code = {"commit": commit, "branch": branch, "root": str(git.root), "untracked": None, "untracked_names": []}
    return Checkout(code | _UNKNOWN, missing=(f"Of uncommitted changes nothing is known: {late}",))


def _status(git: Git, untracked: str) -> tuple[str, str, bool, list[str]]:
    """Commit, branch, whether files that git knows have changed, and the others."""
    told = git.run(*_STATUS, f"--untracked-files={untracked}").decode("utf-8", "replace").split("\0")
    heads = dict(line[2:].split(" ", 1) for line in told if line.startswith("# branch."))
    commit, branch = heads.get("branch.oid", ""), heads.get("branch.head", "")
    others = [line[2:] for line in told if line.startswith("? ")]
    changed = any(line[:2] in ("1 ", "2 ", "u ") for line in told)
    return "" if commit == "(initial)" else commit, "HEAD" if branch == "(detached)" else branch, changed, others


_UNKNOWN: dict[str, Any] = {"dirty": None, "diff": None, "diff_bytes": None}
