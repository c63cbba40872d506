"""Who may do what: the roles that a token has in its teams, and what it may besides."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

VIEWER, MEMBER, ADMIN = "viewer", "member", "admin"
TEAM_ROLES = (VIEWER, MEMBER, ADMIN)
"""Each may what those before it may."""
FLEET, METRICS, NODE, TEAM = "admin", "metrics", "node", "team"
TOKEN_ROLES = (FLEET, METRICS, NODE, TEAM)
"""What a token may beyond its teams: everything, read /metrics, look after nodes, or nothing."""
MACHINE = "machine"
"""The role of a token that a machine was given when it joined: it may ask what is wanted of it."""


@dataclass(frozen=True)
class Access:
    """
    What somebody may: `role` is one of TOKEN_ROLES or MACHINE, `teams` has one of TEAM_ROLES for each of his teams.

    Unknown roles may nothing, so that a row from a newer version opens nothing here.
    """

    role: str = FLEET
    teams: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_fleet(self) -> bool:
        return self.role == FLEET

    def has(self, role: str, team: str) -> bool:
        """Whether he has at least this role in a team."""
        return self.is_fleet or _rank(self.teams.get(team)) >= _rank(role) > 0

    def has_in_all(self, role: str, teams: Collection[str]) -> bool:
        return all(self.has(role, team) for team in teams)

    def has_in_any(self, role: str) -> bool:
        return self.is_fleet or any(self.has(role, team) for team in self.teams)

    def teams_with(self, role: str) -> Collection[str] | None:
        """The teams in which he has at least this role; None for all there are."""
        return None if self.is_fleet else sorted(team for team in self.teams if self.has(role, team))

    @property
    def seen(self) -> Collection[str] | None:
        """The teams whose things he may see; None for all."""
        return self.teams_with(VIEWER)


EVERYTHING = Access()


def _rank(role: str | None) -> int:
    return TEAM_ROLES.index(role) + 1 if role in TEAM_ROLES else 0
