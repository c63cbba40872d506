"""Forms of pages: they work without JavaScript, and prove by a field that a page of ours has sent them."""

from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request

from app.auth import is_ours, shown_by
from levare.errors import Forbidden


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name."""
    found = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[0] for name, values in found.items()}


Form = Annotated[dict[str, str], Depends(_fields)]


async def _proven(request: Request, form: Form) -> dict[str, str]:
    """As `Form`; of a session only with its proof. A program that shows a token needs none."""
    shown = shown_by(request.headers)
    if shown is None or (shown.is_cookie and not is_ours(form.get("csrf"), shown.secret)):
        raise Forbidden("Nothing shows that a page of levare has asked for this.", "Load the page again, and try anew.")
    return form


PROVEN = Depends(_proven)
Proven = Annotated[dict[str, str], PROVEN]


def local(where: str, otherwise: str) -> str:
    """A path of this server; nobody is sent elsewhere."""
    parts = urlsplit(where)
    is_ours = where.startswith("/") and not (parts.scheme or parts.netloc) and where.isprintable() and "\\" not in where
    return where if is_ours else otherwise
