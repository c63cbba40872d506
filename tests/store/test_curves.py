"""What trainings tell: summed up as it comes, thinned where it is too much, and read as curves."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, func, insert, select, text

from levare.model import Placement, Request
from levare.store import attempts, comparing, curves, shipping, tables, trends, views
from levare.store.engine import Database
from levare.store.shipping import Point, Points
from tests.store.test_views import tell

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Add = Callable[..., str]
NO_GOALS: dict[str, Any] = {}


def start(database: Database, job_id: str) -> str:
    with database.writing() as connection:
        placement = Placement(job_id, "n1", Request())
        attempt = attempts.place(connection, [placement], {}, now=NOON)[0].attempt_id
        assert attempts.claim(connection, attempt, node="n1", incarnation="i1", at=NOON)
        assert attempts.started(connection, attempt, at=NOON)
    return attempt


@pytest.fixture
def attempt(database: Database, add_job: Add, add_node: Add) -> str:
    add_node()
    add_job()
    return start(database, "job")


def ship(database: Database, attempt: str, points: Iterable[Point], **told: Any) -> None:
    some = list(points)
    with database.writing() as connection:
        begin, _ = shipping.metrics_position(connection, attempt)
        assert shipping.append_points(connection, attempt, Points(begin, begin + 1000, some, **told))


def read(database: Database, ask: Callable[..., Any], *arguments: Any, **wanted: Any) -> Any:
    with database.reading() as connection:
        return ask(connection, *arguments, **wanted)


def test_a_summary_tells_last_best_mean_and_extremes_by_stage(database: Database, attempt: str):
    tell(database, attempt, ("train", {"loss": 2.5, "lr": 1}), ("train", {"loss": 0.5}), ("val", {"accuracy": 0.5}))
    tell(database, attempt, ("train", {"loss": 1.5}), (None, {"loss": 9.0}), ("val", {"accuracy": 0.25}))

    found = read(database, trends.summary, attempt)

    assert {stage: set(names) for stage, names in found.items()} == {
        "": {"loss"},
        "train": {"loss", "lr"},
        "val": {"accuracy"},
    }
    assert found["train"]["loss"] == {
        "last": 1.5,
        "last_step": 0,
        "last_at": NOON,
        "best": 0.5,
        "best_step": 1,
        "direction": "min",
        "mean": 1.5,
        "best_min": 0.5,
        "best_max": 2.5,
        "count": 3,
        "not_finite": 0,
    }
    assert [found["val"]["accuracy"][name] for name in ("best", "best_step", "last")] == [0.5, 2, 0.25]
    assert found["train"]["lr"]["best"] is None
    asked = read(database, trends.summary, attempt, stage="train", name="lr", goals={"lr": "max"})
    assert (list(asked), asked["train"]["lr"]["best"]) == (["train"], 1)


def test_what_is_not_finite_is_counted_and_never_the_best(database: Database, attempt: str):
    tell(database, attempt, ("t", {"loss": 1.0}), ("t", {"loss": "Infinity"}), ("t", {"loss": "NaN", "only": "NaN"}))

    told = read(database, trends.summary, attempt)["t"]

    facts = ("last", "best", "mean", "count", "not_finite")
    assert [told["loss"][name] for name in facts] == ["NaN", 1.0, 1.0, 3, 2]
    assert [told["only"][name] for name in facts] == ["NaN", None, None, 1, 1]


def test_a_stretch_that_was_shipped_already_is_not_summed_up_again(database: Database, attempt: str):
    stretch = Points(0, 10, [Point(0, NOON, None, 1, None, {"loss": 1.0})])
    for is_first in (True, False):
        with database.writing() as connection:
            assert shipping.append_points(connection, attempt, stretch) is is_first

    assert read(database, trends.summary, attempt)[""]["loss"]["count"] == 1


def test_the_names_in_a_summary_are_bounded(database: Database, attempt: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("levare.decide.summaries.MOST_NAMES", 12)
    for batch in range(3):
        ship(
            database, attempt, [Point(1000 * batch + i, NOON, None, i, None, {f"m{batch}.{i}": 1.0}) for i in range(9)]
        )

    assert len(read(database, trends.summary, attempt)[""]) == 12


def a_long_training(count: int, begin: int = 0) -> list[Point]:
    """A train loss at each step, a validation at each hundredth, and one peak."""
    points = []
    for step in range(begin, begin + count):
        loss = 999.0 if step == 1234 else 1 / (1 + step)
        points.append(Point(100 * step, NOON, "train", step, None, {"loss": loss}))
        if step % 100 == 0:
            points.append(Point(100 * step + 50, NOON, "val", step, None, {"loss": loss}))
    return points


def ship_and_thin(database: Database, attempt: str, points: list[Point]) -> None:
    ship(database, attempt, points)
    found = read(database, curves.find_thinner, attempt)
    if found:
        with database.writing() as connection:
            curves.thin(connection, attempt, *found)


def kept(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(tables.metrics)).scalar_one()


def test_many_points_are_thinned_to_a_resolution_while_the_summary_stays_exact(
    database: Database, attempt: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(curves, "MOST_KEPT", 1000)

    for begin in range(0, 8000, 400):
        ship_and_thin(database, attempt, a_long_training(400, begin))
        assert read(database, kept) <= 1000 + 404

    row = read(database, views.attempt, "job", None)
    thinning = read(database, trends.thinning, row)
    assert thinning == {"told": 8080, "kept": read(database, kept), "window_bytes": thinning["window_bytes"]}
    assert row["points_dropped"] == 0
    told = read(database, trends.summary, attempt)["train"]["loss"]
    assert (told["count"], told["last"], told["best_max"], told["mean"]) == (
        8000,
        1 / 8000,
        999.0,
        pytest.approx((999 - 1 / 1235 + sum(1 / (1 + step) for step in range(8000))) / 8000),
    )
    found = {each["stage"]: each["points"] for each in plotted(database, attempt, 10_000)}
    assert [point["step"] for point in found["val"]] == list(range(0, 8000, 100))
    assert {0, 1234, 7999} <= {point["step"] for point in found["train"]}
    assert max(b["step"] - a["step"] for a, b in zip(found["train"], found["train"][1:], strict=False)) <= 100


def plotted(database: Database, attempt: str, most: int, **wanted: Any) -> list[Any]:
    return read(database, trends.plotted, attempt, most=most, **{"stage": None, "name": None, **wanted})


def test_few_points_are_all_kept(database: Database, attempt: str):
    ship_and_thin(database, attempt, a_long_training(200))

    assert read(database, trends.thinning, read(database, views.attempt, "job", None)) is None
    assert read(database, kept) == 202


def test_a_plot_has_as_many_points_as_it_asked_for_and_the_peak(database: Database, attempt: str):
    ship(database, attempt, a_long_training(2000))

    [train] = plotted(database, attempt, 50, stage="train", name="loss")

    assert len(train["points"]) == 50
    steps = [point["step"] for point in train["points"]]
    assert (steps[0], steps[-1], 1234 in steps) == (0, 1999, True)


def test_progress_is_taken_from_epochs_where_the_training_says_how_many(database: Database, attempt: str):
    ship(database, attempt, [], params={"epochs": 10, "lr": 0.1, "optimiser": "adam"})
    ship(database, attempt, [Point(2000, NOON + timedelta(seconds=10), "train", None, 2.0, {"loss": 1.0})])
    ship(database, attempt, [Point(3000, NOON + timedelta(seconds=20), "train", None, 4.0, {"loss": 1.0})])

    with database.reading() as connection:
        [job] = trends.with_left(connection, [views.job(connection, "job")], now=NOON + timedelta(seconds=20))
    assert [job[name] for name in ("progress", "progress_from", "left_seconds", "left_from")] == [
        0.4,
        "epochs",
        30.0,
        "epochs",
    ]
    assert read(database, trends.params, attempt) == {"epochs": 10, "lr": 0.1, "optimiser": "adam"}


@pytest.mark.usefixtures("attempt")
def test_without_progress_the_time_left_is_learned_from_the_family(database: Database):
    with database.writing() as connection:
        family = {"name": "default/default/job", "seconds": [100.0, 120.0, 140.0], "fast_failures": 0}
        connection.execute(insert(tables.families), family | {"updated_at": NOON})

    with database.reading() as connection:
        job = views.job(connection, "job")
        [running] = trends.with_left(connection, [job], now=NOON + timedelta(seconds=20))
        [late] = trends.with_left(connection, [job], now=NOON + timedelta(seconds=500))

    assert (running["left_seconds"], running["left_from"]) == (100.0, "history")
    assert (late["left_seconds"], late["left_from"]) == (None, None)


def test_runs_stand_beside_each_other_with_the_best_of_each_metric(database: Database, attempt: str, add_job: Add):
    add_job("other", schedule="nightly")
    other = start(database, "other")
    add_job("new")
    tell(database, attempt, ("val", {"accuracy": 0.5, "lr": 1.0}))
    tell(database, other, ("val", {"accuracy": 0.75}))

    with database.reading() as connection:
        found = comparing.of_jobs(connection, [("job", None), ("other", 1), ("new", None)])
        compared = comparing.compared(connection, found, stage=None, name=None, goals=None)
        nightly = comparing.of_work(connection, schedule="nightly", family=None, most=5)

    assert [run["attempt"] for run in compared.runs] == [attempt, other, ""]
    accuracy, lr = compared.metrics
    assert (accuracy["name"], accuracy["best_run"]) == ("accuracy", 1)
    assert [each and each["last"] for each in accuracy["runs"]] == [0.5, 0.75, None]
    assert (lr["best_run"], lr["runs"][1]) == (None, None)
    assert [(run["job"], run["attempt"]) for run in nightly] == [("other", other)]


def test_what_was_told_before_there_were_summaries_is_summed_up_by_the_migration(database: Database, attempt: str):
    lines = [("train", {"loss": 2.0}), ("train", {"loss": 1.0, "acc": "NaN"}), (None, {"loss": 5.0})]
    tell(database, attempt, *lines)
    expected = read(database, trends.summary, attempt)
    with database.writing() as connection:
        connection.execute(text("DROP TABLE summaries"))
        connection.execute(text("DROP TABLE courses"))

    with database.writing() as connection, Operations.context(MigrationContext.configure(connection)):
        import_module("levare.store.migrations.versions.0015_curves").upgrade()

    found = read(database, trends.summary, attempt)
    for stage, names in expected.items():
        for name, told in names.items():
            assert found[stage][name] == told | {"best_step": None}
    assert read(database, curves.kept_of, attempt) == (3, None)
