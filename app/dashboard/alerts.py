"""What is not as it should be, what was, who is told of what; and what a rule would have done."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.dashboard.desk import View
from levare.decide.belonging import teams_of_rule
from levare.model.access import ADMIN, MEMBER, VIEWER
from levare.store import alert_rules, alerts, backtest, silences
from levare.store.alerts import AlertFilter
from levare.store.ownership import team_of_silence

Row = Mapping[str, Any]

_MOST_OPEN, _MOST_PAST = 100, 60
TESTS: Mapping[str, timedelta] = {f"{days}d": timedelta(days=days) for days in (1, 7, 30)}
_MOST_FIRINGS = 30
SAID = ("rule", "job", "team", "node")


def load(view: View) -> dict[str, Any]:
    call, params = view.call, view.params
    severity, rule = params.get("severity", ""), params.get("rule", "").strip()
    wanted = {"severity": severity or None, "rule": rule or None, "seen": call.seen}
    with call.database.reading() as connection:
        opened = alerts.find(connection, AlertFilter(is_open=True, **wanted), limit=_MOST_OPEN)
        past = alerts.find(connection, AlertFilter(is_open=False, **wanted), limit=_MOST_PAST)
        quiet = [
            {**row, "may_act": view.may_for(teams)}
            for row in silences.find(connection, now=call.now)
            if call.actor.access.has_in_all(VIEWER, teams := team_of_silence(connection, row))
        ]
        rules = [row for row in alert_rules.every(connection) if _sees(view, row)]
    return {
        "opened": [{**row, "may_act": _may_act(view, row)} for row in opened],
        "past": past,
        "silences": quiet,
        "rules": rules,
        "severity": severity,
        "rule": rule,
        "silence": {name: params.get(f"silence_{name}", "") for name in SAID},
        "may_silence": call.actor.access.has_in_any(MEMBER),
    }


def _may_act(view: View, row: Row) -> bool:
    return view.may_act(row["team"]) if row["team"] else view.call.actor.access.is_fleet


def _sees(view: View, row: Row) -> bool:
    return view.call.actor.access.has_in_all(VIEWER, teams_of_rule(row["definition"]))


def load_rule(view: View) -> dict[str, Any]:
    call, name = view.call, view.names["name"]
    with call.database.reading() as connection:
        row = alert_rules.one(connection, name)
        past = alerts.find(connection, AlertFilter(rule=name, seen=call.seen), limit=_MOST_PAST)
    teams = teams_of_rule(row["definition"])
    may_try = call.actor.access.is_fleet or bool(teams)
    since = view.params.get("test", "")
    [(kind, when)] = row["definition"]["when"].items()
    return {
        "title": f"Rule {name}",
        "rule": row,
        "kind": kind,
        "when": {key: value for key, value in (when or {}).items() if value is not None},
        "past": past,
        "may_try": may_try,
        "may_act": view.may_for(teams, ADMIN),
        "tests": list(TESTS),
        "since": since,
        "tested": _tested(view, name, since) if may_try and since in TESTS else None,
    }


def _tested(view: View, name: str, since: str) -> Row:
    """It reads much, so it is done for all at once and kept for a while."""

    def replay() -> Row:
        with view.call.database.reading() as connection:
            now = view.call.now
            return backtest.replay(connection, name, since=now - TESTS[since], until=now).told(_MOST_FIRINGS)

    return view.desk.kept(f"test {name} {since}", replay)
