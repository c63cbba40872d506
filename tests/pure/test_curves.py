"""Fewer points that show the same curve, and what a metric comes to."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf, isfinite, isnan, nan, sin
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levare.decide.course import Course, Left, News, furthered, left
from levare.decide.curves import MOST_KINDS, Kinds, Line, sampled, thinned, thinned_to
from levare.decide.summaries import Summary, best, direction, summed, together

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@given(st.lists(VALUES, max_size=300), st.integers(2, 60))
def test_a_sample_has_at_most_so_many_points_in_order_with_both_ends(ys: list[float], most: int):
    places = sampled(list(range(len(ys))), ys, most)

    assert len(places) <= most
    assert places == sorted(set(places))
    assert not ys or (places[0], places[-1]) == (0, len(ys) - 1)


def test_a_sample_keeps_the_peak_and_the_shape():
    ys = [sin(x / 50) for x in range(5000)]
    ys[3210] = 40.0

    places = sampled(list(range(5000)), ys, 200)

    assert len(places) == 200
    assert 3210 in places
    assert max(b - a for a, b in pairwise(places)) <= 2 * 5000 / 198


def test_a_curve_that_became_nan_still_shows_where():
    ys = [1.0] * 1000 + [nan] * 1000

    places = sampled(list(range(2000)), ys, 100)

    assert 1000 in places
    assert [place for place in places if isnan(ys[place])] == [1000, 1999]


LINES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3), VALUES), min_size=1, max_size=400)


def lines_of(told: list[tuple[int, int, float]]) -> list[Line]:
    offset, lines = 0, []
    for length, kind, value in told:
        lines.append(Line(offset, kind, value if isfinite(value) else inf))
        offset += length
    return lines


@given(LINES, st.sampled_from([64, 256]))
def test_thinning_keeps_extremes_and_ends_and_to_repeat_it_changes_nothing(
    told: list[tuple[int, int, float]], window: int
):
    lines = lines_of(told)

    kept = [line for line in lines if line.offset in thinned(lines, window)]

    assert thinned(kept, window) == {line.offset for line in kept}
    for kind in {line.kind for line in lines}:
        all_of_it, left_of_it = ([each for each in some if each.kind == kind] for some in (lines, kept))
        assert min(each.value for each in all_of_it) == min(each.value for each in left_of_it)
        assert max(each.value for each in all_of_it) == max(each.value for each in left_of_it)
        assert (all_of_it[0], all_of_it[-1]) == (left_of_it[0], left_of_it[-1])


@given(LINES, st.integers(1, 50))
def test_thinning_comes_to_an_end_whatever_was_told(told: list[tuple[int, int, float]], most: int):
    lines = lines_of(told)

    kept, window = thinned_to(lines, most, None)

    assert len(kept) <= most or window >= lines[-1].offset - lines[0].offset


def test_names_without_end_are_of_one_kind():
    kinds = Kinds()

    assert len({kinds[name] for name in range(10 * MOST_KINDS)}) == MOST_KINDS + 1


@given(st.lists(VALUES, min_size=1, max_size=60), st.integers(1, 59))
def test_a_summary_is_the_same_however_the_points_come(ys: list[float], cut: int):
    told = [(None, step, NOON, {"m": y if isfinite(y) else str(y)}) for step, y in enumerate(ys)]
    first = summed({}, told[:cut])

    whole = summed({}, told)["", "m"]

    assert (first | summed(first, told[cut:]))["", "m"] == whole
    finite = [y for y in ys if isfinite(y)]
    assert (whole.count, whole.finite) == (len(ys), len(finite))
    assert (whole.least, whole.greatest) == ((min(finite), max(finite)) if finite else (None, None))
    assert whole.mean == pytest.approx(
        mean(finite) if finite else 0.0, rel=1e-6, abs=1e-6 * max(map(abs, [1, *finite]))
    )


def test_stages_together_have_the_mean_of_all_and_the_newest_last():
    one = summed({}, [("a", 1, NOON, {"m": 1.0}), ("a", 2, NOON, {"m": 2.0})])["a", "m"]
    other = summed({}, [("b", 9, NOON + seconds(1), {"m": 6.0})])["b", "m"]

    both = together([other, one])

    assert both is not None
    assert (both.count, both.mean, both.least, both.greatest, both.greatest_step, both.last) == (
        3,
        3.0,
        1.0,
        6.0,
        9,
        6.0,
    )
    assert together([]) is None


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("loss", "min"),
        ("box_loss2", "min"),
        ("logloss", "min"),
        ("mean_squared_error", "min"),
        ("valRMSE", "min"),
        ("perplexity", "min"),
        ("accuracy", "max"),
        ("top5_acc", "max"),
        ("valTop1Acc", "max"),
        ("f1", "max"),
        ("r2_score", "max"),
        ("mAP@50", "max"),
        ("roc_auc", "max"),
        ("neg_log_loss", "max"),
        ("lr", None),
        ("grad_norm", None),
        ("learning_rate", None),
    ],
)
def test_the_words_of_a_name_say_which_way_is_better(name: str, way: str | None):
    assert direction(name) == way


def test_what_was_said_counts_for_more_than_the_name():
    assert direction("loss", {"loss": "max"}) == "max"
    assert best(Summary(1, 1, 1.0, 1.0, 5, 2.0, 7), "max") == (2.0, 7)
    assert best(Summary(1, 1, 1.0, 1.0, 5, 2.0, 7), None) == (None, None)


def test_told_progress_counts_for_more_than_steps_and_steps_for_more_than_epochs():
    course = furthered(Course(), News(NOON, step=10, epoch=1.0, params={"max_steps": 100, "epochs": 4}))
    assert (course.progress, course.source) == (0.1, "steps")

    course = furthered(course, News(NOON, progress=0.5))
    assert (course.progress, course.source) == (0.5, "told")

    course = furthered(course, News(NOON, step=90))
    assert (course.progress, course.source, course.step) == (0.5, "told", 90)


@pytest.mark.parametrize("total", [-1, 0, "nan", "many", 5])
def test_a_total_that_cannot_be_one_says_nothing(total: float | str):
    assert furthered(Course(), News(NOON, step=10, params={"max_steps": total})).progress is None


def test_the_time_left_goes_by_the_pace_since_the_first_report_so_a_restart_does_not_flatter():
    course = furthered(Course(), News(NOON + seconds(10), progress=0.5))  # went on from a checkpoint
    course = furthered(course, News(NOON + seconds(70), progress=0.6))

    told = left(course, [], started_at=NOON, now=NOON + seconds(80))

    assert told == Left(pytest.approx(230), "progress")  # 4 tenths at 60 s each, and 10 s of it are over


def test_without_a_pace_the_family_tells_and_what_has_outlived_it_is_not_guessed():
    known = [100.0, 200.0, 300.0]

    assert left(None, known, started_at=NOON, now=NOON) == Left(200.0, "history")
    assert left(None, known, started_at=NOON, now=NOON + seconds(150)) == Left(100.0, "history")
    assert left(None, known, started_at=NOON, now=NOON + seconds(301)) is None
    assert left(None, known, started_at=None, now=NOON) is None
