"""Numbers as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levare.cli import terminal, words
from levare.cli.jobs import job_table
from levare.written import size_mib

Terminal = Callable[[int, Callable[[], None]], list[str]]
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """The lines that something shows on a terminal of so many columns."""

    def shown(columns: int, show: Callable[[], None]) -> list[str]:
        monkeypatch.setattr(terminal, "is_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        show()
        return capsys.readouterr().out.splitlines()

    return shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (0, "0s"), (0.44, "0.4s"), (9, "9s"), (42, "42s"), (192, "3m12s"), (7500, "2h05m"), (356400, "4d03h")],
)
def test_a_span_has_at_most_two_units(seconds: float, text: str):
    assert words.span(seconds) == text
    assert words.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("mib", [1, 512, 1024, 20480, 1536, 81920, 1024**2, 3 * 1024**2])
def test_a_size_can_be_given_back_as_an_option(mib: int):
    assert size_mib(words.size(mib)) == mib


@pytest.mark.parametrize(("text", "mib"), [("64", 64), ("20480", 20480), ("0", 0), ("10MiB", 10), ("10g", 10240)])
def test_a_bare_number_is_mib_where_it_is_large_enough_to_be_meant(text: str, mib: int):
    assert size_mib(text) == mib


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.312345, "0.3123"), (1e-5, "1e-05"), (3, "3"), (3.0, "3"), (12345, "12,345"), ("NaN", "NaN"), (None, "-")],
)
def test_a_number_has_four_digits(value: Any, text: str):
    assert words.number(value) == text


@pytest.mark.parametrize(("amount", "text"), [(0, "0.00"), (2.5, "2.50"), (1234.567, "1,234.57"), (0.00123, "0.0012")])
def test_money_has_two_digits_or_as_many_as_tell_something(amount: float, text: str):
    assert (words.money(amount), words.money(amount, "EUR")) == (text, f"{text} EUR")


@pytest.mark.parametrize(("joules", "text"), [(0, "0 Wh"), (1_260_000, "350 Wh"), (4_500_000, "1.25 kWh")])
def test_energy_is_told_in_watt_hours(joules: float, text: str):
    assert words.energy(joules) == text


@pytest.mark.parametrize(("part", "text"), [(None, "-"), (0, "0%"), (0.29, "29%"), (0.999, "99%"), (1, "100%")])
def test_a_progress_is_whole_only_at_its_end(part: float | None, text: str):
    assert words.percent(part) == text


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"gpus": 0, "cpus": 1}, "1 CPU"),
        ({"gpus": 1, "cpus": 1}, "1 GPU"),
        ({"gpus": 1, "gpu_memory_mib": 20480}, "20GiB of a GPU"),
        ({"gpus": 2, "gpu_memory_mib": 20480, "cpus": 4, "memory_mib": 512}, "20GiB of each of 2 GPUs, 4 CPUs, 512MiB"),
    ],
)
def test_what_every_job_has_is_not_told(asked: dict[str, Any], text: str):
    job: Any = {"gpus": 0, "gpu_memory_mib": None, "cpus": 1, "memory_mib": 0, "nodes": 1} | asked

    assert words.resources(job) == text


@pytest.mark.parametrize(
    ("basis", "told", "short"),
    [
        ("progress", "about 30m00s left", "30m00s"),
        ("steps", "about 30m00s left, by its steps", "30m00s"),
        ("history", "about 30m00s left, by earlier runs", "~30m00s"),
    ],
)
def test_the_time_left_is_told_with_what_it_is_taken_from(basis: str, told: str, short: str):
    job: Any = {"left_seconds": 1799.6, "left_from": basis}

    assert (words.time_left(job), words.left(job)) == (told, short)
    assert (words.time_left(job | {"left_seconds": None}), words.left(job | {"left_seconds": None})) == (None, "-")


def test_a_retried_job_that_waits_tells_how_long_it_has_been_there():
    times = {"created_at": "2030-01-01T12:00:00Z", "started_at": "2030-01-01T13:00:00Z", "finished_at": None}
    job: Any = {"state": "waiting", **times}

    now = datetime.now(UTC)

    assert words.lasted(job) == words.since("2030-01-01T12:00:00Z", now)


def test_a_table_of_jobs_fits_80_columns_and_keeps_what_identifies_them(a_terminal: Terminal):
    job: Any = {
        "id": "k3v9x2m1qa",
        "name": "a-very-long-name-" * 5,
        "command": ["x"],
        "state": "succeeded",
        "priority": 5,
        "gpus": 2,
        "gpu_memory_mib": 20480,
        "cpus": 16,
        "memory_mib": 65536,
        "nodes": 1,
        "node": "a-node-with-a-long-name.example.org",
        "progress": 1.0,
        "array": None,
        "created_at": "2030-01-01T12:00:00Z",
        "started_at": "2030-01-01T12:00:00Z",
        "finished_at": "2030-01-05T15:00:00Z",
    }
    lines = a_terminal(80, lambda: terminal.show(job_table([job])))

    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("k3v9x2m1qa  a-very")
    assert all(text in lines[1] for text in ("succeeded", " 4d03h", " 100%", "…"))


def test_a_table_that_cannot_be_narrower_loses_no_column(a_terminal: Terminal):
    table = lambda: terminal.table(("name", "value>"), [("x" * 30, "y" * 30)], flexible=("name",))  # noqa: E731

    assert a_terminal(50, lambda: terminal.show(table())) == ["name" + " " * 41 + "value", "x" * 17 + "…  " + "y" * 30]
    assert a_terminal(20, lambda: terminal.show(table()))[1] == "x" * 7 + "…  " + "y" * 30


def test_no_colour_is_used_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")

    terminal.show(terminal.state("failed"))

    assert "\x1b[31m" not in capsys.readouterr().out
