"""The guide to the manifest names every key, and what it shows is valid."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levare.manifest import check
from levare.manifest.kinds import KINDS
from levare.manifest.reading import KEYS
from levare.manifest.shapes import fields, shortened
from levare.manifest.templates import ParameterSpec

GUIDE = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text()
SHOWN = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
FIELDS = sorted({shortened(name) for kind in KINDS for name in fields(kind.model)} | {*fields(ParameterSpec)})


@pytest.mark.parametrize("name", [*KEYS, *FIELDS])
def test_every_key_is_in_the_guide(name: str):
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize("text", SHOWN)
def test_what_the_guide_shows_is_valid(text: str, tmp_path: Path):
    (tmp_path / "levare.yaml").write_text(text)

    found = check([tmp_path / "levare.yaml"], now=datetime(2029, 6, 1, tzinfo=UTC))

    assert found.objects
