"""Links of the OpenAPI document: what an answer leads to, and where in it the name for that stands."""

from collections.abc import Iterable, Mapping
from typing import Any

Link = tuple[str, str, str]
"""An operation, its parameter, and where the value is: a place in the answer, or a parameter of the request."""


def _from(place: str, parameter: str, operations: Iterable[str]) -> list[Link]:
    return [(operation, parameter, place) for operation in operations]


_OF_JOB = (
    *("read_job", "cancel_job", "read_log", "list_attempts", "explain_job", "list_metrics", "list_samples"),
    *("read_pins", "read_failure", "read_receipt", "rerun_job"),
)
_OF_SCHEDULE = (
    *("read_schedule", "set_schedule_state", "run_schedule", "list_fires", "list_next", "list_revisions"),
    *("lint_schedule", "remove_schedule"),
)
_OF_TRIGGER = (
    *("read_trigger", "set_trigger_state", "list_activations", "simulate_trigger", "why_trigger"),
    "remove_trigger",
)
_OF_PIPELINE, _OF_TOKEN = ("read_pipeline", "cancel_pipeline"), ("read_token", "revoke_token")
_OF_RULE = ("read_alert_rule", "set_alert_rule_state", "try_alert_rule", "remove_alert_rule")
_OF_CHANNEL = ("read_channel", "try_channel", "list_deliveries", "remove_channel")
_OF_NODE = ("read_node", "list_node_samples", "set_node_state", "read_reap")
_OF_ALERT, _OF_SILENCE = ("read_alert", "acknowledge_alert"), ("read_silence", "remove_silence")
_OF_MACHINE = ("read_machine", "set_machine_state")
_ID, _FIRST_ID, _NAME, _FIRST_NAME = (
    *("$response.body#/id", "$response.body#/items/0/id"),
    *("$response.body#/name", "$response.body#/items/0/name"),
)
_NUMBER, _FIRST_NUMBER = "$response.body#/number", "$response.body#/items/0/number"
_ASKED = "$request.path.name"
LINKS: Mapping[tuple[str, str], list[Link]] = {
    ("submit_job", "201"): _from(_ID, "job_id", _OF_JOB),
    ("rerun_job", "201"): _from(_ID, "job_id", _OF_JOB),
    ("list_jobs", "200"): _from(_FIRST_ID, "job_id", _OF_JOB),
    ("read_job", "200"): _from(_ID, "job_id", ("cancel_job", "read_log", "list_attempts", "explain_job")),
    ("cancel_job", "202"): _from(_ID, "job_id", ("read_job", "cancel_job", "read_log", "explain_job")),
    ("submit_pipeline", "201"): _from(_ID, "pipeline_id", _OF_PIPELINE)
    + _from("$response.body#/steps/0/job", "job_id", ("read_job", "read_log")),
    ("list_pipelines", "200"): _from(_FIRST_ID, "pipeline_id", _OF_PIPELINE),
    ("read_pipeline", "200"): _from(_ID, "pipeline_id", ("cancel_pipeline",)),
    ("cancel_pipeline", "202"): _from(_ID, "pipeline_id", ("read_pipeline",)),
    ("set_schedule", "200"): _from("$response.body#/schedule/name", "name", _OF_SCHEDULE),
    ("list_schedules", "200"): _from(_FIRST_NAME, "name", _OF_SCHEDULE),
    ("run_schedule", "201"): _from("$response.body#/jobs/0/id", "job_id", ("read_job", "cancel_job", "read_log")),
    ("remove_schedule", "200"): _from(_ASKED, "name", ("read_schedule", "list_fires")),
    ("set_trigger", "200"): _from(_NAME, "name", _OF_TRIGGER),
    ("list_triggers", "200"): _from(_FIRST_NAME, "name", _OF_TRIGGER),
    ("remove_trigger", "200"): _from(_ASKED, "name", ("read_trigger", "list_activations")),
    ("set_alert_rule", "200"): _from(_NAME, "name", _OF_RULE),
    ("list_alert_rules", "200"): _from(_FIRST_NAME, "name", ("read_alert_rule", "try_alert_rule")),
    ("set_channel", "200"): _from(_NAME, "name", _OF_CHANNEL),
    ("set_team", "200"): _from(_NAME, "name", ("read_team", "remove_team")),
    ("set_window", "200"): _from(_NAME, "name", ("read_window", "remove_window")),
    ("set_pool", "200"): _from(_NAME, "name", ("read_pool", "remove_pool")),
    ("list_nodes", "200"): _from(_FIRST_NAME, "name", _OF_NODE),
    ("list_machines", "200"): _from(_FIRST_NAME, "name", _OF_MACHINE),
    ("list_families", "200"): _from(_FIRST_NAME, "name", ("read_family", "list_family_runs", "release_family")),
    ("list_alerts", "200"): _from(_FIRST_NUMBER, "number", _OF_ALERT),
    ("add_silence", "201"): _from(_NUMBER, "number", _OF_SILENCE),
    ("list_silences", "200"): _from(_FIRST_NUMBER, "number", _OF_SILENCE),
    ("create_token", "201"): _from(_ID, "token_id", _OF_TOKEN),
    ("list_all_revisions", "200"): _from(_FIRST_NUMBER, "number", ("read_revision_of_all",)),
    ("apply_plan", "200"): _from("$response.body#/revision", "number", ("read_revision_of_all",)),
}


def links_of(operation: str, status: str) -> dict[str, Any]:
    """What the answer of an operation with this status leads to, as the document says it."""
    return {
        following: {"operationId": following, "parameters": {parameter: place}}
        for following, parameter, place in LINKS.get((operation, status), ())
    }
