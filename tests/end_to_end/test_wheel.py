"""The wheel, installed with its dependencies into an empty environment, used in an empty directory."""

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.fleet import ROOT, Fleet

PROJECT = """
import app, beat, pathlib, worker
here = pathlib.Path(__file__).parent
print([module.__name__ for module in (app, beat, worker) if pathlib.Path(module.__file__).parent.parent == here])
"""


def clean_environment(**variables: str) -> dict[str, str]:
    """A new shell's: nothing of this checkout, of its environment or of another deployment."""
    ours = ("LEVARE_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = out.glob("levare-*.whl")
    return built


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that `pip install 'levare[server]'` has filled."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    install = [place / "bin" / "pip", "install", "--quiet", "--no-compile", f"levare[server] @ {wheel.as_uri()}"]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt"], check=True, env=clean_environment())
    return place / "bin"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    deployment = Fleet(tmp_path / ".levare")
    yield deployment
    deployment.stop()


def test_the_wheel_takes_no_name_but_its_own(wheel: Path):
    names = ZipFile(wheel).namelist()

    assert {name.split("/")[0].split("-")[0] for name in names} == {"levare"}
    for part in ("Procfile", "app/__main__.py", "beat/__main__.py", "worker/__main__.py", "examples/digits/train.py"):
        assert f"levare/_deploy/{part}" in names
    assert not [name for name in names if "__pycache__" in name or ".levare" in name]


def test_the_demo_runs_from_the_wheel_in_an_empty_directory(binaries: Path, deployment: Fleet):
    environment = clean_environment(LEVARE_PORT="0", LEVARE_FLOWER_PORT="0")

    ran = subprocess.run(
        [binaries / "levare", "demo", "--once"],
        cwd=deployment.home.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "epoch  14 val   loss" in ran.stdout
    assert not deployment.of_this_home()


def test_a_project_with_packages_named_as_ours_imports_its_own(binaries: Path, deployment: Fleet, tmp_path: Path):
    project = tmp_path / "project"
    for name in ("app", "beat", "worker"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").touch()
    (project / "train.py").write_text(PROJECT)
    variables = clean_environment(**deployment.environment)
    up = subprocess.Popen([binaries / "levare", "up", "--quiet"], cwd=project, env=variables, stdout=subprocess.DEVNULL)
    try:
        deployment.await_ready()
        job = deployment.submit(str(binaries / "python"), "train.py", cwd=str(project))
        assert deployment.await_end(job)[0]["state"] == "succeeded"
        assert deployment.log(job) == b"['app', 'beat', 'worker']\n"
    finally:
        up.terminate()
        up.wait(timeout=30)
    assert not deployment.of_this_home()
