"""Pages as a person meets them: alive, quiet on the console, true without JavaScript."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.browser.chromium import Tab
from tests.browser.conftest import LONG, Site
from tests.browser.feeding import fed, held_open
from tests.fleet import eventually

PAGES = (
    *("/", "/queue", "/nodes", "{trained}", "{failed}", "{waiting}", "{long}"),
    *("/timeline", "/schedules", "/schedules/often", "/pipelines", "{pipeline}"),
    *("/alerts", "/alerts/rules/failure?test=1d", "/teams", "/teams/vision", "/revisions", "/revisions/2"),
    *("/report", "/compare?job={trained}&job={again}"),
)
MOST_BYTES = 100_000
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
"""What is harder to read than it may be."""


def path_of(site: Site, page: str) -> str:
    folder = "" if page.startswith("/") else "/pipelines/" if page == "{pipeline}" else "/jobs/"
    return folder + page.format(**site.jobs)


@pytest.fixture
def extra(site: Site) -> Iterator[str]:
    """Another job that waits, of a name that nothing else has; gone at the end."""
    job = site.fleet.python(LONG, name=f"extra-{uuid4().hex[:8]}", gpus=4)
    yield job
    site.fleet.cancel(job)


def name_of(site: Site, job: str) -> str:
    return site.fleet.job(job)["name"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_live_and_does_nothing_wrong_and_fits_a_small_screen(site: Site, page: str):
    tab = site.tab(path_of(site, page))

    tab.listen(1.5)  # at least one look of the server

    assert tab.js("document.getElementById('link').textContent") == "live"
    assert tab.js("document.querySelectorAll('h1').length") == 1
    assert tab.faults == []
    assert tab.elsewhere(site.address) == []
    for theme in ("light", "dark"):
        tab.prefer(theme)
        assert tab.js(CONTRAST) == [], theme
    tab.size(400)
    tab.until("document.documentElement.scrollWidth <= 400")  # nothing is wider than a small screen


def test_a_stranger_shows_a_token_and_comes_where_he_wanted_to(site: Site):
    tab = site.tab("/", live=False)
    tab.call("Network.clearBrowserCookies")

    tab.open(f"{site.address}/queue?state=running")
    assert tab.js("location.pathname") == "/login"
    before = tab.loaded
    tab.js(f"document.querySelector('#token').value = '{site.token}'; document.forms[0].requestSubmit()")
    tab.until(lambda: tab.loaded > before)

    assert tab.js("location.pathname + location.search") == "/queue?state=running"


def test_whoever_is_signed_in_may_follow_a_link_of_another_site(site: Site):
    tab = site.tab("/")

    tab.open(f"data:text/html,<a href='{site.address}/queue'>Look</a>")
    _click(tab, "a")

    tab.until("location.pathname === '/queue' && !!document.querySelector('h1')")


def test_the_overview_tells_whose_each_gpu_is_and_what_waits(site: Site):
    tab = site.tab("/")

    tiles = tab.js("[...document.querySelectorAll('.tile')].map((tile) => tile.innerText)")

    assert len(tiles) == 4
    assert sum("long" in tile and "vision" in tile and "busy" in tile for tile in tiles) == 3
    assert any("free" in tile for tile in tiles)
    tab.until("document.querySelector('.columns').innerText.includes('Asks for 4 whole GPUs')")
    tab.until("[...document.querySelectorAll('.tile .meter b')].some((each) => /^[1-9]/.test(each.innerText))")


def test_the_overview_is_small(site: Site):
    tab = site.tab("/", live=False)
    tab.call("Network.clearBrowserCache")
    tab.received = 0

    tab.open(f"{site.address}/")
    tab.until("document.getElementById('link').textContent === 'live'")

    assert 5_000 < tab.received < MOST_BYTES


def test_what_is_submitted_appears_and_what_is_cancelled_goes_without_a_reload(site: Site, extra: str):
    tab = site.tab("/queue")
    tab.js("window.same = true")

    tab.until(f"document.body.innerText.includes('{name_of(site, extra)}')")
    site.fleet.cancel(extra)
    tab.until(f"!document.body.innerText.includes('{name_of(site, extra)}')")

    assert tab.js("window.same") is True
    assert tab.faults == []


def test_eight_tabs_are_all_live(site: Site):
    tabs = [site.tab(path) for path in ("/queue", "/", "/queue", "/", "/queue", "/queue", "/queue?state=waiting", "/")]

    job = site.fleet.python(LONG, name=f"late-{uuid4().hex[:8]}", gpus=4, priority=9)

    for tab in tabs:
        tab.until(f"document.body.innerText.includes('{name_of(site, job)}')")
    site.fleet.cancel(job)


def test_without_scripts_a_page_is_whole_and_its_buttons_work(site: Site, extra: str):
    site.tab("/", live=False)
    tab = site.browser.tab(scripts=False)
    tab.open(f"{site.address}/queue?state=waiting")
    assert name_of(site, extra) in tab.text()

    before = tab.loaded
    _click(tab, f"button[formaction='/act/jobs/{extra}/cancel']")
    tab.until(lambda: tab.loaded > before)

    assert tab.js("location.pathname + location.search") == "/queue?state=waiting"
    assert site.fleet.await_end(extra)[0]["state"] == "cancelled"


def test_a_job_is_submitted_again_by_a_button(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['failed']}")
    tab.js("window.confirm = () => true")

    before = tab.loaded
    _click(tab, "button[formaction$='/resubmit']")
    tab.until(lambda: tab.loaded > before)

    again = tab.js("location.pathname").rpartition("/")[2]
    assert again != site.jobs["failed"]
    assert site.fleet.await_end(again)[0]["command"] == site.fleet.job(site.jobs["failed"])["command"]


def test_a_button_of_another_site_does_nothing(site: Site, extra: str):
    tab = site.tab("/queue")
    tab.js("document.querySelector('#act [name=csrf]').value = 'guessed'; window.confirm = () => true")

    before = tab.loaded
    _click(tab, f"button[formaction='/act/jobs/{extra}/cancel']")
    tab.until(lambda: tab.loaded > before)

    assert "Nothing shows that a page of levare has asked for this." in tab.text()
    assert site.fleet.job(extra)["state"] == "waiting"


def test_what_a_job_wrote_is_coloured_and_never_markup(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['failed']}")

    tab.until("document.querySelector('#log .a-1')?.textContent === 'red'")

    assert tab.js("document.querySelectorAll('#log img, h1 b').length") == 0
    assert "<img src=x onerror=alert(1)>" in tab.js("document.getElementById('log').innerText")
    assert "<b>bold</b>" in tab.js("document.querySelector('h1').innerText")
    assert "ValueError: broken" in tab.js("document.querySelector('.box.is-bad').innerText")


def test_a_log_is_searched_and_its_first_error_found(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['failed']}")
    tab.until("!!document.querySelector('#log .a-1')")

    tab.js(
        "const box = document.getElementById('log-search');"
        "box.value = 'VALUEERROR: B'; box.dispatchEvent(new Event('input'))"
    )
    tab.until("document.getElementById('log-found').textContent === '1 line'")
    _click(tab, "#log-error")

    assert "Traceback" in tab.js("document.querySelector('#log .at').textContent")


def test_curves_of_all_stages_stand_over_what_was_used_on_one_axis(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['trained']}")
    tab.until("document.querySelectorAll('.chart').length > 3")

    titles = tab.js("[...document.querySelectorAll('.chart .legend b')].map((each) => each.textContent)")
    legend = tab.js("document.querySelector('.chart .legend').innerText")
    box = tab.js("JSON.parse(JSON.stringify(document.querySelector('.chart svg').getBoundingClientRect()))")
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", **where)

    assert titles[:2] == ["accuracy", "loss"]
    assert "Memory" in titles
    assert "train" in legend
    assert "val" in legend
    tab.until("document.querySelector('.chartbar output').textContent.includes('after its start')")
    assert (
        tab.js("new Set([...document.querySelectorAll('.chart .cross')].map((each) => each.getAttribute('x1'))).size")
        == 1
    )


def test_a_value_that_was_told_once_is_seen(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['failed']}")

    tab.until("document.querySelectorAll('.chart path.lone').length === 2")
    assert tab.js("getComputedStyle(document.querySelector('.chart path.lone')).strokeLinecap") == "round"


def test_keys_lead_to_pages_and_list_themselves(site: Site):
    tab = site.tab("/")

    tab.press("?")
    assert tab.js("document.getElementById('help').open") is True
    tab.press("?")
    before = tab.loaded
    tab.press("g")
    tab.press("q")
    tab.until(lambda: tab.loaded > before)
    tab.until("document.getElementById('link').textContent === 'live'")
    tab.press("j")

    assert tab.js("location.pathname") == "/queue"
    assert "/jobs/" in tab.js("document.activeElement.href")


def test_the_theme_that_was_chosen_stays(site: Site):
    tab = site.tab("/")
    tab.prefer("light")

    tab.press("t")
    tab.open(f"{site.address}/queue")
    dark = tab.js("document.documentElement.dataset.theme + getComputedStyle(document.body).backgroundColor")
    tab.press("t")

    assert dark == "darkrgb(13, 17, 23)"
    assert tab.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_page_says_that_it_is_not_live_and_comes_back_by_itself(site: Site):
    tab = site.tab("/queue")

    site.fleet.kill("web")
    tab.until("document.getElementById('link').textContent.startsWith('not live')")
    site.fleet.start("web")
    site.fleet.await_ready()

    tab.until("document.getElementById('link').textContent === 'live'")


def test_a_page_ends_with_the_session(site: Site):
    tab = site.tab("/queue")
    other = site.tab("/login", live=False)

    before = other.loaded
    other.js("document.querySelector('form[action=\"/logout\"]').requestSubmit()")
    other.until(lambda: other.loaded > before)

    tab.until("document.getElementById('link').textContent.startsWith('signed out')")


def test_the_timeline_shows_who_has_which_gpu_and_leads_there(site: Site):
    tab = site.tab("/timeline")

    bars = tab.js("[...document.querySelectorAll('.timeline a title')].map((bar) => bar.textContent)")
    assert sum("long (vision): running" in bar for bar in bars) == 3
    assert any("digits (default): succeeded" in bar for bar in bars)
    tab.open(f"{site.address}/timeline?by=team")
    labels = tab.js("[...document.querySelectorAll('.timeline .label')].map((label) => label.innerText)")
    assert {"default", "vision"} <= set(labels)
    assert tab.js("document.querySelector('.timeline .row > svg a').getAttribute('href')").startswith("/jobs/")


def test_a_schedule_tells_what_became_of_each_time_and_is_paused_by_a_button(site: Site):
    tab = site.tab("/schedules/often")
    tab.js("window.confirm = () => true")
    assert "succeeded" in tab.js("document.querySelector('[data-list=fires]').innerText")
    assert "03:00 UTC" in tab.text() or "03:00" in tab.js("document.querySelector('[data-list=next]').innerText")
    assert tab.js("document.querySelectorAll('.trend a').length") >= 1

    press(tab, "button[value=paused]")

    assert "paused" in tab.js("document.querySelector('.head').innerText")
    assert site.fleet.client.get("/v1/schedules/often").json()["state"] == "paused"
    press(tab, "button[value=active]")


def test_a_pipeline_is_a_graph_with_states(site: Site):
    tab = site.tab(f"/pipelines/{site.jobs['pipeline']}")

    steps = tab.js("[...document.querySelectorAll('.graph a')].map((step) => step.textContent)")

    assert [("failed" in step, "succeeded" in step) for step in steps] == [(False, True), (True, False), (False, True)]
    assert tab.js("document.querySelectorAll('.graph path.edge').length") == 2
    assert tab.js("document.querySelectorAll('.graph path.edge.is-always').length") == 1


def test_an_alert_is_taken_care_of_and_silenced_on_the_page(site: Site):
    tab = site.tab("/alerts")
    tab.until("document.querySelector('[data-list=open]').innerText.includes('<b>bold</b>')")

    press(tab, "[data-list=open] button[formaction$='/acknowledge']")
    assert "admin" in tab.js("document.querySelector('[data-list=open]').innerText")
    tab.js(
        "document.querySelector('[name=node]').value = 'n1'; document.querySelector('[name=reason]').value = 'Tests.'"
    )
    press(tab, ".stacked button")

    assert "node n1" in tab.js("document.querySelector('[data-list=silences]').innerText")
    press(tab, "[data-list=silences] button")
    assert "None is in force." in tab.text()


def test_a_rule_tells_what_it_would_have_done(site: Site):
    tab = site.tab("/alerts/rules/failure?test=1d")

    assert "Alerts it would have raised" in tab.text()
    assert "ValueError" in tab.text() or "has failed" in tab.js(
        "document.querySelector('[data-list=tested]').innerText"
    )


def test_teams_show_what_they_are_owed_and_hold(site: Site):
    tab = site.tab("/teams/vision")

    tab.until("document.body.innerText.includes('3 of 4 GPUs')")
    assert "Turn 1 of" in tab.js("document.querySelector('[data-list=starts]').innerText")


def test_going_back_is_shown_before_it_is_confirmed(site: Site):
    before = site.fleet.client.get("/v1/revisions").json()["items"][1]["number"]
    tab = site.tab(f"/revisions/{before}")
    assert "vision" in tab.text() or "often" in tab.text()

    tab.open(f"{site.address}/revisions/{before}/rollback")
    assert "Nothing has changed yet." in tab.text()
    press(tab, "button.strong")

    assert tab.js("location.pathname") == "/revisions"
    newest, *_ = site.fleet.client.get("/v1/revisions").json()["items"]
    assert newest["origin"] == "rollback"
    assert "rollback" in tab.js("document.querySelector('[data-list=revisions] tr').innerText")


def test_a_job_that_waits_comes_earlier_by_a_button(site: Site, extra: str):
    tab = site.tab("/queue?state=waiting")

    press(tab, f"button[formaction='/act/jobs/{extra}/priority'][value='6']")

    assert site.fleet.job(extra)["priority"] == 6
    assert tab.js("location.pathname + location.search") == "/queue?state=waiting"


def test_runs_stand_beside_each_other_with_curves_parameters_and_results(site: Site):
    tab = site.tab(f"/compare?job={site.jobs['trained']}&job={site.jobs['again']}")

    tab.until("document.querySelectorAll('.chart').length > 1")
    assert tab.js("document.querySelectorAll('.chart')[0].querySelectorAll('path').length") == 2
    results = tab.js("document.querySelector('[data-list=results]').innerText")
    assert "accuracy" in results
    assert "★" in results
    assert "--seed" in tab.js("document.querySelector('[data-list=differs]').innerText")


def test_a_tab_left_open_does_not_grow(site: Site):
    """A sample of what `python -m benchmarks.dashboard` does for twelve hours."""
    tab = site.tab("/")
    held_open(tab, site.address)
    before = fed(tab, 200)  # what is compiled and kept once

    after = fed(tab, 1000)

    assert after.elements == before.elements
    assert after.heap_bytes < before.heap_bytes + 200_000  # 200 bytes a message would be more
    assert tab.faults == []


def test_a_progress_bar_that_writes_over_itself_all_day_takes_no_room(site: Site):
    tab = site.tab(f"/jobs/{site.jobs['long']}")

    left = tab.js(
        "import(document.querySelector('script[src$=\"job.js\"]').src.replace('job.js', 'log.js')).then(({ Log }) => {"
        " const log = new Log(document.getElementById('log'));"
        " for (let step = 0; step < 20000; step += 1) log.write(`\\r${step % 100} %`);"
        " return [log.rest, log.element.querySelector('.open').textContent]; })"
    )

    assert left == ["99 %", "99 %"]


def test_what_is_not_there_is_told_on_a_page(site: Site):
    tab = site.tab("/jobs/nothing", live=False)

    assert "There is no job 'nothing'" in eventually(tab.text)


def press(tab: Tab, selector: str) -> None:
    """Click on what sends a form, and wait for the page that answers."""
    tab.js("window.confirm = () => true")
    before = tab.loaded
    _click(tab, selector)
    tab.until(lambda: tab.loaded > before)


def _click(tab: Tab, selector: str) -> None:
    """As a mouse does: where the element is."""
    box = tab.js(
        f'(() => {{ const it = document.querySelector("{selector}"); it.scrollIntoView({{ block: "center" }});'
        " const box = it.getBoundingClientRect(); return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **box)
