"""From a request to its Viewer, and the cookie a session lives in."""

from datetime import timedelta
from typing import Any, cast

from litestar import Request
from litestar.datastructures import Cookie

from fondaco.core.clock import now
from fondaco.core.db import Database
from fondaco.core.ids import token_hash
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts, client_ip, said
from fondaco.identity.permissions import KEY_SCOPES
from fondaco.settings import Settings

LIFETIME = timedelta(days=7)  # the longest a session lives; unused for 24 hours it ends too
KEY_MARK = "fk_"
_UNASKED = ("/static/", "/webhooks/", "/health/")
_SESSIONS = "SELECT * FROM identity.resolve_sessions($1::bytea[], $2::timestamptz[])"


async def resolve(request: Request[Any, Any, Any]) -> Viewer:
    """Who is asking. Nobody knowable is a guest with address and browser filled in.

    Pages go by the session cookie, /api only by `Authorization: Bearer` (a session's token or an API key).
    A session that still owes its second factor is nobody: `user_id` None, but `session_id` set.
    """
    parts = cast(Parts, request.app.state.parts)
    settings = parts.get(Settings)
    path = str(request.scope["path"])
    browser = said(request.scope, b"user-agent") or ""
    guest = Viewer(ip=client_ip(request, settings.trusted_proxies), user_agent=browser[:300])
    if path.startswith(_UNASKED):
        return guest
    if path.startswith("/api/"):
        scheme, _, token = (said(request.scope, b"authorization") or "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
    else:
        token = request.cookies.get(cookie_name(settings), "")
    if not token or len(token) > 200:
        return guest
    db = parts.get(Database)
    if token.startswith(KEY_MARK) and path.startswith("/api/"):
        found = await _api_key(db, token, guest)
        if found.api_key_id:
            return found
    return await viewer_of(db, token, guest)  # a session's token may happen to begin like a key, too


async def viewer_of(db: Database, token: str, guest: Viewer) -> Viewer:
    """The viewer a session's token stands for, or `guest` when it stands for nobody.

    Always asked of the database, never remembered: what was ended before this was called does not pass.
    """
    rows = await db.gathered(_SESSIONS, token_hash(token), now())
    if not rows:
        return guest
    row = rows[0]
    if row["mfa_enrolled"] and not row["mfa"]:
        return Viewer(
            session_id=row["session_id"], mfa_enrolled=True, ip=guest.ip, user_agent=guest.user_agent
        )
    found = dict(row)
    del found["n"]
    return Viewer(**found, ip=guest.ip, user_agent=guest.user_agent)


async def _api_key(db: Database, token: str, guest: Viewer) -> Viewer:
    async with db.connection() as conn:
        row = await conn.fetchrow("SELECT * FROM identity.resolve_api_key($1, $2)", token_hash(token), now())
    if row is None:
        return guest
    return Viewer(
        api_key_id=row["api_key_id"],
        seller_id=row["seller_id"],
        seller_name=row["seller_name"],
        scopes=frozenset(row["scopes"]) & frozenset(KEY_SCOPES),
        ip=guest.ip,
        user_agent=guest.user_agent,
    )


def cookie_name(settings: Settings) -> str:
    """`__Host-session` over https (no subdomain can set it), `session` on a plain local address."""
    return "__Host-session" if settings.secure_cookies else "session"


def session_cookie(settings: Settings, token: str) -> Cookie:
    """The cookie that carries a session's token."""
    return Cookie(
        key=cookie_name(settings),
        value=token,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(settings: Settings) -> Cookie:
    """The cookie that takes a session's token away."""
    return Cookie(
        key=cookie_name(settings),
        value="",
        max_age=0,
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )
