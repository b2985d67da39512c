"""Pages of the shop, of which each web process keeps what is the same for everybody.

A page is cut in two: its own blocks (title, content...), made with nothing of a viewer and kept until the
catalogue changes, and the shell around them (who is signed in, cart, wallet, messages, menus), made for each
request. The CSRF token in the forms of the kept part is a mark, replaced as the page is sent.
"""

import hashlib
import secrets
import zlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from litestar import Response
from litestar.status_codes import HTTP_304_NOT_MODIFIED
from markupsafe import Markup

from fondaco import catalog
from fondaco.catalog import Card, Category, Kept, Made
from fondaco.core.web import Call
from fondaco.pages.context import page_answer, shell_of, template_environment
from fondaco.pages.render import Crumb, render_page

_CUT = "\0"  # PostgreSQL's texts have none
_TOKEN = secrets.token_hex(16)  # stands for the CSRF token in what is kept


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


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is kept of a page. `lead` and `content` are compressed HTML; `digest` names them."""

    title: Markup
    head: Markup
    lead: bytes
    content: bytes
    crumbs: Sequence[Crumb]
    search: str
    shelves: Sequence[Category]
    digest: bytes


async def kept_page(
    request: Call, key: Hashable, template: str, show: Callable[[], Awaitable[Shown]]
) -> Response[bytes]:
    """The page `template` with what `show` finds, as an answer. `key` names all that decides what it finds.

    Raises what `show` raises.
    """

    async def make(old: Pieces | None) -> Made[Pieces]:
        shown, shelves = await show(), await catalog.categories(request.db)
        digest = catalog.digest_of(shelves, *shown.data)
        found = old if old and old.digest == digest else _pieces(request, template, shown, shelves, digest)
        size = len(found.lead) + len(found.content)
        return catalog.made_of(found, size, shown.cards, shown.good_for_s)

    pieces = await request.part(Kept).get(request.db, (template, key), make)
    return await _assembled(request, pieces)


async def shown_page(request: Call, template: str, show: Callable[[], Awaitable[Shown]]) -> Response[bytes]:
    """The same page made anew and not kept: for those who see it as nobody else does."""
    shown, shelves = await show(), await catalog.categories(request.db)
    return await _assembled(request, _pieces(request, template, shown, shelves, b""))


def _pieces(request: Call, template: str, shown: Shown, shelves: Sequence[Category], digest: bytes) -> Pieces:
    html = (
        template_environment(request.settings)
        .get_template(template)
        .render({**shown.context, "frame": "layouts/pieces.html", "csrf_token": _TOKEN, "cut": _CUT})
    )
    title, head, lead, content = (piece.strip() for piece in html.split(_CUT))
    return Pieces(
        Markup(title),  # noqa: S704 - our own template's output
        Markup(head),  # noqa: S704
        zlib.compress(lead.encode(), 1),
        zlib.compress(content.encode(), 1),
        shown.crumbs,
        shown.search,
        shelves,
        digest,
    )


async def _assembled(request: Call, pieces: Pieces) -> Response[bytes]:
    shell, said = await shell_of(request, pieces.shelves)
    around = render_page(
        template_environment(request.settings),
        "layouts/around.html",
        shell,
        title=pieces.title,
        head=pieces.head,
        crumbs=pieces.crumbs,
        search=pieces.search,
        cut=_CUT,
    ).encode()
    headers: dict[str, str] = {}
    token = request.csrf_token.encode()
    if request.viewer.user_id is None and pieces.digest and not said:
        tag = f'"{hashlib.blake2b(around + token + pieces.digest, digest_size=12).hexdigest()}"'
        headers["ETag"] = tag
        if request.headers.get("if-none-match") == tag:
            return page_answer(request, b"", said, status=HTTP_304_NOT_MODIFIED, headers=headers)
    top, middle, bottom = around.split(_CUT.encode())
    lead, content = (
        zlib.decompress(piece).replace(_TOKEN.encode(), token) for piece in (pieces.lead, pieces.content)
    )
    return page_answer(request, b"".join((top, lead, middle, content, bottom)), said, headers=headers)
