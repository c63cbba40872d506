import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trials import Trials
from worker.launcher import Launcher


@pytest.fixture(params=["fork-server", "plain"])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    launcher = Launcher(fork_server=request.param == "fork-server")
    yield launcher
    launcher.close()


@pytest.fixture
def trials(tmp_path: Path, launcher: Launcher) -> Iterator[Trials]:
    trials = Trials(tmp_path, launcher)
    yield trials
    trials.clean()
    shutil.rmtree(tmp_path)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Trials]:
    """Attempts of a fork-server alone, where the way they start does not matter."""
    with_server = Launcher()
    trials = Trials(tmp_path, with_server)
    yield trials
    trials.clean()
    with_server.close()
    shutil.rmtree(tmp_path)
