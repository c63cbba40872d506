from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet, fleet
from tests.ledger import Ledger


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Fleet]:
    """A whole deployment on SQLite with four simulated GPUs."""
    with fleet(tmp_path) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)
