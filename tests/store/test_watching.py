"""Files that are watched: each content is told once, when it is still, across restarts and failures."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from levare import watching
from levare.store import triggers
from levare.store.engine import Database
from levare.store.tables_triggers import watched as watched_table
from levare.watching import Watcher, scan
from tests.store.watched import ADA, NOON, SECOND, Watched


class Eyes:
    """A watcher that looks when it is told to, however short the time since the last look was."""

    def __init__(self, database: Database, node: str = "n1") -> None:
        self.rings = 0
        self._watcher = Watcher(database, node, tell=self._ring)

    def _ring(self) -> None:
        self.rings += 1

    def look(self, second: float) -> None:
        for memory in self._watcher._known.values():
            memory.due_at = 0.0
        self._watcher.look(now=NOON + second * SECOND)


@pytest.fixture
def watched(database: Database, add_node: Callable[..., str]) -> Watched:
    add_node()
    return Watched(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def on(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"files": {"path": str(path), "node": "n1", "quiet_seconds": 5, **more}}


def told(watched: Watched) -> list[tuple[str, str]]:
    return [(row["event"]["type"].rpartition(".")[2], row["event"]["data"]["path"]) for row in watched.happened()]


def test_a_new_file_is_told_once_when_it_is_still_and_its_job_finds_its_name(watched: Watched, folder: Path):
    (folder / "old.csv").write_text("old")
    watched.declare(when=on(folder / "*.csv"))
    eyes = Eyes(watched.database)
    eyes.look(0)
    new = folder / "new.csv"
    new.write_text("a")
    eyes.look(1)
    new.write_text("ab")
    eyes.look(5)
    eyes.look(9)
    assert told(watched) == []
    eyes.look(10)
    eyes.look(60)

    assert told(watched) == [("created", str(new))]
    assert eyes.rings == 1
    assert watched.look(NOON + 60 * SECOND)
    [job] = watched.jobs()
    assert job.env["LEVARE_FILE"] == str(new)
    assert json.loads(job.env["LEVARE_FILES"]) == [str(new)]
    assert json.loads(job.env["LEVARE_EVENT"])["data"]["node"] == "n1"


def test_a_file_that_changes_or_goes_and_comes_back_is_told_again(watched: Watched, folder: Path):
    file = folder / "a"
    file.write_text("1")
    watched.declare(when=on(folder, quiet_seconds=0))
    eyes = Eyes(watched.database)
    eyes.look(0)
    file.write_text("22")
    eyes.look(1)
    file.unlink()
    eyes.look(2)
    file.write_text("333")
    eyes.look(3)

    assert told(watched) == [("changed", str(file)), ("created", str(file))]


def test_what_happened_while_nobody_watched_is_told_after_a_restart_and_nothing_twice(watched: Watched, folder: Path):
    (folder / "old").write_text("old")
    watched.declare(when=on(folder))
    first = Eyes(watched.database)
    first.look(0)
    (folder / "seen").write_text("x")
    first.look(10)

    second = Eyes(watched.database)
    (folder / "unseen").write_text("x")
    second.look(20)
    second.look(30)
    Eyes(watched.database).look(40)

    assert told(watched) == [("created", str(folder / "seen")), ("created", str(folder / "unseen"))]


def test_existing_files_count_only_where_that_is_said_and_only_what_is_wanted_is_told(watched: Watched, folder: Path):
    (folder / "old").write_text("old")
    watched.declare(when=on(folder, existing=True, on=["created"], quiet_seconds=0))
    eyes = Eyes(watched.database)
    eyes.look(0)
    (folder / "old").write_text("changed")
    eyes.look(1)

    assert told(watched) == [("created", str(folder / "old"))]


def test_another_node_watches_nothing_and_another_declaration_begins_anew(watched: Watched, folder: Path):
    watched.declare(when=on(folder, quiet_seconds=0))
    eyes, others = Eyes(watched.database), Eyes(watched.database, "n2")
    eyes.look(0)
    (folder / "a").write_text("a")
    others.look(1)
    assert told(watched) == []
    watched.declare(when=on(folder, quiet_seconds=0, on=["created"]), now=NOON + SECOND)
    eyes.look(2)

    assert told(watched) == []


def test_a_trigger_that_was_removed_meanwhile_is_told_nothing(watched: Watched, folder: Path):
    watched.declare(when=on(folder, quiet_seconds=0))
    eyes = Eyes(watched.database)
    eyes.look(0)
    with watched.database.writing() as connection:
        triggers.remove(connection, "t", actor=ADA, now=NOON)
    (folder / "a").write_text("a")
    eyes.look(1)

    assert told(watched) == []
    with watched.database.reading() as connection:
        assert connection.execute(select(watched_table)).all() == []


def problem_of(watched: Watched) -> str | None:
    with watched.database.reading() as connection:
        return triggers.one(connection, "t")["problem"]


def test_a_folder_that_is_not_there_yet_is_a_problem_until_it_is(watched: Watched, tmp_path: Path):
    folder = tmp_path / "later"
    watched.declare(when=on(folder / "*.csv", quiet_seconds=0))
    eyes = Eyes(watched.database)
    eyes.look(0)
    assert f"There is no {folder}" in (problem_of(watched) or "")
    folder.mkdir()
    (folder / "a.csv").write_text("a")
    eyes.look(1)

    assert problem_of(watched) is None
    assert told(watched) == [("created", str(folder / "a.csv"))]


def test_more_files_than_are_watched_are_a_problem(watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "MOST_FILES", 3)
    for number in range(5):
        (folder / f"{number}").write_text("x")
    watched.declare(when=on(folder))
    Eyes(watched.database).look(0)

    assert "more than 3 files" in (problem_of(watched) or "")


def test_a_file_system_that_does_not_answer_makes_nothing_gone(
    watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "old").write_text("old")
    watched.declare(when=on(folder, quiet_seconds=0))
    eyes = Eyes(watched.database)
    eyes.look(0)
    with monkeypatch.context() as patch:

        def stale(*_: Any) -> Any:
            raise OSError(116, "Stale file handle")

        patch.setattr(os, "stat", stale)
        eyes.look(1)
    assert "Stale file handle" in (problem_of(watched) or "")
    eyes.look(2)

    assert problem_of(watched) is None
    assert told(watched) == []


def test_a_scan_leaves_out_what_is_no_file_hidden_or_has_no_readable_name(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "deep").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "a").write_text("x")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).write_text("x")

    assert set(scan(str(tmp_path)).found) == {str(tmp_path / "a")}
    assert "1 names are not UTF-8" in (scan(str(tmp_path)).problem or "")
    assert set(scan(f"{tmp_path}/**/deep").found) == {str(tmp_path / "folder" / "deep")}
    assert set(scan(str(tmp_path / "a")).found) == {str(tmp_path / "a")}
