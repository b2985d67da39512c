"""What every page needs around it: who is signed in, menus, balance, messages, theme; and the answers
pages give: a rendered template, or a redirect after a write.

`page(request, template, **context)` renders a template with its layout's needs filled in; whatever the
caller passes under a layout's name (nav, crumbs, desk_name, palette_url...) wins. Desks pass their own
`nav` of LinkGroups. `see_other(request, path, said=("good", "Saved."))` is the answer to a form that
worked: a redirect, and one message on the next page.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, AnyStr, cast
from urllib.parse import unquote

import jinja2
from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from fondaco import catalog, ledger, orders
from fondaco.core.clock import now
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import Invalid, Problem, TooMany
from fondaco.core.viewer import Viewer
from fondaco.core.web import Call
from fondaco.pages.render import Flash, Link, LinkGroup, Shell, Theme, environment, render_page
from fondaco.pages.render import Viewer as ShownViewer
from fondaco.settings import Settings

_FLASH = "flash"
_FLASH_SECONDS = 120
_STAFF_WORDS = {
    "support": "Support",
    "ops": "Operations",
    "finance": "Finance",
    "admin": "Administrator",
    "auditor": "Auditor",
}
Said = tuple[str, str]  # tone (good, wait, bad, busy) and words


async def page(
    request: Call,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response[str]:
    """The template as an answer. A page made for somebody is kept by no cache."""
    shell, said = await shell_of(request)
    body = render_page(template_environment(request.settings), template, shell, **context)
    return page_answer(request, body, said, status=status, headers=headers)


def page_answer(
    request: Call,
    body: AnyStr,
    said: Sequence[Flash],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[AnyStr]:
    """A page's HTML as an answer; `said` are the messages it shows, which are not shown again."""
    private = "no-store" if request.viewer.user_id else "private, no-cache"
    answer = Response(
        body,
        status_code=status,
        media_type="text/html",
        headers={"Cache-Control": private, **(headers or {})},
    )
    if said:
        answer.set_cookie(_flash_cookie(request.settings, "", 0))
    return answer


def fragment(request: Call, template: str, **context: Any) -> str:
    """A piece of a page without its layout, for live updates and htmx."""
    env = template_environment(request.settings)
    return env.get_template(template).render(csrf_token=request.csrf_token, **context)


def see_other(
    request: Call, path: str, *, said: Said | None = None, cookies: Sequence[Cookie] = ()
) -> Redirect:
    """On to another page after a write, with one message shown there."""
    sent = list(cookies)
    if said:
        words = request.cursors.make(_FLASH, [int(now().timestamp()) + _FLASH_SECONDS, *said])
        sent.append(_flash_cookie(request.settings, words, _FLASH_SECONDS))
    return Redirect(path, status_code=303, cookies=sent, headers={"Cache-Control": "no-store"})


def form_faults(problem: Problem) -> tuple[dict[str, str], str]:
    """What a form shows of a refusal: words per field, and words above the form ("" for none)."""
    fields = problem.fields if isinstance(problem, Invalid) else {}
    return fields, "" if fields else problem.detail


def form_status(problem: Problem) -> int:
    """The status of a form shown again: 429 when there were too many tries, else that of the refusal, but
    never one that means 'sign in' or 'gone' for the page as a whole."""
    if isinstance(problem, TooMany):
        return 429
    return problem.status if problem.status in (409, 503) else 422


def theme_cookie(settings: Settings, theme: str) -> Cookie:
    """The colours of this browser; scripts may change it, so it is no secret."""
    return Cookie(
        key="theme",
        value=theme,
        max_age=31_536_000,
        path="/",
        secure=settings.secure_cookies,
        samesite="lax",
    )


def cart_name(settings: Settings) -> str:
    """The name of the cookie that keeps a guest's cart."""
    return "__Host-cart" if settings.secure_cookies else "cart"


def guest_cart(request: Call) -> str | None:
    """The token of a guest's cart; None when there is none."""
    found = request.cookies.get(cart_name(request.settings), "")
    return found if found and len(found) <= 100 else None


def cart_cookie(settings: Settings, token: str) -> Cookie:
    """The cookie that keeps a guest's cart for 30 days; an empty token takes it away."""
    return Cookie(
        key=cart_name(settings),
        value=token,
        max_age=30 * 86_400 if token else 0,
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


async def shell_of(
    request: Call, shelves: Sequence[catalog.Category] | None = None
) -> tuple[Shell, Sequence[Flash]]:
    """What stands around this viewer's page, and the messages in it. `shelves`: the categories, if known."""
    said = _read_flash(request)
    viewer, settings = request.viewer, request.settings
    path = str(request.scope["path"])
    wallet = None
    if viewer.user_id:
        wallet = await ledger.wallet_balance(request.db, viewer, settings.currency)
    if shelves is None:
        shelves = await catalog.categories_kept(request.part(catalog.Kept), request.db)
    shell = Shell(
        viewer=ShownViewer(viewer.name, viewer.email, _role(viewer)) if viewer.user_id else None,
        wallet=wallet,
        csrf_token=request.csrf_token,
        cart_count=await orders.count_in_cart(request.db, viewer, guest_cart(request)),
        nav=_nav(tuple(shelves), path),
        account=account_links(viewer),
        footer=_footer(bool(viewer.user_id), bool(viewer.seller_id), settings.support_email),
        flash=said,
        theme=_theme(request),
    )
    return shell, said


def account_links(viewer: Viewer) -> list[Link]:
    """The account menu."""
    if not viewer.user_id:
        return []
    links = [
        Link("Library", "/library", "library"),
        Link("Orders", "/orders", "receipt"),
        Link("Wallet", "/wallet", "wallet"),
        Link("Cases", "/cases", "flag"),
        Link("Account", "/account", "user-round"),
        Link("Security", "/account/security", "shield-check"),
    ]
    if viewer.seller_id:
        links.append(Link("Seller desk", "/seller", "store"))
    if viewer.staff_role:
        links.append(Link("Console", "/console", "gauge"))
    return links


def _nav(shelves: tuple[catalog.Category, ...], path: str) -> Sequence[Link]:
    return _links(shelves, next((c.slug for c in shelves if path == f"/c/{c.slug}"), ""))


@lru_cache(maxsize=64)
def _links(shelves: tuple[catalog.Category, ...], here: str) -> Sequence[Link]:
    return tuple(Link(c.name, f"/c/{c.slug}", current=c.slug == here) for c in shelves)


@lru_cache(maxsize=16)
def _footer(signed_in: bool, sells: bool, support_email: str) -> Sequence[LinkGroup]:
    sell = Link("Seller desk", "/seller") if sells else Link("Open a store", "/sell")
    mine = (
        (
            Link("Library", "/library"),
            Link("Orders", "/orders"),
            Link("Wallet", "/wallet"),
            Link("Cases", "/cases"),
            Link("Invoices", "/account/papers"),
        )
        if signed_in
        else (Link("Sign in", "/sign-in"), Link("Open an account", "/sign-up"))
    )
    return (
        LinkGroup("Shop", (Link("All listings", "/browse"), Link("Cart", "/cart"))),
        LinkGroup("Your account", mine),
        LinkGroup("Sell", (sell,)),
        LinkGroup("Help", (Link(support_email, f"mailto:{support_email}"),)),
    )


def _role(viewer: Viewer) -> str:
    return _STAFF_WORDS.get(viewer.staff_role or "", "") or viewer.seller_name


def _theme(request: Call) -> Theme:
    found = request.cookies.get("theme", "")
    return cast(Theme, found) if found in ("light", "dark") else "auto"


def _read_flash(request: Call) -> list[Flash]:
    raw = request.cookies.get(_FLASH, "")
    if not raw or len(raw) > 2000:
        return []
    try:
        until, tone, words = request.cursors.read(_FLASH, unquote(raw))
    except (BadCursor, ValueError, TypeError):
        return []
    return [Flash(str(tone), str(words))] if int(until) > now().timestamp() else []


def _flash_cookie(settings: Settings, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=_FLASH,
        value=value,
        max_age=seconds,
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def template_environment(settings: Settings) -> jinja2.Environment:
    """The templates, under this marketplace's name."""
    return _environment(settings.marketplace_name)


@cache
def _environment(site_name: str) -> jinja2.Environment:
    return environment(site_name=site_name)
