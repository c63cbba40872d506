"""Signing in by a browser: a token is shown once, and a cookie stands for it from then on."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.auth import COOKIES, cookie_of, is_ours, proof_of
from app.call import Parts
from app.forms import Form, local
from app.keys import Holder
from levare.errors import Forbidden, Unauthorized
from levare.store import sessions
from levare.store.audit import Actor
from levare.store.sessions import LASTS

router = APIRouter(include_in_schema=False)

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --line: #8c959f; --act: #0550ae; --bad: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b3; --paper: #0d1117; --line: #6e7681; --act: #79c0ff; --bad: #ff9492; }
}
body { font: 16px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); max-width: 26rem; margin: 12vh auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
label { display: block; margin-bottom: .25rem; }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .75rem; border-radius: 6px; border: 1px solid var(--line); }
input { background: var(--paper); color: var(--ink); }
button { margin-top: 1rem; background: var(--act); color: var(--paper); border-color: var(--act); cursor: pointer; }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
p, li { color: var(--soft); }
a { color: var(--act); }
.bad { color: var(--bad); }
"""  # noqa: E501  # one rule a line
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HOME = "/"
_NOT_VALID = "This token is not valid here."


@router.get("/login")
async def read_login(request: Request) -> Response:
    """Ask for a token; whoever is signed in sees as whom, and may sign out."""
    cookie = cookie_of(request.headers)
    holder = await _signed_in(request, cookie)
    where = local(request.query_params.get("next", ""), HOME)
    return _page(_ask(where) if holder is None or cookie is None else _about(holder, cookie))


@router.post("/login")
async def sign_in(request: Request, form: Form) -> Response:
    """Begin a session with a token, and go on where the browser wanted to."""
    parts: Parts = request.app.state.parts
    where = local(form.get("next", ""), HOME)
    try:
        holder = await parts.keys.look_up(form.get("token", "").strip(), is_cookie=False)
    except Unauthorized:
        return _page(_ask(where, _NOT_VALID), 401)
    cookie = sessions.new_cookie()
    await to_thread.run_sync(_begin, parts, cookie, _actor(request, holder))
    answer = RedirectResponse(where, 303)
    is_secure = _is_secure(request)
    name = COOKIES[0] if is_secure else COOKIES[1]
    answer.set_cookie(
        name, cookie, int(LASTS.total_seconds()), path="/", secure=is_secure, httponly=True, samesite="strict"
    )
    return answer


@router.post("/logout")
async def sign_out(request: Request, form: Form) -> Response:
    """End the session; the token stays valid."""
    parts: Parts = request.app.state.parts
    cookie = cookie_of(request.headers)
    if cookie is None or not is_ours(form.get("csrf"), cookie):
        raise Forbidden("Nothing shows that a page of levare has asked for this.", "Use the button at /login.")
    await to_thread.run_sync(_end, parts, cookie, request.scope["levare.actor"])
    parts.keys.forget()
    answer = RedirectResponse("/login", 303)
    for name in COOKIES:
        answer.delete_cookie(name, path="/", secure=name == COOKIES[0], httponly=True, samesite="strict")
    return answer


async def _signed_in(request: Request, cookie: str | None) -> Holder | None:
    parts: Parts = request.app.state.parts
    try:
        return await parts.keys.look_up(cookie, is_cookie=True) if cookie else None
    except Unauthorized:
        return None


def _begin(parts: Parts, cookie: str, actor: Actor) -> None:
    with parts.database.writing() as connection:
        sessions.begin(connection, cookie, actor=actor, now=datetime.now(UTC))


def _end(parts: Parts, cookie: str, actor: Actor) -> None:
    with parts.database.writing() as connection:
        sessions.end(connection, cookie, actor=actor, now=datetime.now(UTC))


def _actor(request: Request, holder: Holder) -> Actor:
    return Actor(holder.token_id, holder.name, holder.access, request.client.host if request.client else "")


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS: to us, or to a proxy before us, as the origin of its page tells."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _ask(where: str, wrong: str = "") -> str:
    told = f"<p class=bad role=alert>{escape(wrong)}</p>" if wrong else ""
    return (
        f"<h1>levare</h1>{told}<form method=post action=/login>"
        "<label for=token>Token</label>"
        "<input id=token name=token type=password autocomplete=current-password required autofocus spellcheck=false>"
        f"<input type=hidden name=next value='{escape(where)}'><button>Sign in</button></form>"
        "<p>On the machine of the API the first one is in <code>LEVARE_HOME/admin.token</code>; "
        "<code>levare tokens create</code> makes others.</p>"
    )


def _about(holder: Holder, cookie: str) -> str:
    teams = "".join(f"<li>{escape(role)} of {escape(team)}" for team, role in sorted(holder.access.teams.items()))
    fleet = f"<li>{escape(holder.access.role)}" if holder.access.role != "team" else ""
    return (
        f"<h1>levare</h1><p>Signed in with the token {escape(holder.name)}.</p><ul>{fleet}{teams}</ul>"
        "<p><a href=/>The dashboard</a></p><p><a href=/docs>The API</a></p><form method=post action=/logout>"
        f"<input type=hidden name=csrf value='{quote(proof_of(cookie))}'><button>Sign out</button></form>"
    )


def _page(body: str, status: int = 200) -> Response:
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>levare: sign in</title><style>{_STYLE}</style><main>{body}</main>"
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": POLICY})
