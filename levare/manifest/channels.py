"""Channels: ways to tell people. Secrets are never in it, only their names."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from levare.errors import Contradiction, Fault
from levare.manifest.alerts import Description, Severity
from levare.manifest.patterns import ADDRESS, HOST, URL, VISIBLE
from levare.manifest.values import WHOLE, Body, Label, Secret

Address = Annotated[str, Field(pattern=ADDRESS, max_length=254)]


class Webhook(Body):
    """Each message is a POST of a CloudEvent 1.0."""

    url: Annotated[str, Field(pattern=URL, max_length=2000)] | Secret = Field(
        description="Where to; what nobody may see is a secret.", examples=["https://hooks.example.org/levare"]
    )
    key: Secret | None = Field(None, description="What messages are signed with, by HMAC-SHA256.")


class Email(Body):
    """Each message is a mail by SMTP."""

    host: Annotated[str, Field(pattern=HOST)] = Field(description="Of the SMTP server.", examples=["smtp.example.org"])
    port: Annotated[int, Field(ge=1, le=65535), WHOLE] = Field(587, description="Its port.", examples=[587])
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`none` only where the way there is safe.", examples=["tls"]
    )
    sender: Address = Field(description="From whom.", examples=["levare@example.org"])
    to: list[Address] = Field(min_length=1, max_length=50, description="To whom.", examples=[["ops@example.org"]])
    user: Annotated[str, Field(pattern=VISIBLE, max_length=254)] | None = Field(
        None, description="Who logs in there.", examples=["levare"]
    )
    password: Secret | None = Field(None, description="The password of this user.")


class AppriseUrl(Body):
    """Any of the services that Apprise knows; needs `pip install 'levare[notify]'` where beat runs."""

    url: Secret = Field(description="The Apprise URL, which holds secrets and so is one.")


class Routes(Body):
    """Which alerts it takes of rules that name no channel."""

    at_least: Severity = Field("info", description="Only what is as bad as this, or worse.", examples=["warning"])
    teams: list[Label] = Field(
        default_factory=list, max_length=100, description="Only about these teams.", examples=[["vision"]]
    )


class ChannelRequest(Body):
    """A way to tell people: exactly one of `webhook`, `email` and `apprise`."""

    webhook: Webhook | None = Field(None, description="A POST to a URL.")
    email: Email | None = Field(None, description="Mails by SMTP.")
    apprise: AppriseUrl | None = Field(None, description="Slack, Telegram, and a hundred more.")
    routes: Routes | None = Field(None, description="Which alerts it takes; all by default.")
    description: Description = Field("", description="For people.", examples=["Whoever is on duty."])

    @property
    def kind(self) -> str:
        return next(name for name in _KINDS if getattr(self, name) is not None)

    def definition(self) -> dict[str, Any]:
        """As it is kept, without what is as usual. Raise Contradiction for what cannot be meant."""
        faults = list(_contradictions(self))
        if faults:
            raise Contradiction(f"{faults[0].field} {faults[0].message}.", "docs/monitoring.md shows examples.", faults)
        found = self.model_dump(mode="json", exclude_defaults=True)
        return {name: value for name, value in found.items() if value is not None}


_KINDS = ("webhook", "email", "apprise")


def _contradictions(body: ChannelRequest) -> Iterator[Fault]:
    said = [name for name in _KINDS if getattr(body, name) is not None]
    if len(said) != 1:
        yield Fault("webhook", "must be said, or email or apprise, and one of them", ", ".join(said) or None, _KINDS)
    mail = body.email
    if mail and (mail.user is None) != (mail.password is None):
        yield Fault("email.password", "must be said together with user", None, "both, or neither")
    if mail and mail.password and mail.security == "none":
        yield Fault("email.security", "must not be none where a password is sent", "none", "starttls or tls")
