from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from levare.cli.witness import Ledger
from tests.conftest import BACKENDS
from tests.fleet import Fleet, fleet


@pytest.fixture(params=BACKENDS)
def database_variable(request: pytest.FixtureRequest, make_database_url: Callable[[str], str]) -> dict[str, str]:
    """What tells a deployment its database: nothing for SQLite in its home, or a PostgreSQL."""
    return {} if request.param == "sqlite" else {"LEVARE_DATABASE": make_database_url(request.param)}


@pytest.fixture
def running(tmp_path: Path, database_variable: dict[str, str]) -> Iterator[Fleet]:
    """A whole deployment with four simulated GPUs."""
    with fleet(tmp_path, **database_variable) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture(scope="module", params=BACKENDS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]
) -> Iterator[Fleet]:
    """The same, one for all tests of a file that leave it as they found it."""
    with fleet(tmp_path_factory.mktemp("shared"), LEVARE_DATABASE=make_database_url(request.param)) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)
