"""The guide to due times says what is so."""

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from levare.decide.times import Cron, Lint, Rule, between, zone_named
from levare.decide.times.fields import MACROS

GUIDE = (Path(__file__).parents[2] / "docs" / "times.md").read_text()
ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")] for line in GUIDE.splitlines() if line.startswith("|")
]
EXAMPLES = [row for row in ROWS if len(row) == 5 and row[2].startswith("2")]


@pytest.mark.parametrize(("text", "zone", "day", "_clocks", "due"), EXAMPLES)
def test_an_example_of_the_guide_is_due_when_it_says(text: str, zone: str, day: str, _clocks: str, due: str):
    place = zone_named(zone)
    begin = datetime.combine(datetime.fromisoformat(day), time(), tzinfo=place).astimezone(UTC)

    found = between(Rule(Cron.parse(text), place), begin, begin + timedelta(hours=12), 10)

    assert (", ".join(f"{each.astimezone(place):%H:%M %z}" for each in found) or "not that day") == due


def test_every_macro_is_in_the_guide_with_its_fields():
    told = {name.upper(): row[2] for row in ROWS for name in re.findall(r"@\w+", row[1])}

    assert told == MACROS


def test_every_finding_is_in_the_guide_and_so_are_the_examples():
    assert {*Lint} <= {row[0] for row in ROWS}
    assert len(EXAMPLES) == 4
