from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.durations import corrected, expected, remaining
from levare.model import Duration

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
moments = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=60))
histories = st.lists(st.floats(min_value=0, max_value=1e7), max_size=50)
limits = st.none() | st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=60))
progresses = st.none() | st.floats(min_value=0, max_value=1)
durations = st.none() | st.tuples(moments, moments).map(lambda pair: Duration(min(pair), max(pair)))
modest = settings(max_examples=60, deadline=None)


def test_nothing_is_expected_where_neither_a_limit_nor_history_tells():
    assert expected([], None) is None


def test_without_history_the_limit_is_expected():
    assert expected([], HOUR) == Duration(HOUR, HOUR)


def test_few_runs_promise_twice_the_longest_where_there_is_no_limit():
    assert expected([10, 60], None) == Duration(timedelta(seconds=35), timedelta(seconds=120))
    assert expected([10, 60], HOUR) == Duration(timedelta(seconds=35), HOUR)
    assert expected([10.0] * 5, HOUR) == Duration(timedelta(seconds=10), timedelta(seconds=10))


def test_many_runs_promise_what_nine_of_ten_kept():
    known = expected([float(second) for second in range(1, 11)], None)

    assert known == Duration(timedelta(seconds=5.5), timedelta(seconds=9))


@modest
@given(histories, limits)
def test_what_is_expected_is_within_the_limit_and_typical_within_promised(seconds, limit):
    known = expected(seconds, limit)

    assert known is None or timedelta() <= known.typical <= known.promised <= (limit or timedelta.max)


@modest
@given(st.lists(st.floats(min_value=1, max_value=1e6), min_size=5, max_size=50))
def test_nine_of_ten_runs_keep_the_promise(seconds):
    known = expected(seconds, None)

    assert known
    assert sum(timedelta(seconds=each) <= known.promised for each in seconds) >= 0.9 * len(seconds)


@modest
@given(durations, moments, progresses, limits)
def test_a_run_is_never_promised_to_have_ended_before_now(duration, elapsed, progress, limit):
    whole = corrected(duration, elapsed, progress, limit)

    assert whole is None or elapsed <= whole.typical <= whole.promised
    assert whole is None or whole.promised <= max(elapsed, limit or timedelta.max)


@modest
@given(durations, moments, progresses, limits)
def test_what_remains_is_what_is_left_of_the_whole(duration, elapsed, progress, limit):
    whole, left = corrected(duration, elapsed, progress, limit), remaining(duration, elapsed, progress, limit)

    assert (left is None) == (whole is None)
    assert not (whole and left) or left.promised == whole.promised - elapsed >= timedelta()


@modest
@given(durations, moments, st.floats(min_value=0, max_value=0.049))
def test_the_first_steps_say_nothing(duration, elapsed, progress):
    assert corrected(duration, elapsed, progress, None) == corrected(duration, elapsed, None, None)


@modest
@given(durations, moments.filter(lambda time: time > MINUTE), st.floats(min_value=0.5, max_value=0.95))
def test_from_half_on_only_the_run_itself_counts(duration, elapsed, progress):
    whole = corrected(duration, elapsed, progress, None)

    assert whole
    assert abs(whole.typical - elapsed / progress) < timedelta(seconds=1)


def test_a_run_that_outlives_its_promise_is_given_a_quarter_more():
    whole = corrected(Duration(HOUR, HOUR), 2 * HOUR, None, None)

    assert whole
    assert whole.promised == 2.5 * HOUR


def test_a_slow_run_is_promised_longer_than_its_family():
    whole = corrected(Duration(HOUR, HOUR), HOUR / 2, 0.1, None)

    assert whole
    assert whole.promised > HOUR


def test_a_run_at_its_last_step_is_still_granted_a_moment():
    left = remaining(Duration(HOUR, HOUR), HOUR, 1.0, None)

    assert left
    assert timedelta() < left.promised < HOUR / 10


def test_progress_alone_tells_where_there_is_no_history():
    assert corrected(None, HOUR, 0.5, None) == Duration(2 * HOUR, 2.25 * HOUR)


def test_a_run_without_history_may_take_as_long_as_its_limit():
    assert remaining(None, MINUTE, None, HOUR) == Duration(HOUR - MINUTE, HOUR - MINUTE)
