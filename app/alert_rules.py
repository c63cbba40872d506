"""Rules of alerts: what is worth an alert, and what they would have done."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.alert_answers import AlertRule, AlertRules, BackTest
from app.answers import answer, listed
from app.bodies import Activity
from app.call import Asked, DryRun
from app.document import refusals
from app.pages import fields_of, picked, selected
from app.problems import invalid
from app.triggers import Since
from levare.decide.belonging import teams_of_rule
from levare.errors import Contradiction, Fault
from levare.manifest.alerts import AlertRuleRequest
from levare.manifest.values import Label
from levare.model.access import ADMIN, VIEWER
from levare.store import alert_rules, backtest, channels, versions
from levare.written import duration_seconds

router = APIRouter(prefix="/v1/alert-rules", tags=["alerts"])

RuleName = Annotated[Label, Path(description="The name of a rule.", examples=["hang"])]
RuleFields = Annotated[str | None, fields_of(AlertRule)]
_FIELDS = tuple(AlertRule.model_fields)
_MOST_SHOWN = 500


@router.get("", response_model=AlertRules)
def list_alert_rules(call: Asked, fields: RuleFields = None) -> Response:
    """List the rules by name: the defaults, and what was declared instead of or besides them."""
    names = selected(AlertRule, fields)
    with call.database.reading() as connection:
        rows = alert_rules.every(connection)
    shown = [row for row in rows if call.actor.access.has_in_all(VIEWER, teams_of_rule(row["definition"]))]
    return listed([picked(row, names) for row in shown])


@router.get("/{name}", response_model=AlertRule)
def read_alert_rule(name: RuleName, call: Asked, fields: RuleFields = None) -> Response:
    """Look at a rule."""
    names = selected(AlertRule, fields)
    with call.database.reading() as connection:
        row, version = alert_rules.one(connection, name), versions.of(connection, versions.RULE, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=AlertRule, responses=refusals(Contradiction))
def set_alert_rule(name: RuleName, body: AlertRuleRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Declare a rule, or declare it anew, as a revision; the same again changes nothing.

    One with the name of a default is in force instead of it.
    """
    definition = body.definition()
    call.refuse_unless(ADMIN, teams_of_rule(definition), what="The rule")
    with call.writing(dry_run=dry_run) as connection:
        _refuse_unknown(body.channels, [each["name"] for each in channels.every(connection)])
        row = alert_rules.put(connection, name, definition, actor=call.actor, now=call.now)
    return answer(picked(row, _FIELDS))


def _refuse_unknown(named: Sequence[str], known: Sequence[str]) -> None:
    """A rule that tells a channel that is not there tells nobody."""
    limit = f"one of {', '.join(known)}" if known else "no name: no channel is declared"
    faults = [
        Fault(f"channels.{place}", "is no channel", name, limit)
        for place, name in enumerate(named)
        if name not in known
    ]
    if faults:
        raise invalid(faults)


@router.put("/{name}/state", response_model=AlertRule)
def set_alert_rule_state(name: RuleName, body: Activity, call: Asked, dry_run: DryRun = False) -> Response:
    """Switch a rule off, a default too, or on again. Its open alerts end when it is switched off."""
    with call.writing(dry_run=dry_run) as connection:
        if body.pauses:
            row = alert_rules.pause(connection, name, reason=body.reason, actor=call.actor, now=call.now)
        else:
            row = alert_rules.resume(connection, name, actor=call.actor, now=call.now)
    return answer(picked(row, _FIELDS))


@router.delete("/{name}", response_model=AlertRule)
def remove_alert_rule(name: RuleName, call: Asked, dry_run: DryRun = False) -> Response:
    """Remove what was declared, as a revision; a default of this name is then in force again."""
    with call.writing(dry_run=dry_run) as connection:
        row = alert_rules.remove(connection, name, actor=call.actor, now=call.now)
    return answer(picked(row, _FIELDS))


@router.get("/{name}/test", response_model=BackTest)
def try_alert_rule(name: RuleName, call: Asked, since: Since = "30d") -> Response:
    """
    Say what a rule, as it is now, would have done with what is recorded, and which of it preceded a failure.

    The past is fed through the very decisions that beat takes. What nobody records is left out, and `note` says so.
    """
    begin = call.now - timedelta(seconds=duration_seconds(since))
    with call.database.reading() as connection:
        found = backtest.replay(connection, name, since=begin, until=call.now)
    return answer(found.told(_MOST_SHOWN))
