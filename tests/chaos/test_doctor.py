"""`levare doctor --chaos`, which tries what levare promises where it is installed."""

import json

import pytest
from click.testing import CliRunner

from levare.cli import chaos
from levare.cli import levare as command_line
from levare.cli.chaos import Trial


def test_all_that_is_promised_holds_when_everything_is_killed_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chaos, "BLOWS", [blow for blow in chaos.BLOWS if "all" in blow.name])
    monkeypatch.setenv("LEVARE_REDIS", "redis://127.0.0.1:1/0")  # of the shell that asks: none of it is used

    done = CliRunner().invoke(command_line, ["doctor", "--chaos", "--json"])

    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"]) == (0, True), found
    assert [each["blow"] for each in found["rounds"]] == ["kill -9 of all at once"]
    assert {each["name"]: each["tried"] for each in found["promises"]} == {
        "Each job that was accepted ends, once": 5,
        "with its true exit code": 5,
        "after exactly one start": 5,
        "and every byte of its log": 5,
        "No GPU is ever held twice": 5,
        "A submit is accepted whatever is down": 1,
        "A cancel leaves no process": 1,
        "Nothing is left when it stops": 1,
    }


def test_a_broken_promise_is_named_with_what_it_did_not_hold_for(capsys: pytest.CaptureFixture[str]):
    found = Trial()
    found.starts.count("a1 (kill -9 beat)", held=True)
    found.starts.count("b2 (kill -9 beat)", held=False)

    chaos.show(found, as_json=False)

    said = capsys.readouterr().out
    assert not found.held
    assert "BROKEN  after exactly one start: 1 of 2" in said
    assert "not for b2 (kill -9 beat)" in said
