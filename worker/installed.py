"""Which interpreter a command runs, and which packages are installed for it; found by looking, nothing is started."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_PYTHON = re.compile(r"python(?:\d(?:\.\d+)?)?$")
_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*?)(?:-py[\d.]+)?\.(?:dist|egg)-info$")
_LOCKS = (
    *("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "pixi.lock", "conda-lock.yml"),
    *("environment.yml", "environment.yaml", "pyproject.toml", "setup.py", "setup.cfg"),
)
_LISTS = ("requirements*.txt", "constraints*.txt")
_MOST_LOCKS = 40
_FOLDER = re.compile(r"""(?:^|['"])(/[^'"\n]+)""", re.MULTILINE)
_MOST_LOCK_BYTES = 8 * 2**20
_HEX = 12


@dataclass(frozen=True)
class Environment:
    """An interpreter with what is installed for it."""

    python: str
    version: str
    packages: tuple[str, ...]
    editable: tuple[str, ...] = ()
    """Folders that are installed as they stand: what they hold may change without a new version."""

    @property
    def digest(self) -> str:
        return sha256("\n".join(self.packages).encode()).hexdigest()


def interpreter(command: Sequence[str], env: Mapping[str, str]) -> Path | None:
    """The Python that the command names, or else the one that its environment means."""
    path = env.get("PATH", os.defpath)
    if _PYTHON.match(Path(command[0]).name):
        found = command[0] if "/" in command[0] else shutil.which(command[0], path=path)
        return Path(found) if found else None
    prefixes = (env.get(name) for name in ("VIRTUAL_ENV", "CONDA_PREFIX"))
    inside = (Path(prefix) / "bin" / "python" for prefix in prefixes if prefix)
    found = shutil.which("python", path=path) or shutil.which("python3", path=path)
    return next((each for each in inside if each.exists()), Path(found) if found else None)


def folders(python: Path) -> list[Path]:
    """Where packages are installed for this interpreter."""
    prefix = python.parent.parent
    real = python.resolve().parent.parent
    places = [prefix / "lib", prefix / "local" / "lib"]
    if not (prefix / "pyvenv.cfg").exists() or "include-system-site-packages = true" in _read(prefix / "pyvenv.cfg"):
        places += [real / "lib", Path("/usr/local/lib"), Path("/usr/lib")]
    patterns = ("python3*/site-packages", "python3*/dist-packages")
    return list(dict.fromkeys(site for place in places for pattern in patterns for site in place.glob(pattern)))


def environment(python: Path) -> Environment:
    sites = folders(python)
    packages = sorted({package for site in sites for package in _packages(site)})
    return Environment(str(python), _version(python, sites), tuple(packages), tuple(_editable(sites)))


def _editable(sites: Sequence[Path]) -> list[str]:
    """The folders that `.pth` files, and the finders of setuptools, name."""
    files = [file for site in sites for kind in ("*.pth", "__editable__*finder.py") for file in site.glob(kind)]
    return sorted({folder.rstrip() for file in files for folder in _FOLDER.findall(_read(file))})


def _packages(site: Path) -> Iterator[str]:
    try:
        names = os.listdir(site)  # noqa: PTH208  # names are all that is needed
    except OSError:
        return
    for name in names:
        if found := _DISTRIBUTION.match(name):
            yield f"{found['name'].lower().replace('_', '-')}=={found['version']}"


def _version(python: Path, sites: Sequence[Path]) -> str:
    """As its environment says, else by the name of what it is a link to, else by the folder of its packages."""
    told = re.search(r"^version(?:_info)? = (\S+)", _read(python.parent.parent / "pyvenv.cfg"), re.MULTILINE)
    if told:
        return told[1]
    named = re.search(r"python(\d\.\d+)$", python.resolve().name)
    return named[1] if named else next((site.parent.name.removeprefix("python") for site in sites), "")


def locks(folder: Path, root: Path | None = None) -> dict[str, str]:
    """The digests of the files that say what should be installed, in a folder and at the root of its checkout."""
    places = [folder] if root in (None, folder) else [folder, root]
    files = [file for place in places for file in _lock_files(place)][:_MOST_LOCKS]
    found = {os.path.relpath(file, folder): _digest(file) for file in files}
    return {name: digest for name, digest in found.items() if digest}


def _lock_files(place: Path) -> list[Path]:
    listed = sorted(file for pattern in _LISTS for file in place.glob(pattern))
    return [*(place / name for name in _LOCKS), *listed]


def script(command: Sequence[str], folder: Path) -> dict[str, str] | None:
    """The first argument that is a file, such as `train.py`, with its digest."""
    for argument in command[1:4]:
        if not argument.startswith("-") and (digest := _digest(folder / argument)):
            return {"path": argument, "digest": digest}
    return None


def _digest(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_LOCK_BYTES:
            return None
        return sha256(path.read_bytes()).hexdigest()[:_HEX]
    except (OSError, ValueError):
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
