"""What a run is pinned to, found in real checkouts, and put back from them."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from levare.checkout import Checkout, Git, checkout_of, code_of
from levare.errors import Conflict
from levare.store.provenance import Found
from levare.store.reruns import Rerun, refuse_deviations
from worker import data, finder, installed
from worker.finder import Finder, Start
from worker.looks import Looks
from worker.restoring import restore, restored
from worker.rundir import Spec

MOST = 256 * 1024


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "--quiet", "-b", "main")

    def git(self, *arguments: str) -> str:
        named = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
        return subprocess.check_output(["git", *named, "-C", str(self.root), *arguments], text=True)

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A step")
        return self.git("rev-parse", "HEAD").strip()

    def look(self, most_bytes: int = MOST) -> Checkout:
        return checkout_of(Git(self.root), most_bytes=most_bytes)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "run")
    found.write("train.py", "print('one')\n")
    found.write("model/weights.bin", bytes(range(256)))
    found.write("old.py", "pass\n")
    found.commit()
    return found


def a_rerun(found: Checkout, *, strict: bool = False) -> Rerun:
    return Rerun("k3v9x2m1qa-1", {}, found.patch, found.code, strict, ([], []))


def a_spec(cwd: Path, *argv: str, **env: str) -> Spec:
    return Spec("n3w-1", list(argv), env, str(cwd), 1, None, 1, 1, None, None, None, 1)


def start(cwd: Path, *command: str, **env: str) -> Start:
    return Start("k3v9x2m1qa-1", command or ("true",), env, str(cwd))


def every_change(repository: Repository) -> None:
    """A file of each kind that a diff may have."""
    repository.write("train.py", "print('two')\n").chmod(0o755)
    repository.write("model/weights.bin", bytes(reversed(range(256))) * 9)
    repository.write("latin.txt", "na\xefve\n".encode("latin-1"))
    (repository.root / "old.py").unlink()
    repository.git("add", "latin.txt")


def test_a_checkout_tells_its_commit_its_changes_and_what_git_does_not_know(repository: Repository):
    clean = repository.look().code
    repository.write("train.py", "print('two')\n")
    repository.write("runs/a.txt", "a")
    repository.write("note s.txt", "a")

    found = repository.look()

    assert clean
    assert (clean["dirty"], clean["diff"], clean["untracked"]) == (False, None, 0)
    assert found.code
    assert found.code["commit"] == repository.git("rev-parse", "HEAD").strip()
    assert (found.code["branch"], found.code["dirty"], found.code["patch_kept"]) == ("main", True, True)
    assert (found.code["untracked"], found.code["untracked_names"]) == (2, ["note s.txt", "runs/"])
    assert b"+print('two')" in (found.patch or b"")
    assert code_of(repository.root) == {
        name: found.code[name] for name in ("commit", "branch", "root", "dirty", "diff")
    }


def test_a_diff_that_is_too_long_is_told_by_its_size_and_digest(repository: Repository):
    repository.write("train.py", "x = 1\n" * 1000)

    whole, cut = repository.look(), repository.look(most_bytes=100)

    assert whole.code
    assert cut.code
    assert (cut.patch, cut.code["patch_kept"]) == (None, False)
    assert (cut.code["diff"], cut.code["diff_bytes"]) == (whole.code["diff"], len(whole.patch or b""))


def test_without_a_repository_a_commit_or_git_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    empty = Repository(tmp_path / "empty")

    assert (
        Finder().find(start(tmp_path)).shared["missing"][0]["why"] == "No git repository holds its working directory."
    )
    assert "has no commit" in empty.look().missing[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert empty.look().missing == ("git cannot be started: No such file or directory.",)


def test_a_slow_git_is_not_awaited_for_long(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\ncase "$*" in *status*) exec sleep 600;; *) exec /usr/bin/env -i "$GIT" "$@";; esac\n')
    slow.write_text(slow.read_text().replace("$GIT", subprocess.check_output(["which", "git"], text=True).strip()))
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")

    found = checkout_of(Git(repository.root, patience=0.5, trusted=True), most_bytes=MOST)

    assert found.code
    assert found.code["commit"] == repository.git("rev-parse", "HEAD").strip()
    assert found.code["dirty"] is None
    assert "git took longer than 0.5 s" in found.missing[0]


def test_a_place_that_hangs_has_one_thread_and_holds_nobody_up():
    hang, begun = threading.Event(), []
    looks = Looks(0.05)

    def find() -> None:
        begun.append(1)
        hang.wait(60)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            looks.look("/nfs", find)
    assert len(begun) == 1
    assert looks.look("/home", lambda: 7) == 7
    hang.set()


def test_a_finder_goes_on_when_a_folder_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    hang = threading.Event()
    monkeypatch.setattr(finder, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(finder, "root_of", lambda _: hang.wait(60))

    found = Finder().find(start(tmp_path))

    assert found.shared["missing"][0] == {"what": "code", "why": f"{tmp_path} did not answer within 0.1 s."}
    hang.set()


def test_a_work_tree_is_what_ran_then_to_the_byte(repository: Repository, tmp_path: Path):
    every_change(repository)
    pinned = repository.look()
    then = {name: repository.write(name, (repository.root / name).read_bytes()) for name in ("latin.txt", "train.py")}
    held = {name: path.read_bytes() for name, path in then.items()}
    repository.commit()
    repository.write("train.py", "print('three')\n")
    before = repository.git("status", "--porcelain"), sorted((repository.root / ".git").iterdir())

    tree = restore(a_rerun(pinned), folder=tmp_path)

    found = checkout_of(Git(tree), most_bytes=MOST)
    assert found.code
    assert pinned.code
    assert found.patch == pinned.patch
    assert all(found.code[name] == pinned.code[name] for name in ("commit", "branch", "dirty", "diff"))
    assert {name: (tree / name).read_bytes() for name in held} == held
    assert not (tree / "old.py").exists()
    assert (repository.git("status", "--porcelain"), sorted((repository.root / ".git").iterdir())) == before


def test_a_commit_that_no_branch_has_any_more_is_still_reached(repository: Repository, tmp_path: Path):
    repository.write("train.py", "print('two')\n")
    repository.commit()
    pinned = repository.look()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")

    assert (restore(a_rerun(pinned), folder=tmp_path) / "train.py").read_text() == "print('two')\n"


@pytest.mark.parametrize("harm", ["the commit is gone", "the folder is gone", "the diff is another"])
def test_code_that_cannot_be_had_is_refused_in_a_sentence(repository: Repository, tmp_path: Path, harm: str):
    repository.write("train.py", "print('two')\n")
    pinned = repository.look()
    assert pinned.code
    code = {
        "the commit is gone": pinned.code | {"commit": "0" * 40},
        "the folder is gone": pinned.code | {"root": str(tmp_path / "gone")},
        "the diff is another": pinned.code | {"diff": "0" * 12},
    }[harm]

    with pytest.raises(Conflict, match=r"could not be restored: .*levare rerun --unpinned"):
        restore(a_rerun(Checkout(code, pinned.patch)), folder=tmp_path)


def test_paths_into_the_checkout_lead_into_the_work_tree(repository: Repository, tmp_path: Path):
    root, pinned = repository.root, repository.look()
    repository.write("venv/bin/python", "")
    spec = a_spec(
        root / "model",
        *(f"{root}/venv/bin/python", f"{root}/train.py", f"--weights={root}/model/weights.bin", f"{root}x/train.py"),
        PYTHONPATH=f"{root}:/opt/lib",
    )

    found = restored(spec, a_rerun(pinned), folder=tmp_path)

    tree = tmp_path / "code"
    moved = [f"{root}/venv/bin/python", f"{tree}/train.py", f"--weights={tree}/model/weights.bin", f"{root}x/train.py"]
    assert (found.argv, found.cwd, found.env["PYTHONPATH"]) == (moved, f"{tree}/model", f"{tree}:/opt/lib")


def test_a_second_attempt_finds_the_work_tree_of_the_first(repository: Repository, tmp_path: Path):
    tree = restore(a_rerun(repository.look()), folder=tmp_path)
    (tree / "out.txt").write_text("half")

    assert (restore(a_rerun(repository.look()), folder=tmp_path) / "out.txt").read_text() == "half"


def test_locks_are_those_of_the_folder_and_of_its_checkout(repository: Repository):
    repository.write("uv.lock", "a")
    repository.write("jobs/requirements-gpu.txt", "b")

    assert installed.locks(repository.root / "jobs", repository.root).keys() == {"requirements-gpu.txt", "../uv.lock"}


def test_what_is_installed_as_it_stands_is_told(repository: Repository, tmp_path: Path):
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "_run.pth").write_text(f"{repository.root}/src\n")
    (site / "__editable___other_finder.py").write_text("MAPPING = {'other': '/elsewhere/other'}\n")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("version = 3.11.9\n")
    (tmp_path / "venv" / "bin").mkdir()
    python = tmp_path / "venv" / "bin" / "python"
    python.touch(mode=0o755)

    found = Finder().find(start(repository.root, str(python), "train.py"))

    assert (found.shared["editable"], found.shared["python_version"]) == ([f"{repository.root}/src"], "3.11.9")


def test_proxies_are_pinned_without_their_password(tmp_path: Path):
    told = Finder().find(Start("a-1", ("true",), {}, str(tmp_path), {"https_proxy": "http://ann:pw@proxy:3128"}))

    assert told.shared["environment"] == {"https_proxy": "http://***@proxy:3128"}


def test_data_is_its_id_and_a_path_what_lies_behind_it(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("one")
    before = data.digest(tmp_path)
    (tmp_path / "b" / "1.txt").write_text("two")

    assert data.named("imagenet@v3") == {"data": "imagenet@v3"}
    assert data.named(f"train=imagenet@v3,val={tmp_path}") == {"train": "imagenet@v3", "val": str(tmp_path)}
    assert before.startswith("content:")
    assert data.digest(tmp_path) not in (before, data.digest(tmp_path, most_bytes=1))
    assert data.digest(tmp_path, most_bytes=1).startswith("listing:")
    assert data.digests({"x": "imagenet@v3", "y": "/no/such"}) == (
        {},
        ["The data /no/such cannot be read: No such file or directory."],
    )
    with pytest.raises(ValueError, match="more than 0 files"):
        data.digest(tmp_path, most_files=0)


def deviating(**now: object) -> Callable[[], None]:
    then = {"python_version": "3.11.9", "packages": ["torch==2.5.0"], "driver": "550", "data": {"data": "content:a"}}
    rerun = Rerun("k3v9x2m1qa-1", then, None, None, True, (["H100"], [str(now.pop("gpu", "H100"))]))
    shown = {**then, **now}
    packages = shown.pop("packages")
    found = Found("n3w-1", {"data": shown.pop("data")}, shown, None, "digest", packages)  # pyright: ignore[reportArgumentType]
    return lambda: refuse_deviations(rerun, found)


def test_strictly_nothing_may_differ():
    deviating()()
    for now, told in (
        ({"packages": ["torch==2.6.0"]}, "dependencies torch is 2.6.0, was 2.5.0"),
        ({"driver": "570"}, "NVIDIA driver is 570, was 550"),
        ({"data": {"data": "content:b"}}, "digest of data is content:b"),
        ({"gpu": "A100"}, "GPUs is A100, was H100"),
        ({"python_version": "3.12.0"}, "Python is 3.12.0"),
    ):
        with pytest.raises(Conflict, match=f"It would not be as k3v9x2m1qa-1 was: .*{told}"):
            deviating(**now)()


def test_jobs_in_folders_of_their_own_share_what_they_are_pinned_to(tmp_path: Path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    one, other = (Finder().find(start(folder)) for folder in folders)

    assert one.shared == other.shared
