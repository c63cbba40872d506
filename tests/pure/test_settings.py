from datetime import timedelta

import pytest

from levare.errors import InvalidSetting
from levare.settings import duration_seconds, load


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2w", 1209600)])
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int):
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-1h", "1y", "1h 30m"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match="such as 90s"):
        duration_seconds(text)


def test_the_half_life_is_a_week_unless_it_is_set():
    assert load({}).half_life == timedelta(days=7)
    assert load({"LEVARE_HALF_LIFE": "36h"}).half_life == timedelta(hours=36)


@pytest.mark.parametrize("text", ["soon", "59m", "367d", "99999999999999w"])
def test_a_half_life_that_is_none_is_refused_with_what_is_allowed(text: str):
    with pytest.raises(InvalidSetting, match=f"LEVARE_HALF_LIFE is '{text}'. Set a duration from 1h to 366d"):
        load({"LEVARE_HALF_LIFE": text})
