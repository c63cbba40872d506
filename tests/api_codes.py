"""The codes of errors in docs/api.md, written from the code: `python -m tests.api_codes`."""

import re
from pathlib import Path

from app import document  # so that every kind of error is known
from app.problems import kinds

GUIDE = Path(__file__).parent.parent / "docs" / "api.md"
_PART = re.compile(r"(?<=<!-- codes: written by `python -m tests.api_codes` -->\n).*?(?=<!-- /codes -->)", re.DOTALL)
_NEVER_ANSWERED = ("invalid-setting", "missing-secret", "stale-leader")
"""What only processes meet."""


def table() -> str:
    assert document.describe
    rows = [f"| `{kind.code}` | {kind.status} | {kind.title} |" for kind in kinds() if kind.code not in _NEVER_ANSWERED]
    return "\n".join(["| code | status | meaning |", "|---|---|---|", *rows, ""])


def written() -> str:
    found = _PART.search(GUIDE.read_text())
    assert found, "docs/api.md has a place for the codes"
    return found[0]


if __name__ == "__main__":
    GUIDE.write_text(_PART.sub(lambda _: table(), GUIDE.read_text()))
