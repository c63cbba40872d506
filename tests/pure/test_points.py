import json
from datetime import UTC, datetime

import pytest

from worker.points import LONGEST_LINE, MOST_VALUES, read_points

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def read(*lines: object, final: bool = False, tail: bytes = b""):
    text = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    return read_points(text + tail, 0, now=NOON, final=final)


def test_a_line_becomes_a_point_with_its_stage_step_and_epoch():
    (point,) = read({"step": 10, "stage": "val", "epoch": 2, "time": 0, "loss": 0.5}).points

    assert (point.step, point.stage, point.epoch, point.values) == (10, "val", 2.0, {"loss": 0.5})
    assert point.at == datetime(1970, 1, 1, tzinfo=UTC)


def test_numbers_that_json_does_not_know_are_kept_by_name():
    (point,) = read(b'{"a": NaN, "b": Infinity, "c": -Infinity}').points

    assert point.values == {"a": "NaN", "b": "Infinity", "c": "-Infinity"}


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1]",
        b'{"loss": "high"}',
        b'{"loss": null}',
        b'{"%s": 1}' % (b"x" * 200),
        b'{"loss": 1, "pad": "%s"}' % (b"x" * LONGEST_LINE),
        json.dumps({f"v{i}": i for i in range(MOST_VALUES + 1)}).encode(),
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_a_line_that_cannot_be_used_is_counted_and_the_others_stay(line: bytes):
    result = read(line, {"loss": 1})

    assert result.dropped == 1
    assert [point.values for point in result.points] == [{"loss": 1.0}]


def test_a_line_that_is_still_being_written_is_left_for_later():
    result = read({"loss": 1}, tail=b'{"loss": 2')

    assert len(result.points) == 1
    assert result.end == len(b'{"loss": 1}\n')


def test_at_the_end_a_last_line_without_its_newline_counts():
    assert len(read({"loss": 1}, tail=b'{"loss": 2}', final=True).points) == 2


def test_progress_is_read_and_makes_no_point():
    result = read({"progress": 0.25}, {"progress": 7})

    assert result.progress == 1.0
    assert not result.points


def test_the_offset_of_a_point_is_where_its_line_begins():
    assert [point.offset for point in read({"a": 1}, {"a": 2}).points] == [0, len(b'{"a": 1}\n')]


def test_what_the_training_was_given_comes_beside_its_points():
    result = read({"params": {"lr": 0.1, "name": "x" * 600, "deep": [1, 2], "on": True}}, {"params": 3.0})

    assert result.params == {"lr": 0.1, "name": "x" * 497 + "...", "deep": "[1, 2]", "on": True}
    assert [point.values for point in result.points] == [{"params": 3.0}]


@pytest.mark.parametrize("line", [b'{"step": Infinity, "a": 1}', b'{"a\\u0000": 1}', b'{"\\ud800": 1}'])
def test_what_no_database_can_keep_is_dropped(line: bytes):
    result = read(line, {"a": 1})

    assert (result.dropped, len(result.points)) == (1, 1)


def test_no_point_is_of_the_future():
    [point] = read({"a": 1, "time": NOON.timestamp() + 1e6}).points

    assert point.at == NOON
