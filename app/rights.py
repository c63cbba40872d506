"""
Who may do what: for each operation the least role, in one table. What is not in it does not exist.

A role is one of a team: of the team to which the thing belongs that the path names, or of any team where it names
none. Admins of the fleet may do everything. What belongs to another team is not found, whatever is done to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from levare.decide.belonging import Teams
from levare.errors import NotFound
from levare.model.access import ADMIN, MACHINE, MEMBER, METRICS, NODE, VIEWER
from levare.store import alerts, families, ownership, pipelines, schedules, silences, teams, tokens, triggers, views
from levare.store import windows as windows_store
from levare.store.alert_rules import unknown as unknown_rule


@dataclass(frozen=True)
class Kind:
    """What a parameter of a path names: whose it is, and how it is said that there is none."""

    parameter: str
    teams: Callable[[Connection, str], Teams | None]
    unknown: Callable[[str], NotFound]
    lasts: bool = False
    """Whether it belongs to the same team for ever, so that it need be asked only once."""
    shared: bool = False
    """Whether anybody of any team may look at those that are the fleet's."""


JOB = Kind("job_id", ownership.of_job, views.unknown_job, lasts=True)
PIPELINE = Kind("pipeline_id", ownership.of_pipeline, pipelines.unknown, lasts=True)
SCHEDULE = Kind("name", ownership.of_schedule, schedules.unknown)
TRIGGER = Kind("name", ownership.of_trigger, triggers.unknown)
FAMILY = Kind("name", ownership.of_family, families.unknown)
TEAM = Kind("name", ownership.of_team, teams.unknown)
WINDOW = Kind("name", ownership.of_window, windows_store.unknown, shared=True)
ALERT = Kind("number", ownership.of_alert, alerts.unknown, shared=True)
SILENCE = Kind("number", ownership.of_silence, silences.unknown, shared=True)
RULE = Kind("name", ownership.of_rule, unknown_rule, shared=True)
OWN_RULE = Kind("name", ownership.of_rule, unknown_rule)
TOKEN = Kind("token_id", ownership.of_token, tokens.unknown)


@dataclass(frozen=True)
class Right:
    """What an operation asks for; without a `role` it is for admins of the fleet, and for tokens of these `scopes`."""

    role: str | None = None
    of: Kind | None = None
    scopes: tuple[str, ...] = ()
    makes: bool = False
    """Whether it makes the thing that the path names, if there is none."""
    anybody: bool = False

    @property
    def asks(self) -> str:
        """In words, for the table of who may do what."""
        if self.anybody:
            return "anybody"
        role = f"{self.role} of a team" if self.role else "admin of the fleet"
        return " or ".join([role, *(f"scope {scope}" for scope in self.scopes)])


ANYBODY = Right(anybody=True)
SIGNED_IN = Right(VIEWER, scopes=(METRICS, NODE))
VIEW, ACT, DECLARE, FLEET = Right(VIEWER), Right(MEMBER), Right(ADMIN), Right()
_LOOKS_AFTER_NODES = Right(scopes=(NODE,))
_SEES_NODES = Right(VIEWER, scopes=(NODE,))

RIGHTS: Mapping[str, Right] = {
    # jobs and what belongs to them
    "submit_job": ACT,  # for which team is in the body: the store asks
    "list_jobs": VIEW,
    "read_job": Right(VIEWER, JOB),
    "cancel_job": Right(MEMBER, JOB),
    "read_array": Right(VIEWER, JOB),
    "list_attempts": Right(VIEWER, JOB),
    "explain_job": Right(VIEWER, JOB),
    "read_pins": Right(VIEWER, JOB),
    "compare_pins": Right(VIEWER, JOB),  # with which is asked there
    "set_priority": Right(MEMBER, JOB),
    "rerun_job": Right(MEMBER, JOB),
    "read_failure": Right(VIEWER, JOB),
    "read_receipt": Right(VIEWER, JOB),
    "read_log": Right(VIEWER, JOB),
    "follow_log": Right(VIEWER, JOB),
    "list_metrics": Right(VIEWER, JOB),
    "list_samples": Right(VIEWER, JOB),
    "compare_runs": VIEW,  # of which is asked there
    "submit_pipeline": ACT,
    "list_pipelines": VIEW,
    "read_pipeline": Right(VIEWER, PIPELINE),
    "cancel_pipeline": Right(MEMBER, PIPELINE),
    # what is known of them in all
    "read_report": VIEW,
    "list_families": VIEW,
    "read_family": Right(VIEWER, FAMILY),
    "list_family_runs": Right(VIEWER, FAMILY),
    "release_family": Right(MEMBER, FAMILY),
    # nodes are the fleet's
    "list_nodes": _SEES_NODES,
    "read_node": _SEES_NODES,
    "list_node_samples": _SEES_NODES,
    "set_node_state": _LOOKS_AFTER_NODES,
    "read_reap": _LOOKS_AFTER_NODES,
    "reap_orphans": _LOOKS_AFTER_NODES,
    # machines and what runs on them
    "invite_machine": FLEET,
    "join_machine": ANYBODY,  # who has a code
    "list_machines": _SEES_NODES,
    "read_machine": _SEES_NODES,
    "poll_machine": Right(scopes=(MACHINE,)),  # that it is that machine is asked there
    "set_machine_state": _LOOKS_AFTER_NODES,
    "forget_machine": FLEET,
    "list_pools": VIEW,
    "read_pool": VIEW,
    "set_pool": FLEET,
    "remove_pool": FLEET,
    # teams; their weight and quota are the fleet's to give
    "list_teams": VIEW,
    "read_team": Right(VIEWER, TEAM),
    "set_team": Right(ADMIN, TEAM),
    "remove_team": FLEET,
    "list_windows": VIEW,
    "read_window": Right(VIEWER, WINDOW),
    "set_window": FLEET,
    "remove_window": FLEET,
    # what is declared
    "lint_schedules": VIEW,
    "lint_schedule": Right(VIEWER, SCHEDULE),
    "read_calendar": VIEW,
    "list_schedules": VIEW,
    "read_schedule": Right(VIEWER, SCHEDULE),
    "set_schedule": Right(ADMIN, SCHEDULE, makes=True),
    "remove_schedule": Right(ADMIN, SCHEDULE),
    "set_schedule_state": Right(MEMBER, SCHEDULE),
    "run_schedule": Right(MEMBER, SCHEDULE),
    "list_fires": Right(VIEWER, SCHEDULE),
    "list_next": Right(VIEWER, SCHEDULE),
    "list_revisions": Right(VIEWER, SCHEDULE),
    "explain_fire": Right(VIEWER, SCHEDULE),
    "list_triggers": VIEW,
    "read_trigger": Right(VIEWER, TRIGGER),
    "set_trigger": Right(ADMIN, TRIGGER, makes=True),
    "set_trigger_state": Right(MEMBER, TRIGGER),
    "remove_trigger": Right(ADMIN, TRIGGER),
    "list_activations": Right(VIEWER, TRIGGER),
    "simulate_trigger": Right(VIEWER, TRIGGER),
    "why_trigger": Right(VIEWER, TRIGGER),
    "send_event": ACT,  # an event is told to the whole fleet
    "list_events": VIEW,
    "follow_news": VIEW,  # of which teams is asked there
    # all that is declared, at once
    "make_plan": FLEET,
    "simulate_past": FLEET,
    "apply_plan": FLEET,
    "list_all_revisions": FLEET,
    "read_revision_of_all": FLEET,
    "read_declared": FLEET,
    "read_lock": FLEET,
    "take_lock": FLEET,
    "release_lock": FLEET,
    # alerts
    "list_alerts": VIEW,
    "read_alert": Right(VIEWER, ALERT),
    "acknowledge_alert": Right(MEMBER, ALERT),
    "list_silences": VIEW,
    "read_silence": Right(VIEWER, SILENCE),
    "add_silence": ACT,  # of what is asked there
    "remove_silence": Right(MEMBER, SILENCE),
    "list_alert_rules": VIEW,
    "read_alert_rule": Right(VIEWER, RULE),
    "set_alert_rule": Right(ADMIN, RULE, makes=True),
    "set_alert_rule_state": Right(ADMIN, RULE),
    "remove_alert_rule": Right(ADMIN, RULE),
    "try_alert_rule": Right(VIEWER, OWN_RULE),  # one of the fleet's would tell of the jobs of all
    # channels name secrets of the server and addresses inside its network
    "list_channels": FLEET,
    "read_channel": FLEET,
    "set_channel": FLEET,
    "remove_channel": FLEET,
    "try_channel": FLEET,
    "list_deliveries": FLEET,
    # who may ask
    "list_tokens": DECLARE,
    "read_token": Right(ADMIN, TOKEN),
    "create_token": DECLARE,  # for which teams is in the body
    "revoke_token": Right(ADMIN, TOKEN),
    "list_audit": FLEET,
    "verify_audit": FLEET,
    "read_login": ANYBODY,
    "sign_in": ANYBODY,
    "sign_out": SIGNED_IN,
    # pages
    "show_overview": VIEW,
    "show_queue": VIEW,
    "show_job": Right(VIEWER, JOB),
    "show_timeline": VIEW,
    "show_schedules": VIEW,
    "show_schedule": Right(VIEWER, SCHEDULE),
    "show_pipelines": VIEW,
    "show_pipeline": Right(VIEWER, PIPELINE),
    "show_alerts": VIEW,
    "show_rule": Right(VIEWER, RULE),
    "show_teams": VIEW,
    "show_team": Right(VIEWER, TEAM),
    "show_nodes": VIEW,
    "show_revisions": FLEET,
    "show_revision": FLEET,
    "show_rollback": FLEET,
    "show_report": VIEW,
    "show_compare": VIEW,  # of which is asked there
    "follow_live": VIEW,  # of which page is asked there
    "cancel_on_page": Right(MEMBER, JOB),
    "set_priority_on_page": Right(MEMBER, JOB),
    "resubmit_on_page": Right(MEMBER, JOB),
    "cancel_pipeline_on_page": Right(MEMBER, PIPELINE),
    "set_schedule_state_on_page": Right(MEMBER, SCHEDULE),
    "run_schedule_on_page": Right(MEMBER, SCHEDULE),
    "set_node_state_on_page": _LOOKS_AFTER_NODES,
    "acknowledge_on_page": Right(MEMBER, ALERT),
    "add_silence_on_page": ACT,  # of what is asked there
    "end_silence_on_page": Right(MEMBER, SILENCE),
    "set_rule_state_on_page": Right(ADMIN, RULE),
    "roll_back_on_page": FLEET,
    "read_asset": ANYBODY,
    # the process itself
    "check_health": ANYBODY,
    "check_readiness": ANYBODY,
    "read_docs": ANYBODY,
    "read_metrics": Right(scopes=(METRICS,)),
}
