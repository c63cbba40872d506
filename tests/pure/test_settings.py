"""What a node says of itself by LEVARE_* variables, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from levare.errors import InvalidSetting
from levare.settings import load
from levare.written import MOST_OF_RESOURCE, amount, duration_seconds, hours, label


def test_labels_resources_and_licences_are_pairs_between_commas():
    found = load(
        {"LEVARE_LABELS": "zone=a, disk=nvme,", "LEVARE_RESOURCES": "licence=3", "LEVARE_LICENCES": "matlab=5,ansys=1"}
    )

    assert found.labels == {"zone": "a", "disk": "nvme"}
    assert (found.resources, found.licences) == ({"licence": 3}, {"matlab": 5, "ansys": 1})


def test_a_node_offers_nothing_special_by_default(tmp_path: Path):
    found = load({"LEVARE_HOME": str(tmp_path), "LEVARE_LABELS": ""})

    assert (found.labels, found.resources, found.licences, found.scratch_mib, found.address) == ({}, {}, {}, None, "")


def test_a_node_has_a_price_and_the_fleet_a_currency_only_where_they_are_set():
    found, plain = load({"LEVARE_PRICE": "2.50", "LEVARE_CURRENCY": "EUR"}), load({})

    assert (found.price, found.currency) == (2.5, "EUR")
    assert (plain.price, plain.currency) == (None, "")


@pytest.mark.parametrize("address", ["10.0.0.7", "::1", "fd00::7", "node-a", "node-a.example.org"])
def test_an_address_is_an_ip_or_a_host_name(address: str):
    assert load({"LEVARE_ADDRESS": address}).address == address


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("LEVARE_DATABASE", "mysql://me:pass@db/levare", "begins with 'mysql://'. It begins with postgresql://"),
        ("LEVARE_DATABASE", "levare.db", "is no URL. It begins with postgresql://"),
        ("LEVARE_NODE_DATABASE", "oracle://db", "sqlite:///"),
        ("LEVARE_REDIS", "localhost:6379", "is no URL. It begins with redis://"),
        ("LEVARE_NODE_REDIS", "http://localhost", "unix://"),
        ("LEVARE_LABELS", "zone", "disk=nvme"),
        ("LEVARE_LABELS", "zone=", "disk=nvme"),
        ("LEVARE_LABELS", "zone=a b", "disk=nvme"),
        ("LEVARE_LABELS", "node=b", "each node says that of itself"),
        ("LEVARE_LABELS", "gpu=b", "each node says that of itself"),
        ("LEVARE_LABELS", "a=1,a=2", "'a' twice"),
        ("LEVARE_RESOURCES", "licence=-1", "from 1 to 1000000"),
        ("LEVARE_RESOURCES", "licence=1.5", "from 1 to 1000000"),
        ("LEVARE_RESOURCES", f"licence={MOST_OF_RESOURCE + 1}", "from 1 to 1000000"),
        ("LEVARE_LICENCES", "matlab", "licence=3"),
        ("LEVARE_SCRATCH", "much", "1TiB"),
        ("LEVARE_PRICE", "2,50", "such as 2.50"),
        ("LEVARE_PRICE", "-1", "such as 2.50"),
        ("LEVARE_CURRENCY", "US dollars", "such as EUR"),
        ("LEVARE_CURRENCY", "simoleons", "at most 8 characters"),
        ("LEVARE_DATABASE", "sqlite:///:memory:", "names no file"),
        ("LEVARE_ADDRESS", "10.0.0.7:80", "without a port"),
        ("LEVARE_ADDRESS", "http://node-a", "without a port"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_an_example(name: str, text: str, hint: str):
    with pytest.raises(InvalidSetting) as refused:
        load({name: text})

    told = str(refused.value)
    assert name in told
    assert hint in told
    assert refused.value.next_step


@pytest.mark.parametrize("name", ["LEVARE_DATABASE", "LEVARE_REDIS"])
def test_a_refused_address_is_told_without_its_password(name: str):
    with pytest.raises(InvalidSetting) as refused:
        load({name: "mysql://ada:hunter2@atlas/levare"})

    assert "hunter2" not in str(refused.value)
    assert "mysql://" in str(refused.value)


def test_a_database_file_keeps_its_place_when_the_working_directory_changes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/var")

    assert load({"LEVARE_DATABASE": "sqlite:///levare.db"}).sqlite_file == Path("/var/levare.db")
    assert load({"LEVARE_DATABASE": "postgresql://ada@atlas/levare"}).sqlite_file is None


def test_what_is_written_is_read():
    assert label("zone=eu-1.a_b") == ("zone", "eu-1.a_b")
    assert amount(f"licence={MOST_OF_RESOURCE}") == ("licence", MOST_OF_RESOURCE)
    assert [hours(text) for text in ("22:00-06:30", "00:00-23:59")] == ["22:00-06:30", "00:00-23:59"]


@pytest.mark.parametrize(
    "text", ["", "22:00", "22:00-22:00", "6:00-7:00", "24:00-06:00", "22:60-06:00", "22:00-06:00\n"]
)
def test_hours_that_are_none_are_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="22:00-06:00"):
        hours(text)


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
