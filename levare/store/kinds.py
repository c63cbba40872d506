"""Every kind of what is declared: who adds a kind adds its line here."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from levare.decide.plan import KINDS as ORDER
from levare.model import Declared
from levare.store import alert_rules, channels, pools, schedules, teams, templates, triggers, windows
from levare.store.declared import Kind

_KINDS = (
    teams.DECLARED,
    windows.DECLARED,
    pools.DECLARED,
    templates.JOBS,
    templates.PIPELINES,
    channels.DECLARED,
    alert_rules.DECLARED,
    schedules.DECLARED,
    triggers.DECLARED,
)
KINDS: Mapping[str, Kind] = {kind.key: kind for kind in sorted(_KINDS, key=lambda kind: ORDER.index(kind.key))}
"""In the order in which they are written: what others speak of comes first."""


def every(connection: Connection) -> list[Declared]:
    """All that is declared, by kind and name."""
    return [declared for kind in KINDS.values() for declared in kind.every(connection)]


def in_order(declared: Iterable[Declared]) -> list[Declared]:
    return sorted(declared, key=lambda each: (ORDER.index(each.kind), each.name))
