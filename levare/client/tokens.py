"""Who may ask: tokens."""

from collections.abc import Mapping
from datetime import datetime

from levare.client.answers import Token
from levare.client.calls import Calls
from levare.client.parts import dry, given, instant, part


class TokenCalls(Calls):
    def tokens(self) -> list[Token]:
        return self._get("/v1/tokens")["items"]

    def token(self, token_id: str) -> Token:
        """One of them, by its id; never its secret."""
        return self._get(f"/v1/tokens/{part(token_id)}")

    def create_token(
        self,
        name: str,
        *,
        role: str | None = None,
        teams: Mapping[str, str] | None = None,
        expires_at: str | datetime | None = None,
        dry_run: bool = False,
    ) -> Token:
        """
        The new token, with its role in each of its `teams`; without teams and role it may everything.

        The answer is the only place where its secret is ever shown, so it is never sent twice.
        """
        body = given({"name": name, "role": role, "teams": teams or None, "expires_at": instant(expires_at)})
        return self._wire.ask("POST", "/v1/tokens", params=dry(dry_run), repeatable=False, json=body)

    def revoke_token(self, token_id: str, *, dry_run: bool = False) -> None:
        self._wire.checked("DELETE", f"/v1/tokens/{part(token_id)}", params=dry(dry_run))
