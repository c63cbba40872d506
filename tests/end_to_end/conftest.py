"""The API, served for one test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.serving import Api, serving


@pytest.fixture
def api(tmp_path: Path, database_url: str) -> Iterator[Api]:
    """On SQLite and on PostgreSQL, without a Redis."""
    with serving(tmp_path / "home", database_url) as api:
        yield api


@pytest.fixture
def local_api(tmp_path: Path, make_database_url: Callable[[str], str]) -> Iterator[Api]:
    """On SQLite, for what no database has a part in."""
    with serving(tmp_path / "home", make_database_url("sqlite")) as api:
        yield api


@pytest.fixture(scope="module")
def refusing_api(tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]) -> Iterator[Api]:
    """On SQLite, one for all tests of a file that only show what is refused, and so keep nothing in it."""
    with serving(tmp_path_factory.mktemp("serving") / "home", make_database_url("sqlite")) as api:
        yield api
