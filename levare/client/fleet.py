"""Nodes, and the teams that share them: what is theirs, when, and what is known of their jobs."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from levare.client.answers import Family, Node, Reap, Team, Window
from levare.client.calls import Calls
from levare.client.parts import Version, dry, instant, only, part, span


class FleetCalls(Calls):
    def nodes(self) -> list[Node]:
        return self._get("/v1/nodes")["items"]

    def node(self, name: str) -> Node:
        return self._get(f"/v1/nodes/{part(name)}")

    def node_samples(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: int | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """What a node measured of itself, oldest first, as `samples` gives it of an attempt."""
        params = {"step": step, "limit": limit, **span(since, until)}
        return self._get(f"/v1/nodes/{part(name)}/samples", **params)["items"]

    def set_node_state(self, name: str, state: str, *, dry_run: bool = False) -> Node:
        """
        `draining` takes no new attempts and lets those that run end.

        `ready` takes them again, also on what was excluded for failing.
        """
        path = f"/v1/nodes/{part(name)}/state"
        return self._wire.ask("PUT", path, params=dry(dry_run), json={"state": state})

    def reap(self, name: str, *, dry_run: bool = False) -> Reap:
        """Have a node end what ended attempts left behind on its GPUs; `last_reap` tells when that is done."""
        return self._wire.ask("POST", f"/v1/nodes/{part(name)}/reap", params=dry(dry_run))

    def last_reap(self, name: str) -> Reap:
        """What is left behind on the GPUs of a node, and what became of what was last to be ended."""
        return self._get(f"/v1/nodes/{part(name)}/reap")

    def teams(self) -> list[Team]:
        return self._get("/v1/teams")["items"]

    def team(self, name: str) -> Team:
        return self._get(f"/v1/teams/{part(name)}")

    def set_team(self, name: str, *, dry_run: bool = False, if_match: Version = None, **declared: Any) -> Team:
        """
        Declare `weight`, `quota`, `projects` and `users` of a team.

        What is left out, in a quota too, goes back to its default.
        """
        return self._wire.ask("PUT", f"/v1/teams/{part(name)}", params=dry(dry_run), **only(if_match), json=declared)

    def remove_team(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Team:
        """Forget what was declared of a team, and return what that was; its jobs and its use stay."""
        return self._wire.ask("DELETE", f"/v1/teams/{part(name)}", params=dry(dry_run), **only(if_match))

    def windows(self) -> list[Window]:
        """Those that are not over."""
        return self._get("/v1/windows")["items"]

    def window(self, name: str) -> Window:
        return self._get(f"/v1/windows/{part(name)}")

    def set_window(
        self,
        name: str,
        nodes: Sequence[str],
        *,
        starts: str | datetime,
        ends: str | datetime,
        team: str | None = None,
        user: str | None = None,
        reason: str = "",
        dry_run: bool = False,
        if_match: Version = None,
    ) -> Window:
        """Keep nodes for a team, or for one user of it, or, without a team, for maintenance."""
        times = {"starts": instant(starts), "ends": instant(ends)}
        body = {"nodes": list(nodes), **times, "team": team, "user": user, "reason": reason}
        return self._wire.ask("PUT", f"/v1/windows/{part(name)}", params=dry(dry_run), **only(if_match), json=body)

    def remove_window(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Window:
        """Give the nodes of a window back."""
        return self._wire.ask("DELETE", f"/v1/windows/{part(name)}", params=dry(dry_run), **only(if_match))

    def families(self, *, held: bool = False) -> Iterator[Family]:
        """Families of jobs by name, or only those that are held now; pages are fetched as they are needed."""
        return self._wire.pages("/v1/families", None, held="true" if held else None)

    def family(self, name: str) -> Family:
        """What is known of the jobs of one `team/project/name`."""
        return self._get(f"/v1/families/{part(name)}")

    def release_family(self, name: str, *, dry_run: bool = False) -> Family:
        """Let the jobs of a held family start again."""
        return self._wire.ask("DELETE", f"/v1/families/{part(name)}/hold", params=dry(dry_run))
