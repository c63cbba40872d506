"""Each import contract, seen failing: one import planted in a copy of the tree breaks it, and no other."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
PLANTS = [
    ("processes", "app/main.py", "import beat"),
    ("processes", "levare/pulse.py", "import worker"),
    ("library", "levare/pulse.py", "import levare.store"),
    ("library", "levare/settings.py", "import levare.model"),
    ("library", "levare/newcomer.py", ""),
    ("pure", "levare/decide/placement.py", "import random"),
    ("pure", "levare/decide/lifecycle.py", "import time"),
    ("pure", "levare/model/states.py", "import logging"),
    ("training", "levare/run.py", "import httpx"),
    ("clients", "levare/cli/__init__.py", "import redis"),
    ("clients", "levare/client/__init__.py", "import sqlalchemy"),
    ("clients", "levare/cli/validate.py", "import levare.decide"),
    ("wishes", "app/main.py", "import celery"),
    ("hands", "worker/__main__.py", "import levare.decide"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("levare", "app", "beat", "worker"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken(tree: Path) -> set[str]:
    """The ids of the contracts that do not hold."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    said = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False).stdout
    assert re.search(r"^Contracts: \d+ kept, \d+ broken\.$", said, re.MULTILINE), said
    return {name for name, title in NAMES.items() if f"{title} BROKEN" in said}


def test_the_tree_as_it_stands_breaks_none(tree: Path):
    assert broken(tree) == set()


@pytest.mark.parametrize(("contract", "path", "line"), PLANTS)
def test_an_import_against_a_contract_breaks_that_one_alone(tree: Path, contract: str, path: str, line: str):
    with (tree / path).open("a") as module:
        module.write(f"\n{line}\n")

    assert broken(tree) == {contract}


def test_every_contract_is_seen_failing():
    assert {contract for contract, _, _ in PLANTS} == set(NAMES)
