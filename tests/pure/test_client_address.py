"""Where the client finds the API, and to whom it gives a token."""

import os
from pathlib import Path

import pytest

from levare.client.address import DEFAULT_URL, find
from levare.errors import InvalidSetting


def a_home(folder: Path, *, url: str | None = "http://127.0.0.1:9999", token: str | None = "lv_home") -> Path:
    folder.mkdir(parents=True)
    if url:
        (folder / "address").write_text(f"{url}\n")
    if token:
        (folder / "admin.token").write_text(f"{token}\n")
    return folder


def test_the_environment_comes_before_the_state_directory(tmp_path: Path):
    a_home(tmp_path / ".levare")

    found = find(environ={"LEVARE_URL": "https://far.test/", "LEVARE_TOKEN": "lv_far"}, directory=tmp_path)

    assert (found.url, found.token) == ("https://far.test", "lv_far")
    assert (found.url_from, found.token_from) == ("LEVARE_URL", "LEVARE_TOKEN")


def test_an_argument_comes_before_the_environment(tmp_path: Path):
    environ = {"LEVARE_URL": "https://far.test", "LEVARE_TOKEN": "lv_far"}

    found = find("http://near.test", "lv_near", environ=environ, directory=tmp_path)

    assert (found.url, found.token) == ("http://near.test", "lv_near")


def test_a_state_directory_above_is_found(tmp_path: Path):
    home = a_home(tmp_path / ".levare")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    found = find(environ={}, directory=below)

    assert (found.url, found.token, found.home) == ("http://127.0.0.1:9999", "lv_home", home)


def test_the_nearest_state_directory_wins(tmp_path: Path):
    a_home(tmp_path / ".levare")
    near = a_home(tmp_path / "a" / ".levare", url="http://127.0.0.1:1111")

    assert find(environ={}, directory=tmp_path / "a").home == near


def test_levare_home_comes_before_any_found_one(tmp_path: Path):
    a_home(tmp_path / ".levare")
    told = a_home(tmp_path / "told", url="http://127.0.0.1:2222")

    assert find(environ={"LEVARE_HOME": str(told)}, directory=tmp_path).url == "http://127.0.0.1:2222"


def test_without_anything_the_default_is_asked_without_a_token(tmp_path: Path):
    found = find(environ={}, directory=tmp_path)

    assert (found.url, found.token) == (DEFAULT_URL, None)


@pytest.mark.parametrize("url", ["https://far.test", DEFAULT_URL])
def test_the_token_of_a_state_directory_goes_only_to_its_own_address(tmp_path: Path, url: str):
    a_home(tmp_path / ".levare")

    assert find(environ={"LEVARE_URL": url}, directory=tmp_path).token is None
    assert find(environ={"LEVARE_URL": "http://127.0.0.1:9999/"}, directory=tmp_path).token == "lv_home"


def test_a_state_directory_without_an_address_gives_its_token_to_nobody(tmp_path: Path):
    a_home(tmp_path / ".levare", url=None)

    found = find(environ={}, directory=tmp_path)

    assert (found.url, found.token) == (DEFAULT_URL, None)


def test_a_state_directory_of_somebody_else_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = a_home(tmp_path / ".levare", url="http://evil.test")
    if os.getuid() == 0:
        os.chown(home, 12345, 12345)
    else:  # who may give nothing away becomes somebody else
        monkeypatch.setattr(os, "getuid", lambda: 12345)

    assert find(environ={"LEVARE_TOKEN": "lv_mine"}, directory=tmp_path).url == DEFAULT_URL


def test_an_address_without_a_scheme_is_refused_with_an_example(tmp_path: Path):
    with pytest.raises(InvalidSetting) as told:
        find(environ={"LEVARE_URL": "localhost:8420"}, directory=tmp_path)

    assert "LEVARE_URL" in told.value.detail
    assert "localhost:8420" in told.value.detail
    assert DEFAULT_URL in told.value.next_step


@pytest.mark.parametrize("token", ["lv_x y", "lv_\u00e9", "lv_x\nX-Evil: 1"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(tmp_path: Path, token: str):
    with pytest.raises(InvalidSetting) as told:
        find(environ={"LEVARE_TOKEN": token}, directory=tmp_path)

    assert token not in str(told.value)


def test_the_token_is_not_in_the_address_as_it_is_printed(tmp_path: Path):
    assert "lv_x" not in repr(find("http://a.test", "lv_x", environ={}, directory=tmp_path))
