"""Web glue: the request, permissions at the door, problems as answers, headers on everything."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import msgspec
import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from litestar.types import ASGIApp, Message, Receive, Send
from litestar.types import Scope as AsgiScope

from fondaco.core.db import Database, trouble
from fondaco.core.pagination import Cursors
from fondaco.core.problem import (
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    SignInNeeded,
    TooMany,
    Unavailable,
)
from fondaco.core.viewer import GUEST, Viewer
from fondaco.settings import Settings

T = TypeVar("T")
log = structlog.get_logger()

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self' {pay}; frame-ancestors 'none'"
)


class Parts:
    """The running program's parts (database, vault, gateways...), found by their class."""

    def __init__(self, *parts: Any) -> None:
        self._parts: dict[type[Any], Any] = {type(p): p for p in parts}

    def add(self, part: Any) -> None:
        self._parts[type(part)] = part

    def get(self, kind: type[T]) -> T:
        return cast(T, self._parts[kind])


class Call(Request[Viewer, None, State]):
    """A request, with what every handler needs at hand."""

    @property
    def viewer(self) -> Viewer:
        return cast(dict[str, Any], self.scope).get("viewer", GUEST)

    def part(self, kind: type[T]) -> T:
        """The program's part of this class, e.g. `call.part(Vault)`."""
        return cast(Parts, self.app.state.parts).get(kind)

    @property
    def db(self) -> Database:
        return self.part(Database)

    @property
    def settings(self) -> Settings:
        return self.part(Settings)

    @property
    def cursors(self) -> Cursors:
        return self.part(Cursors)

    @property
    def is_api(self) -> bool:
        return str(self.scope["path"]).startswith(("/api/", "/webhooks/"))

    @property
    def csrf_token(self) -> str:
        """For the hidden field `_csrf_token` of every form."""
        from litestar.utils.scope.state import ScopeState

        token = ScopeState.from_scope(self.scope).csrf_token
        return token if isinstance(token, str) else ""

    async def json(self) -> Any:
        """The body as data, read strictly as what the handler takes: "12", 1e3 and 12.0 are no integers.
        Read once: what it gives is that type already, and the framework takes it as it is."""
        body = await self.body()
        if not body:
            return None
        field = self.route_handler.parsed_data_field
        try:
            return _decoder(Any if field is None else field.annotation).decode(body)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            raise Invalid(fields={path.strip("`.") or "body": message}) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Invalid("The body is not valid JSON in UTF-8.") from None

    async def fields(self) -> dict[str, str]:
        """A form's text fields (the last of each name), without the CSRF token."""
        form = await self.form()
        return {k: v for k, v in form.items() if isinstance(v, str) and k != "_csrf_token"}


@cache
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


async def permit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """`check_permission` as a guard of single routes. A coroutine, as the framework sends plain functions to
    a thread, which costs more than the rest of a small request."""
    check_permission(connection.scope, connection.app.state.permissions)


def check_permission(scope: AsgiScope, table: Mapping[str, frozenset[str]]) -> None:
    """The route's `permit=` names a permission, the table says who has it.

    Nobody signed in: 401 (pages send to sign-in). No role in that desk at all: 404, as if there were no
    such desk. A role in it, but not this one: 403.
    """
    found = cast(dict[str, Any], scope)
    name = found["route_handler"].opt.get("permit")
    if name is None or name not in table:
        raise NotFound()
    viewer = cast(Viewer, found.get("viewer", GUEST))
    allowed = table[name]
    if "anonymous" in allowed:
        return
    if viewer.api_key_id:
        if name in viewer.scopes:
            return
        raise Forbidden("This API key was not given that permission.") if "api_key" in allowed else NotFound()
    if mine := viewer.roles & allowed:
        if all(role.startswith("staff.") for role in mine) and not viewer.mfa:
            raise SecondFactorNeeded()
        return
    if viewer.user_id is None:
        # A session that still owes its second factor is nobody yet.
        raise SecondFactorNeeded() if viewer.session_id else SignInNeeded()
    desks = {role.split(".")[0] for role in allowed}
    raise Forbidden() if desks & {role.split(".")[0] for role in viewer.roles - {"customer"}} else NotFound()


class SecondFactorNeeded(Problem):
    """Please confirm it is you with your second factor."""

    status = 401
    code = "second_factor_needed"


def answer_problem(call: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    """A Problem as problem+json for machines, as a page for people."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(problem, TooMany):
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 503:
        headers["Retry-After"] = str(problem.retry_after if isinstance(problem, Unavailable) else 2)
    path = call.url.path
    wants_page = not path.startswith(("/api/", "/webhooks/")) and "json" not in call.headers.get("accept", "")
    if not wants_page:
        if problem.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(
            msgspec.json.encode(problem.body()),
            status_code=problem.status,
            media_type="application/problem+json",
            headers=headers,
        )
    if problem.status == 401 and call.method in ("GET", "HEAD"):
        target = "/second-factor" if isinstance(problem, SecondFactorNeeded) else "/sign-in"
        query = f"?{call.url.query}" if call.url.query else ""
        return Redirect(f"{target}?next={quote(path + query, safe='/')}", status_code=303)
    if problem.status == 401:
        return Redirect("/sign-in", status_code=303)
    render = cast(Callable[[Any, Problem], str], call.app.state.render_problem)
    return Response(
        render(call, problem), status_code=problem.status, media_type="text/html", headers=headers
    )


def on_problem(call: Request[Any, Any, Any], error: Problem) -> Response[Any]:
    return answer_problem(call, error)


class MethodNotAllowed(Problem):
    """This address does not take that method."""

    status = 405
    code = "method_not_allowed"


class TooLarge(Problem):
    """That is more than can be taken at once."""

    status = 413
    code = "too_large"


class CrossSite(Problem):
    """This form was open too long or came from another site. Go back, reload the page and try again."""

    status = 403
    code = "cross_site"


def on_http_exception(call: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework itself refuses, in our words."""
    if isinstance(error, ValidationException) or error.status_code == 400:
        fields: dict[str, str] = {}
        extra = error.extra if isinstance(error.extra, list) else []
        for item in cast(list[dict[str, Any]], extra):
            fields[str(item.get("key", "")) or "body"] = str(item.get("message", "cannot be used"))
        found: Problem = Invalid(None if fields else error.detail, fields=fields)
    else:
        found = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge, 403: CrossSite}.get(
            error.status_code, Problem
        )()
        if error.status_code == 401:
            found = SignInNeeded()
        elif error.status_code == 429:
            found = TooMany()
    return answer_problem(call, found)


class Broken(Problem):
    """Something broke on our side. It has been noted; nothing was charged twice and nothing is lost."""

    status = 500
    code = "broken"


def on_exception(call: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Anything unforeseen: logged without its values (they may hold a customer's data), answered in words.
    The database's trouble is none of the caller's making: 503, ask again."""
    if problem := trouble(error):
        log.error("database_trouble", path=call.url.path, method=call.method, error=type(error).__name__)
        return answer_problem(call, problem)
    log.error(
        "unhandled", path=call.url.path, method=call.method, error=type(error).__name__, where=_where(error)
    )
    return answer_problem(call, Broken())


def _where(error: BaseException) -> str:
    trace, places = error.__traceback__, list[str]()
    while trace:
        code = trace.tb_frame.f_code
        if "fondaco" in code.co_filename:
            places.append(f"{code.co_filename.rsplit('fondaco/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-6:])


class Edge:
    """Outermost middleware: who is asking, and writes from our own pages only."""

    def __init__(self, app: ASGIApp, *, settings: Settings, resolve: Callable[[Any], Any]) -> None:
        self.app = app
        self.resolve = resolve
        self.origin = settings.base_url

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            call = cast(Request[Any, Any, Any], Request(scope, receive))
            cast(dict[str, Any], scope)["viewer"] = await self.resolve(call)
            if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not same_origin(call, self.origin):
                raise CrossSite()
        await self.app(scope, receive, send)


class Door:
    """Middleware before every handler: its permission, before anything is done for the request. (A guard of
    the framework's would copy the handler for each request.)"""

    def __init__(self, app: ASGIApp, *, permissions: Mapping[str, frozenset[str]]) -> None:
        self.app = app
        self.permissions = permissions

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        check_permission(scope, self.permissions)
        await self.app(scope, receive, send)


def said(scope: AsgiScope, name: bytes) -> str | None:
    """The first header of this name (lower case) in a request. Cheaper than all of them as text."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def security_headers(settings: Settings) -> Callable[[Message, AsgiScope], Awaitable[None]]:
    """A hook on every answer, also those the router gives before any middleware runs. It adds what
    middlewares left in the scope's `told`, too: a list of raw headers."""
    fixed = {
        "Content-Security-Policy": CSP.format(
            pay=settings.stripe_api_base or "https://checkout.stripe.com https://connect.stripe.com"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",  # what may be kept says so itself
    }
    if settings.secure_cookies:
        fixed["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"

    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fixed.items()]

    async def add(message: Message, scope: AsgiScope) -> None:
        if message["type"] == "http.response.start":
            given = list(message["headers"])
            names = {name.lower() for name, _ in given}
            told = cast(dict[str, Any], scope).get("told", ())
            message["headers"] = [*given, *told, *(pair for pair in raw if pair[0] not in names)]

    return add


def client_ip(call: Request[Any, Any, Any], trusted_proxies: str) -> str:
    """The caller's address; X-Forwarded-For counts only when a trusted proxy says it."""
    client = cast(dict[str, Any], call.scope).get("client")
    peer = str(client[0]) if client else ""
    route = said(call.scope, b"x-forwarded-for")
    if not route:
        return peer
    proxies = _networks(trusted_proxies)
    forwarded = [p.strip() for p in route.split(",") if p.strip()]
    while forwarded and _within(peer, proxies):
        peer = forwarded.pop()
    return peer


def trusts(peer: str, trusted_proxies: str) -> bool:
    """Whether this address is one of the trusted proxies."""
    return _within(peer, _networks(trusted_proxies))


@cache
def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(p.strip(), strict=False) for p in text.split(",") if p.strip())


def _within(peer: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)


def same_origin(call: Request[Any, Any, Any], base_url: str) -> bool:
    """Whether a write may come from a page: our own, or one whose origin the browser does not tell
    ("null", no header: then the CSRF token decides). The API and webhooks take no cookies."""
    origin = said(call.scope, b"origin")
    if origin in (None, "null", base_url) or str(call.scope["path"]).startswith(("/api/", "/webhooks/")):
        return True
    return urlsplit(str(origin)).netloc == call.headers.get("host", "")


def safe_next(target: str | None, default: str = "/") -> str:
    """`next` only as a path of this site."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target:
        return default
    return target if target.isprintable() else default
