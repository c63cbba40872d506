"""What a run is pinned to, found by looking at its node: code, lock files, interpreter, packages, data, driver."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from levare.checkout import Checkout, Git, checkout_of, root_of
from levare.store.provenance import Found
from worker import data, installed
from worker.installed import Environment
from worker.looks import Looks

T = TypeVar("T")

MOST_PATCH_BYTES = 256 * 1024
_LOOK_SECONDS = 6.0
"""For all of a folder; git has two seconds for each of its runs."""
_FRESH_SECONDS, _MOST_SHARE = 0.5, 20
"""So long packages and data are taken for what is there: for 20 times as long as it took to find, if that is more."""
_MOST_KEPT = 256
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Start:
    attempt_id: str
    command: Sequence[str]
    env: Mapping[str, str]
    """All that it sees."""
    cwd: str
    inherited: Mapping[str, str] = field(default_factory=dict)
    """What it has of that from its worker, not from its job."""


@dataclass(frozen=True)
class Folder:
    """What a working directory holds."""

    checkout: Checkout
    locks: Mapping[str, str] = field(default_factory=dict)
    script: Mapping[str, str] | None = None


class Finder:
    """Looks, and never raises for what cannot be found: that is said among what is found."""

    def __init__(self) -> None:
        self._looks = Looks(_LOOK_SECONDS)
        self._kept: dict[Any, tuple[float, Any]] = {}
        """Key -> until when it may be taken for true, and the value."""
        self._folders: dict[Any, Folder] = {}

    def forget_folders(self) -> None:
        """What starts from now on may find other code."""
        self._folders.clear()

    def find(self, start: Start) -> Found:
        """What can be told of this start now."""
        folder, environment = self._folder(start), self._environment(start)
        hashes, unread = self._data(start)
        missing = [{"what": "code", "why": why} for why in folder.checkout.missing]
        missing += [] if environment else [{"what": "interpreter", "why": "No Python belongs to the command."}]
        missing += [{"what": "data", "why": why} for why in unread]
        shared = {
            "code": folder.checkout.code,
            "locks": folder.locks,
            "script": folder.script,
            "python": environment and environment.python,
            "python_version": environment and environment.version,
            "driver": self._fresh("driver", driver),
            "kernel": os.uname().release,
            "editable": _inside(environment, folder),
            "environment": _without_credentials(start.inherited),
            "missing": missing,
        }
        return Found(
            start.attempt_id,
            {"data": hashes} if hashes else {},
            {name: value for name, value in shared.items() if value},
            folder.checkout.patch,
            environment.digest if environment else None,
            environment.packages if environment else (),
        )

    def _folder(self, start: Start) -> Folder:
        key = (start.cwd, *start.command[1:4])
        if key not in self._folders:
            self._folders[key] = self._look_at(Path(start.cwd), start.command)
        return self._folders[key]

    def _look_at(self, cwd: Path, command: Sequence[str]) -> Folder:
        try:
            return self._looks.look(str(cwd), lambda: _folder(cwd, command))
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            return Folder(Checkout(None, missing=(str(error),)))

    def _environment(self, start: Start) -> Environment | None:
        means = (start.env.get(name) for name in ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX"))
        key = ("python", start.command[0], *means)
        python = self._fresh(key, lambda: self._interpreter(start))
        if python is None:
            return None
        return self._fresh(
            ("environment", python), lambda: self._patiently(python, lambda: installed.environment(python))
        )

    def _interpreter(self, start: Start) -> Path | None:
        return self._patiently(start.command[0], lambda: installed.interpreter(start.command, start.env))

    def _patiently(self, place: Any, find: Callable[[], T | None]) -> T | None:
        try:
            return self._looks.look(str(place), find)
        except (OSError, ValueError):
            return None

    def _data(self, start: Start) -> tuple[dict[str, str], list[str]]:
        ids = data.named(start.env.get("LEVARE_DATA", ""))
        if not any(each.startswith("/") for each in ids.values()):
            return {}, []
        return self._fresh(("data", *ids.items()), lambda: self._digests(ids))

    def _digests(self, ids: dict[str, str]) -> tuple[dict[str, str], list[str]]:
        try:
            return self._looks.look(("data", *ids.values()), lambda: data.digests(ids))
        except TimeoutError:
            return {}, [f"The data {', '.join(ids.values())} took longer than {_LOOK_SECONDS:g} s to look at."]

    def _fresh(self, key: Any, find: Callable[[], T]) -> T:
        """What was found a moment ago, or what is found now."""
        until, value = self._kept.get(key, (0.0, None))
        if monotonic() < until:
            return value  # pyright: ignore[reportReturnType]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        begun = monotonic()
        value = find()
        took = monotonic() - begun
        self._kept[key] = (begun + max(_FRESH_SECONDS, _MOST_SHARE * took), value)
        return value


def _folder(cwd: Path, command: Sequence[str]) -> Folder:
    root = root_of(cwd)
    if root is None:
        checkout = Checkout(None, missing=("No git repository holds its working directory.",))
    else:
        checkout = checkout_of(Git(root, trusted=True), most_bytes=MOST_PATCH_BYTES)
    return Folder(checkout, installed.locks(cwd, root), installed.script(command, cwd))


def _inside(environment: Environment | None, folder: Folder) -> list[str]:
    """What of the checkout is installed as it stands: a restored one is not what such an import finds."""
    root = (folder.checkout.code or {}).get("root")
    editable = environment.editable if environment and root else ()
    return [each for each in editable if each == root or each.startswith(f"{root}/")]


def _without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Proxies are addresses that may hold a password."""
    return {name: _CREDENTIALS.sub("//***@", value) for name, value in environ.items()}


def driver() -> str | None:
    """The version of NVIDIA's driver."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)
