"""What a manifest declares, the API takes as it is and keeps as it is."""

from pathlib import Path
from typing import Any

from levare.manifest import declared, read
from tests.end_to_end.serving import Api

FLEET = Path(__file__).parents[2] / "examples" / "fleet" / "levare.yaml"
PATHS = {"schedule": "schedules", "trigger": "triggers", "alert_rule": "alert-rules", "channel": "channels"}


def test_each_document_of_the_fleet_is_taken_and_kept_as_it_is(api: Api):
    api.join(gpus=2, cpus=8)
    api.join("n2", gpus=2, cpus=8)

    objects = [each for each in read([FLEET]).objects if each.kind in PATHS]
    for each in sorted(objects, key=lambda each: each.kind != "channel"):  # which rules name
        path = f"/v1/{PATHS[each.kind]}/{each.name}"
        answer = api.client.put(path, json=each.document)
        assert answer.status_code == 200, (path, answer.text)
        assert api.get(path)["definition"] == each.document


def test_what_the_api_is_sent_in_full_is_kept_as_the_manifest_says_it(api: Api):
    full: dict[str, Any] = {
        "every_seconds": 3600,
        "zone": "UTC",
        "overlap": "allow",
        "calendar": None,
        "job": {"command": ["ls"], "priority": 5, "gpus": 0, "needs": []},
    }

    api.client.put("/v1/schedules/hourly", json=full).raise_for_status()

    kept = api.get("/v1/schedules/hourly")["definition"]
    assert kept == declared("schedule", "hourly", full).document == {"every_seconds": 3600, "job": {"command": ["ls"]}}
