"""
The code of an earlier run, in a work tree of its own beside the results of the job.

It borrows the objects of the repository that the run was in and writes nothing there. What it holds in the end is
compared with what was pinned, to the byte of its diff, before anything starts in it.
"""

import os
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

from levare.checkout import Git, Refused
from levare.errors import Conflict
from levare.store.reruns import Rerun
from worker.rundir import Spec

PATIENCE_SECONDS = 120.0
_HEX = 12
_IMPORTS = "PYTHONPATH"


def restored(spec: Spec, rerun: Rerun, *, folder: Path) -> Spec:
    """The same in the work tree: where it starts, and the files of the checkout that its arguments name."""
    root, tree = str((rerun.code or {})["root"]), restore(rerun, folder=folder)
    cwd = tree / os.path.relpath(spec.cwd, root)
    cwd.mkdir(parents=True, exist_ok=True)
    argv, env = [_moved(word, root, tree) for word in spec.argv], dict(spec.env)
    if _IMPORTS in env:
        env[_IMPORTS] = ":".join(_moved(place, root, tree) for place in env[_IMPORTS].split(":"))
    return replace(spec, argv=argv, env=env, cwd=str(cwd))


def restore(rerun: Rerun, *, folder: Path) -> Path:
    """The root of the work tree in `folder`, which an earlier attempt may have made. Raise Conflict if it cannot be."""
    code, tree, made = rerun.code or {}, folder / "code", folder / "code.made"
    if made.exists():
        return tree
    root = Path(code["root"])
    rmtree(tree, ignore_errors=True)
    try:
        _check_out(Git(root, patience=PATIENCE_SECONDS, trusted=True), rerun, tree)
    except (Refused, TimeoutError) as error:
        raise Conflict(
            f"The code of {rerun.attempt_id} could not be restored: {error}",
            f"Make commit {code['commit'][:_HEX]} reachable in {root}, or `levare rerun --unpinned`.",
        ) from None
    made.touch()
    return tree


def _check_out(source: Git, rerun: Rerun, tree: Path) -> None:
    """On a branch of the same name, if it was on one."""
    code = rerun.code or {}
    commit, branch, git = code["commit"], code["branch"], Git(tree, patience=PATIENCE_SECONDS)
    if not source.root.is_dir():
        raise Refused(f"There is no folder {source.root} on this node.")
    source.run("cat-file", "-e", f"{commit}^{{commit}}")
    _borrow(source, git, tree)
    if branch in ("", "HEAD"):
        git.run("checkout", "--quiet", "--detach", commit)
    else:
        git.run("checkout", "--quiet", "-B", branch, commit)
    if rerun.patch:
        git.run("apply", "--index", "--binary", "--whitespace=nowarn", "-", given=rerun.patch)
    size, digest, _ = git.diff(most_bytes=0)
    if (digest[:_HEX] if size else None) != code["diff"]:
        raise Refused("what was checked out differs from what was pinned")


def _borrow(source: Git, git: Git, tree: Path) -> None:
    """An empty repository with all that is in the other; no clone, which would ask whose the other is."""
    told = source.run("rev-parse", "--show-object-format", "--path-format=absolute", "--git-path", "objects").decode()
    kind, objects = told.splitlines()
    tree.mkdir(mode=0o700)
    git.run("init", "--quiet", f"--object-format={kind}")
    (tree / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    shallow = Path(objects).with_name("shallow")
    if shallow.exists():
        (tree / ".git" / "shallow").write_bytes(shallow.read_bytes())
    git.run("config", "remote.origin.url", f"file://{source.root}")


def _moved(word: str, root: str, tree: Path) -> str:
    """`/home/ann/run/train.py` as it is in the work tree, if it is there; `--config=` may stand before it."""
    head, equals, path = word.rpartition("=")
    if path != root and not path.startswith(f"{root}/"):
        return word
    here = tree / os.path.relpath(path, root)
    return f"{head}{equals}{here}" if here.exists() else word
