"""Alerts, their rules and back-tests as people read them."""

from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words

if TYPE_CHECKING:
    from levare.client import Alert, AlertRule, BackTest, Silence


def row(alert: "Alert") -> list[Any]:
    return [
        str(alert["number"]),
        terminal.state(alert["severity"]),
        alert["rule"],
        words.clock(alert["begun_at"]),
        words.between(alert["begun_at"], alert["ended_at"]),
        _stands(alert),
        words.plain(alert["message"]),
    ]


def _stands(alert: "Alert") -> str:
    if alert["state"] == "ended":
        return "ended"
    if alert["acknowledged_by"]:
        return f"open, with {alert['acknowledged_by']}"
    return "open, silenced" if alert["is_silenced"] else "open"


def show(alert: "Alert") -> None:
    click.echo(words.plain(alert["message"]))
    click.echo()
    at, note = alert["acknowledged_at"], alert["acknowledged_note"]
    pairs = [
        ("alert", f"{alert['number']} of rule {alert['rule']}, {alert['severity']}"),
        ("state", _stands(alert)),
        ("since", f"{words.clock(alert['begun_at'])}, seen {words.clock(alert['seen_at'])}"),
        ("ended", f"{words.clock(alert['ended_at'])}: {alert['ended_reason']}" if alert["ended_at"] else None),
        ("job", alert["job"]),
        ("node", alert["node"]),
        ("told", ", ".join(alert["told"]) or ("nobody, for a silence" if alert["is_silenced"] else "no channel")),
        ("with", f"{alert['acknowledged_by']} since {words.clock(at)}{f': {note}' if note else ''}" if at else None),
        ("numbers", ", ".join(f"{name} {words.number(v)}" for name, v in alert["detail"].items() if v is not None)),
    ]
    terminal.show(terminal.facts([(name, value or None) for name, value in pairs]))


def about(silence: "Silence") -> str:
    said = {name: silence[name] for name in ("rule", "job", "team", "node")}
    return ", ".join(f"{name} {value}" for name, value in said.items() if value)


def rule_row(rule: "AlertRule") -> list[Any]:
    declared = "default" if rule["is_default"] else f"by {rule['owner']}"
    what = rule["definition"].get("description", "")
    severity = terminal.state(rule["severity"])
    return [rule["name"], severity, looks_for(rule), state(rule), declared, words.plain(what)]


def looks_for(rule: "AlertRule") -> str:
    """`metric metric=loss above=10`."""
    kind = rule["kind"]
    said = rule["definition"]["when"][kind].items()
    return " ".join([kind, *(f"{name}={value}" for name, value in said if value is not None)])


def state(rule: "AlertRule") -> str:
    if rule["paused_at"] is None:
        return "in force"
    return f"off by {rule['paused_by']}" + (f": {rule['paused_reason']}" if rule["paused_reason"] else "")


def show_rule(rule: "AlertRule") -> None:
    at = rule["changed_at"]
    pairs = [
        ("rule", rule["name"]),
        ("what", rule["definition"].get("description")),
        ("looks for", looks_for(rule)),
        ("severity", rule["severity"]),
        ("channels", ", ".join(rule["definition"].get("channels", ())) or "all whose routes take it"),
        ("state", state(rule)),
        ("declared", f"by {rule['owner']}, {words.clock(at)}, revision {rule['revision']}" if at else "a default"),
    ]
    terminal.show(terminal.facts([(name, value or None) for name, value in pairs]))


def back_test(found: "BackTest") -> None:
    rows = [
        [words.clock(each["at"]), each["job"] or each["subject"], _ended(each), words.plain(each["message"])]
        for each in found["items"]
    ]
    if rows:
        heads = ("at", "of", "its job", "message")
        terminal.show(terminal.table(heads, rows, flexible=("message",)))
    precision, recall = (words.percent(found[name]) for name in ("precision", "recall"))
    click.echo(
        f"Since {words.clock(found['since'])}, by recorded {found['source']}: "
        f"{words.counted(found['firings'], 'alert')} for {words.counted(found['jobs'], 'job')}, of which "
        f"{found['failures']} failed. {found['true_firings']} preceded a failure of its job: precision {precision}, "
        f"recall {recall}."
    )
    if found["note"]:
        terminal.note(found["note"])


def _ended(firing: Any) -> str:
    return {True: "failed", False: "succeeded", None: words.NOTHING}[firing["preceded_failure"]]
