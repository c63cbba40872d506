"""What is logged must never fail what it is logged about."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from levare import logs
from levare.settings import load


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(stderr: TextIO, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVARE_HOME", str(folder))
    monkeypatch.setenv("LEVARE_LOG_FORMAT", "json")
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.configure(load(), process="worker")


def test_ours_and_the_libraries_lines_look_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "stderr").open("w") as stderr:
        configured(stderr, tmp_path, monkeypatch)
        structlog.get_logger().info("job.ended", job="j")
        logging.getLogger("some.library").warning("reconnecting")

    ours, theirs = (json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines())
    assert (ours["event"], ours["job"], theirs["event"]) == ("job.ended", "j", "reconnecting")
    assert {"level", "process", "timestamp"} <= ours.keys() & theirs.keys()


def test_a_reader_of_the_log_who_is_gone_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader, writer = os.pipe()
    stderr = os.fdopen(writer, "w", buffering=1)
    configured(stderr, tmp_path, monkeypatch)
    os.close(reader)

    structlog.get_logger().info("job.ended")

    with pytest.raises(BrokenPipeError):
        stderr.close()
