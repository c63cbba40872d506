"""What pages are made of: parts and what differs between two, messages for slow readers, words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from markupsafe import Markup

from app.dashboard import words
from app.dashboard.desk import Desk, Queue
from app.dashboard.live import MOST_BEHIND, Channel, Tab
from app.dashboard.pages import PAGES, found_at
from app.dashboard.sheet import Sheet
from app.forms import local
from levare.errors import NotFound
from levare.model import Sharing
from levare.store.audit import Actor
from tests.pure.world import a_job, a_node, a_run

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def a_sheet(**parts: str) -> Sheet:
    sheet = Sheet()
    sheet.list("jobs")
    for key, text in parts.items():
        sheet.part("jobs", key, lambda text=text: f"<li>{text}</li>")
    return sheet


def a_channel() -> Channel:
    return Channel(found_at("/queue"), Actor("t", "ada"))


def test_a_part_is_its_element_under_its_key_and_a_key_is_never_markup():
    sheet = Sheet()

    said = sheet.part("jobs", '"><b>', lambda: '\n<tr class="a"><td><p>1</p></td></tr>\n')

    assert said == Markup('<tr id="jobs:&#34;&gt;&lt;b&gt;" class="a"><td><p>1</p></td></tr>')


def test_only_what_differs_is_sent():
    before, after = a_sheet(a="1", b="2", c="3"), a_sheet(c="3", a="1", b="changed")

    assert after.since(before) == {
        "set": {"jobs:b": '<li id="jobs:b">changed</li>'},
        "lists": {"jobs": ["jobs:c", "jobs:a", "jobs:b"]},
    }
    assert after.since(after) == {}


def test_what_was_made_of_the_same_is_kept_and_of_something_else_is_made_anew():
    desk, made = Desk(parts=None), []  # type: ignore[arg-type]  # nothing is read here
    for of in ("queue", "queue", "another queue"):
        desk.kept("order", lambda of=of: made.append(of), of=of)
        desk._kept["order"].until = 0.0  # whatever it cost, it has rested

    assert made == ["queue", "another queue"]


def test_the_queue_holds_while_runs_only_go_on_and_for_some_seconds():
    def read(seconds: int = 0, progress: float = 0.5, priority: int = 5, runs: int = 1) -> Queue:
        held = [a_run(a_job(f"r{number}"), {}, progress=progress) for number in range(runs)]
        nodes = [replace(a_node("n"), held=held)]
        return Queue([a_job("j", priority=priority)], nodes, Sharing(), NOON + timedelta(seconds=seconds))

    assert read().holds_at(read(seconds=5, progress=0.6))
    assert not read().holds_at(read(seconds=15))
    assert not read().holds_at(read(priority=6))
    assert not read().holds_at(read(runs=2))


def test_a_list_that_has_become_empty_is_told():
    assert a_sheet().since(a_sheet(a="1")) == {"lists": {"jobs": []}}


def test_messages_are_numbered_and_a_page_at_rest_sends_none():
    channel, tab = a_channel(), Tab()
    channel.tabs.add(tab)

    for sheet in (a_sheet(a="1"), a_sheet(a="1"), a_sheet(a="2")):
        channel.take(sheet)

    assert channel.number == 2
    assert [message[:7] for message in tab._messages] == ['{"n":1,', '{"n":2,']


def test_a_reader_who_takes_nothing_keeps_few_messages_and_then_gets_all_there_is():
    channel, tab = a_channel(), Tab()
    channel.tabs.add(tab)

    for number in range(1000):
        channel.take(a_sheet(a=str(number)))

    assert len(tab._messages) == MOST_BEHIND + 1
    assert anyio.run(tab.next, channel) == channel.snapshot()
    assert '"whole":true' in channel.snapshot()
    assert "999" in channel.snapshot()
    channel.take(a_sheet(a="after"))
    assert "after" in anyio.run(tab.next, channel)


def test_trouble_is_told_once_and_so_is_its_end():
    channel, tab = a_channel(), Tab()
    channel.tabs.add(tab)
    channel.take(a_sheet(a="1"))

    channel.fail("The database does not answer.")
    channel.fail("The database does not answer.")
    channel.take(a_sheet(a="1"))

    assert list(tab._messages)[1:] == ['{"n":2,"trouble":"The database does not answer."}', '{"n":3,"trouble":""}']


def test_an_address_leads_to_its_page_and_nothing_else_does():
    found = found_at("/jobs/k3v9x2m1qa?attempt=2")

    assert (found.page.name, found.names, found.params) == ("job", {"job_id": "k3v9x2m1qa"}, {"attempt": "2"})
    for nothing in ("/v1/jobs", "/jobs/", "//", "/jobs/a/b", "queue", ""):
        with pytest.raises(NotFound):
            found_at(nothing)
    assert len({page.shortcut for page in PAGES if page.shortcut}) == sum(bool(page.shortcut) for page in PAGES)


def test_nobody_is_sent_elsewhere():
    for where in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "\n/"):
        assert local(where, "/") == "/"
    assert local("/queue?state=open", "/") == "/queue?state=open"


@pytest.mark.parametrize(
    ("seconds", "said"), [(59, "under 1 min"), (60, "1 min"), (7500, "2 h 05 min"), (273600, "3 d 4 h"), (None, "-")]
)
def test_times_are_said_coarsely(seconds: float | None, said: str):
    assert words.span(seconds) == said


def test_what_is_over_is_said_to_the_second_where_it_was_short():
    assert (words.took(timedelta(seconds=16.4)), words.took(timedelta(minutes=3, seconds=9))) == ("16 s", "3 min")


def test_amounts_have_units_and_what_is_unknown_is_a_dash():
    assert (words.mib(512), words.mib(81920), words.mib(None)) == ("512 MiB", "80 GiB", "-")
    assert (words.whole(12.6, " %"), words.whole(None, " %"), words.whole(float("nan"))) == ("13 %", "-", "-")
    assert (words.number(0.3123456), words.number("NaN"), words.number(None)) == ("0.31235", "NaN", "-")


def test_a_command_in_a_sentence_stands_out_and_no_line_ends_within_its_options():
    said = words.coded("See `levare show <b> --failure`.")

    assert said == Markup("See <code>levare show &lt;b&gt; <span>--failure</span></code>.")
