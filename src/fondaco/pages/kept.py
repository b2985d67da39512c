"""Pages of the shop, of which each web process keeps what is the same for everybody.

A page is put together from a frame (the storefront without a page or a viewer), the page's own blocks (title,
content...), made with nothing of a viewer and kept until the catalogue changes, and what is of the viewer
(wallet, cart, account, messages), made for each request. The CSRF token in the forms of the kept part is a
mark, replaced as the page is sent.
"""

import hashlib
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from math import inf
from typing import Any, NamedTuple

from jinja2 import Environment
from litestar import Response
from litestar.status_codes import HTTP_304_NOT_MODIFIED
from markupsafe import Markup

from fondaco import catalog
from fondaco.catalog import Card, Category, Kept, Made
from fondaco.core.web import Call
from fondaco.pages.context import page_answer, shell_of, template_environment
from fondaco.pages.render import Crumb, Flash, Link, LinkGroup, Shell, Theme, render_page

_CUT = "\0"  # PostgreSQL's texts have none
_TOKEN = secrets.token_hex(16)  # stands for the CSRF token in what is kept
_HERE = Markup(_CUT)  # noqa: S704 - where a card goes
_CARDS = 2048  # kept as HTML, of about 4 kB each


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page is made of: its template's context, all of `data` that is in it, the cards on it, for how
    many seconds it may be kept at most; for the shell the way here and what is in the search box."""

    context: dict[str, Any]
    data: Sequence[Any]
    cards: Sequence[Card]
    crumbs: Sequence[Crumb] = ()
    search: str = ""
    good_for_s: float = inf


Show = Callable[[float], Awaitable[Shown]]  # it is given the `since` of catalog.Kept.get


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is kept of a page: HTML in UTF-8. `body` is lead and content, compressed, with cuts between them
    and where `cards` go in the content, which pages share; `digest` names it all."""

    title: bytes
    head: bytes
    search: bytes
    crumbs: bytes
    body: bytes
    cards: Sequence[bytes]
    shelves: Sequence[Category]
    digest: bytes


class _Frame(NamedTuple):
    """The storefront around a page, cut apart where pieces go, and a short name of it all."""

    parts: Sequence[bytes]
    digest: bytes


async def kept_page(request: Call, key: Hashable, template: str, show: Show) -> Response[bytes]:
    """The page `template` with what `show` finds, as an answer. `key` names all that decides what it finds.

    Raises what `show` raises.
    """
    kept, since = request.part(Kept), time.monotonic()

    async def make(old: Pieces | None) -> Made[Pieces]:
        shown, shelves = await show(since), await catalog.categories_kept(kept, request.db, since)
        digest = catalog.digest_of(shelves, *shown.data)
        found = old if old and old.digest == digest else _pieces(request, template, shown, shelves, digest)
        return catalog.made_of(found, len(found.body), shown.cards, shown.good_for_s, found.cards)

    return await _assembled(request, await kept.get(request.db, (template, key), make))


async def shown_page(request: Call, template: str, show: Show) -> Response[bytes]:
    """The same page made anew and not kept: for those who see it as nobody else does."""
    since = time.monotonic()
    shown, shelves = await show(since), await catalog.categories_kept(request.part(Kept), request.db, since)
    return await _assembled(request, _pieces(request, template, shown, shelves, b""))


def _pieces(request: Call, template: str, shown: Shown, shelves: Sequence[Category], digest: bytes) -> Pieces:
    env = template_environment(request.settings)
    cards: list[bytes] = []

    def listing_card(item: Hashable, level: int = 3) -> Markup:
        cards.append(_card(env, item, level))
        return _HERE

    html = env.get_template(template).render(
        {
            **shown.context,
            "frame": "layouts/pieces.html",
            "crumbs": _parts(env).crumbs(shown.crumbs),
            "search": shown.search,
            "csrf_token": _TOKEN,
            "cut": _CUT,
            "listing_card": listing_card,
        }
    )
    title, head, search, crumbs, lead, content = (piece.strip() for piece in html.split(_CUT, 5))
    body = zlib.compress(_CUT.join((lead, content)).encode(), 1)
    return Pieces(
        title.encode(), head.encode(), search.encode(), crumbs.encode(), body, cards, shelves, digest
    )


@lru_cache(maxsize=_CARDS)
def _card(env: Environment, item: Hashable, level: int) -> bytes:
    """The card of this Item: the same on every page, so it is drawn once for many."""
    macros: Any = env.get_template("macros/ui.html").module
    return str(macros.listing_card(item, _TOKEN, level=level)).encode()


async def _assembled(request: Call, pieces: Pieces) -> Response[bytes]:
    shell, said = await shell_of(request, pieces.shelves)
    env = template_environment(request.settings)
    frame = _frame(env, shell.theme, tuple(shell.nav), tuple(shell.footer))
    tools = _tools(env, shell) if shell.viewer else _guests_tools(env, shell.cart_count)
    trail = pieces.crumbs + _flashes(env, said) if said else pieces.crumbs
    token = request.csrf_token.encode()
    before = (pieces.title, pieces.head, pieces.search, tools)
    headers: dict[str, str] = {}
    if shell.viewer is None and pieces.digest and not said:
        names = b"".join((frame.digest, *before, trail, token, pieces.digest))
        tag = f'"{hashlib.blake2b(names, digest_size=12).hexdigest()}"'
        headers["ETag"] = tag
        if request.headers.get("if-none-match") == tag:
            return page_answer(request, b"", said, status=HTTP_304_NOT_MODIFIED, headers=headers)
    lead, *content = zlib.decompress(pieces.body).split(_CUT.encode())
    filled = b"".join(chain.from_iterable(zip_longest(content, pieces.cards, fillvalue=b"")))
    whole = chain.from_iterable(zip(frame.parts, (*before, lead, trail, filled, b""), strict=True))
    return page_answer(request, b"".join(whole).replace(_TOKEN.encode(), token), said, headers=headers)


@lru_cache(maxsize=128)
def _frame(
    env: Environment, theme: Theme, nav: tuple[Link | LinkGroup, ...], footer: tuple[LinkGroup, ...]
) -> _Frame:
    """Nothing of a viewer is in it: the menus say only whether there is one, and where the page is."""
    html = render_page(
        env, "layouts/around.html", Shell(theme=theme, nav=nav, footer=footer), cut=_CUT
    ).encode()
    return _Frame(html.split(_CUT.encode()), hashlib.blake2b(html, digest_size=12).digest())


@lru_cache(maxsize=128)
def _guests_tools(env: Environment, cart_count: int) -> bytes:
    return _tools(env, Shell(cart_count=cart_count))


def _tools(env: Environment, shell: Shell) -> bytes:
    return render_page(env, "layouts/_tools.html", shell).encode()


def _flashes(env: Environment, said: Sequence[Flash]) -> bytes:
    return str(_parts(env).flashes(said)).encode()


def _parts(env: Environment) -> Any:
    return env.get_template("layouts/_parts.html").module
