"""Pictures on pages: bars over time that do not hide each other, graphs whose lines go to the right."""

from datetime import UTC, datetime, timedelta

import pytest

from app.dashboard import graph, words
from app.dashboard.gantt import FORESEEN, Bar, Frame, Lane
from app.dashboard.pages import found_at, params_of
from app.dashboard.schedules import times_of
from levare.decide.forecast import course
from levare.errors import NotFound
from levare.model import Duration, Sharing
from tests.pure.world import CARD, NOON, a_job, a_node, a_run

HOUR = timedelta(hours=1)


def a_bar(left: float, width: float, tail: float = 0.0, state: str = "running") -> Bar:
    return Bar("a", state, left, width, "", tail=tail)


def test_time_moves_by_whole_minutes_and_has_few_round_ticks():
    at = datetime(2030, 1, 1, 12, 34, 56, tzinfo=UTC)
    frame = Frame.around(at, past=HOUR, ahead=HOUR)

    assert frame == Frame.around(at.replace(second=1), past=HOUR, ahead=HOUR)
    assert frame.percent(frame.now) == 50
    assert [said for _, said in frame.ticks] == ["11:40", "12:00", "12:20", "12:40", "13:00", "13:20"]
    assert "Jan 2" in [said for _, said in Frame.around(at, past=12 * HOUR, ahead=12 * HOUR).ticks]


def test_bars_that_overlap_stand_on_lines_of_their_own_and_short_ones_do_not_push():
    lane = Lane("k", "n1", bars=[a_bar(0, 50), a_bar(40, 20), a_bar(50, 10), a_bar(60.1, 0.35), a_bar(60.2, 5)])

    assert [[bar.left for bar in line] for line in lane.lines] == [[0, 50, 60.1, 60.2], [40]]
    assert lane.left_off == 0


def test_a_run_keeps_its_line_for_as_long_as_it_is_expected_to_go_on():
    lane = Lane("k", "n1", bars=[a_bar(0, 10, tail=20), a_bar(10, 5, state=FORESEEN)])

    assert len(lane.lines) == 2


def test_the_name_of_what_has_just_begun_stands_where_there_is_room_for_it():
    assert a_bar(0, 1, tail=24).name_at == 4.0
    assert a_bar(0, 10, tail=15).name_at == 0
    assert a_bar(0, 1).name_at == 0


def test_no_row_is_endless_and_what_is_left_off_is_told():
    lane = Lane("k", "n1", bars=[a_bar(0, 50) for _ in range(40)])

    assert (len(lane.lines), lane.left_off) == (12, 28)


def test_a_state_is_told_by_a_sign_as_well():
    assert [a_bar(0, 1, state=state).sign for state in ("succeeded", "failed", "timed_out", "running")] == [
        "✓",
        "✖",
        "✖",
        "",
    ]


def test_each_step_stands_to_the_right_of_all_that_it_needs():
    steps = [
        {"step": "a", "needs": []},
        {"step": "b", "needs": ["a"]},
        {"step": "c", "needs": ["a", {"job": "b", "on": "failure"}, "k3v9x2m1qa"]},
    ]

    drawing = graph.drawn(steps)

    assert drawing.places["a"][0] < drawing.places["b"][0] < drawing.places["c"][0]
    assert sorted(outcome for _, outcome in drawing.lines) == ["failure", "success", "success"]
    assert all(x + graph.BOX_WIDTH <= drawing.width for x, _ in drawing.places.values())
    assert all(y + graph.BOX_HEIGHT <= drawing.height for _, y in drawing.places.values())


def test_a_graph_of_nothing_is_empty():
    assert graph.drawn([]).lines == []


def test_what_is_foreseen_ends_where_it_is_to_make_room():
    hours = Duration(HOUR, HOUR)
    node = a_node(
        "n", held=[a_run(a_job("r", gpus=4, expected=hours), {f"n-{i}": CARD for i in range(4)}, placed_at=NOON)]
    )

    found = course([a_job("next", gpus=4, expected=hours)], [node], now=NOON, sharing=Sharing())

    [start] = found.starts
    assert (start.job_id, start.node, start.begins, start.ends) == ("next", "n", NOON + HOUR, NOON + 2 * HOUR)
    assert set(start.devices) == {f"n-{i}" for i in range(4)}
    assert found.made_room == {}


def test_a_name_that_is_given_several_times_keeps_all_of_its_values():
    assert params_of("job=a&job=b&team=x") == {"job": "a,b", "team": "x"}


def test_a_page_that_asks_for_a_confirmation_is_not_made_anew_behind_it():
    assert found_at("/revisions/3").page.name == "revision"
    with pytest.raises(NotFound):
        found_at("/revisions/3/rollback")


def test_a_document_is_told_line_by_line():
    steps = [{"step": "a", "command": ["echo", "two words"]}, {"needs": ["a", "b"]}]

    assert words.lines({"cron": "0 3 * * *", "pipeline": {"jobs": steps}, "gpus": 2}).splitlines() == [
        "cron: 0 3 * * *",
        "gpus: 2",
        "pipeline.jobs[a].command: echo 'two words'",
        "pipeline.jobs[a].step: a",
        "pipeline.jobs[1].needs: a b",
    ]


def test_commands_in_a_sentence_stand_out_and_markup_in_it_is_none():
    assert words.coded("<b> `levare why <x>` says it.") == "&lt;b&gt; <code>levare why &lt;x&gt;</code> says it."


def test_due_times_are_told_as_people_write_them():
    told = [{"cron": "0 3 * * *"}, {"every_seconds": 5400}, {"every_seconds": 86400}, {"at": "2030-01-01T12:00:00Z"}]

    assert [times_of(each) for each in told] == [
        "cron 0 3 * * *",
        "every 90 min",
        "every 1 d",
        "once, 2030-01-01 12:00:00 UTC",
    ]


def test_a_time_of_another_day_says_which():
    assert words.moment(NOON, NOON) == "12:00"
    assert words.moment(NOON - timedelta(seconds=5), NOON) == "11:59:55"
    assert words.moment(NOON - 24 * HOUR, NOON).endswith(", 12:00")
