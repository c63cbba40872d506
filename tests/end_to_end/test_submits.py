"""Submits while the API is killed; `python -m tests.submits_campaign` does the same with thousands."""

from pathlib import Path

from tests.submits_campaign import Outcome, Trial, campaign

CLIENTS, SUBMITS = 4, 20


def test_there_are_as_many_jobs_as_keys_however_often_the_api_is_killed(tmp_path: Path, database_url: str):
    def is_due(trial: Trial, _: float) -> bool:
        return len(trial.answered) >= CLIENTS * SUBMITS // 2 and not trial.kills

    trial, outcome = campaign(tmp_path, database_url, clients=CLIENTS, submits=SUBMITS, is_due=is_due)

    assert trial.kills, "it was killed while they submitted"
    assert outcome == Outcome(CLIENTS * SUBMITS, trial.answered)
