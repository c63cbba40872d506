"""Wrong manifests: each problem is told once, at its place, in words; nothing else is, and never by a traceback."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levare.manifest import InvalidManifest, Problem, check
from tests.pure.wrong_manifests import WRONG

NOW = datetime(2030, 6, 1, tzinfo=UTC)
MOST_SECONDS = 0.2


def problems_of(file: Path, **options) -> list[Problem]:
    with pytest.raises(InvalidManifest) as caught:
        check([file], now=NOW, **options)
    return list(caught.value.problems)


def written(folder: Path, text: str) -> Path:
    file = folder / "levare.yaml"
    file.write_text(text)
    return file


def test_there_are_sixty_wrong_manifests_and_more():
    assert len(WRONG) >= 60


@pytest.mark.parametrize("name", WRONG)
def test_it_is_told_once_and_at_its_place(name: str, tmp_path: Path):
    marked, message = WRONG[name]
    before, _, after = marked.partition("§")
    file = written(tmp_path, before + after)

    [problem] = problems_of(file)
    assert message in problem.sentence
    place = problem.place
    assert (place.file, place.line, place.column) == (
        str(file),
        before.count("\n") + 1,
        len(before) - before.rfind("\n"),
    )


def test_each_of_them_is_told_soon(tmp_path: Path):
    """Of three times the shortest, of the process alone: others use the machine too."""
    for name, (marked, _) in WRONG.items():
        file = written(tmp_path, marked.replace("§", ""))
        assert min(seconds_of(file) for _ in range(3)) < MOST_SECONDS, name


def seconds_of(file: Path) -> float:
    begun = time.process_time()
    problems_of(file)
    return time.process_time() - begun
