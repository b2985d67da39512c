"""A listing's stock: handing keys in, taking them out, and what became of each import."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from fondaco import catalog, inventory
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.inventory import Batch
from fondaco.pages.context import form_faults, form_status, fragment, page, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb, number
from fondaco.pages.seller.article_routes import copies_page
from fondaco.pages.seller.parts import HOME, LIST, can, desk, listing_tabs, read_query, read_whole
from fondaco.vault import Vault

BATCHES = f"{HOME}/batches"
SPEC = ListSpec(BATCHES, facets=("state",), sizes=(25, 50, 100))
BATCH_WORDS = {"RECEIVED": "Waiting", "IMPORTING": "Being imported", "CLOSED": "Done", "FAILED": "Failed"}
LIVE_EVERY_S, LIVE_FOR_S = 0.5, 600
SHOWN_PROBLEMS = 50
PASTE_LIMIT = 4_000_000  # characters in the box; a file holds more


@get(f"{LIST}/{{listing_id:uuid}}/stock", permit="stock.read", include_in_schema=False)
async def stock(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    return await _stock_page(request, listing_id)


async def _stock_page(
    request: Call, listing_id: UUID, *, keys: str = "", problem: Problem | None = None
) -> Response[Any]:
    db, viewer = request.db, request.viewer
    listing = await catalog.own_listing(db, viewer, listing_id)
    if listing.kind == "article":
        return await copies_page(request, listing, problem=problem)
    counts = await inventory.stock_counts(db, viewer, listing_id)
    batches = await inventory.batches(db, viewer, request.cursors, listing_id=listing_id, limit=10)
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/stock.html",
        status=form_status(problem) if problem else 200,
        headers={"Cache-Control": "no-store"},
        here=LIST,
        crumbs=[Crumb("Listings", LIST), Crumb(listing.title, f"{LIST}/{listing_id}"), Crumb("Stock")],
        listing=listing,
        tabs=listing_tabs(viewer, listing, f"{LIST}/{listing_id}/stock", counts.available),
        counts=counts,
        batches=batches.items,
        keys=keys,
        paste_limit=PASTE_LIMIT,
        errors=errors,
        alert=alert,
        writable=can(viewer, "stock.write"),
    )


@post(f"{LIST}/{{listing_id:uuid}}/stock", permit="stock.write", include_in_schema=False)
async def hand_in(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    """Keys from the box, or from a file when one was sent."""
    form = await request.form()
    pasted, sent = form.get("keys"), form.get("file")
    text = pasted if isinstance(pasted, str) else ""
    try:
        if isinstance(sent, UploadFile) and sent.filename:
            if text.strip():
                raise Invalid(fields={"file": "Send a file or paste keys, not both at once."})
            source = "csv" if sent.filename.lower().endswith((".csv", ".tsv")) else "paste"
            content: str | bytes = await sent.read()
        else:
            source, content = "paste", text
        batch = await inventory.receive(
            request.db, request.part(Vault), request.viewer, listing_id, source=source, content=content
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _stock_page(request, listing_id, keys=text, problem=problem)
    return see_other(request, f"{BATCHES}/{batch.id}")


@get(f"{LIST}/{{listing_id:uuid}}/stock/withdraw", permit="stock.write", include_in_schema=False)
async def ask_withdraw(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    listing = await catalog.own_listing(request.db, request.viewer, listing_id)
    if listing.kind == "article":  # its number is set, nothing is taken out
        return see_other(request, f"{LIST}/{listing_id}/stock")
    counts = await inventory.stock_counts(request.db, request.viewer, listing_id)
    typed = request.query_params.get("n", "").strip()
    faults: dict[str, str] = {}
    wanted = read_whole(faults, "n", typed) if typed else counts.available
    if faults or wanted < 1 or not counts.available:
        words = "Write how many keys to take out, from 1." if counts.available else "There is no free key."
        return await _stock_page(request, listing_id, problem=Invalid(fields={"n": words}))
    some = min(wanted, counts.available)
    keys = "1 key" if some == 1 else f"{number(some)} keys"
    return await page(
        request,
        "layouts/confirm.html",
        heading=f"Take {keys} out of sale?",
        text=f"{listing.title}: the keys handed in last go first. They can never be sold or handed in "
        "again here, and this cannot be undone. Keys in a checkout stay.",
        action=f"{LIST}/{listing_id}/stock/withdraw",
        fields=(("n", str(some)),),
        confirm_label=f"Take {keys} out",
        danger=True,
        back_href=f"{LIST}/{listing_id}/stock",
    )


@post(f"{LIST}/{{listing_id:uuid}}/stock/withdraw", permit="stock.write", include_in_schema=False)
async def withdraw(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    faults: dict[str, str] = {}
    wanted = read_whole(faults, "n", (await request.fields()).get("n", ""))
    try:
        if faults:
            raise Invalid(fields=faults)
        count = await inventory.withdraw(request.db, request.viewer, listing_id, wanted)
    except NotFound:
        raise
    except Problem as problem:
        return await _stock_page(request, listing_id, problem=problem)
    said = f"{number(count)} taken out of sale." if count else "There was no free key left to take out."
    return see_other(request, f"{LIST}/{listing_id}/stock", said=("good" if count else "wait", said))


@get(BATCHES, permit="stock.read", include_in_schema=False)
async def batches(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    found = await inventory.batches(
        request.db,
        request.viewer,
        request.cursors,
        states=[s for s in query.values("state") if s in BATCH_WORDS],
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    return await desk(
        request,
        "seller/batches.html",
        here=BATCHES,
        crumbs=[Crumb("Imports")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        facets=[Facet("state", "State", [FacetValue(s, words) for s, words in BATCH_WORDS.items()])],
    )


@get(f"{BATCHES}/{{batch_id:uuid}}", permit="stock.read", include_in_schema=False)
async def batch(request: Call, batch_id: FromPath[UUID]) -> Response[Any]:
    found = await inventory.batch(request.db, request.viewer, batch_id)
    return await desk(
        request,
        "seller/batch.html",
        here=BATCHES,
        crumbs=[Crumb("Imports", BATCHES), Crumb(found.listing_title)],
        **await _report(request, found),
    )


async def _report(request: Call, found: Batch) -> dict[str, Any]:
    """What the live part of a batch's page shows."""
    path = f"{BATCHES}/{found.id}"
    query = read_query(request, ListSpec(path, sizes=(SHOWN_PROBLEMS,)))
    problems = await inventory.batch_problems(
        request.db,
        request.viewer,
        request.cursors,
        found.id,
        limit=SHOWN_PROBLEMS,
        cursor=query.after or query.before or None,
    )
    return {"batch": found, "query": query, "problems": problems}


@get(f"{BATCHES}/{{batch_id:uuid}}/live", permit="stock.read", include_in_schema=False)
async def batch_live(request: Call, batch_id: FromPath[UUID]) -> ServerSentEvent:
    """The batch's part of its page, again whenever it has moved, until it is finished."""
    first = await inventory.batch(request.db, request.viewer, batch_id)
    return ServerSentEvent(_follow(request, first), headers={"Cache-Control": "no-store"})


async def _follow(request: Call, found: Batch) -> AsyncIterator[str]:
    shown: Batch | None = None
    for _ in range(int(LIVE_FOR_S / LIVE_EVERY_S)):
        if found != shown:
            shown = found
            yield fragment(request, "seller/_batch.html", **await _report(request, found))
        if not found.open:
            return
        await asyncio.sleep(LIVE_EVERY_S)
        found = await inventory.batch(request.db, request.viewer, found.id)


@get(f"{BATCHES}/{{batch_id:uuid}}/problems.csv", permit="stock.read", include_in_schema=False)
async def problems_file(request: Call, batch_id: FromPath[UUID]) -> Response[bytes]:
    body = await inventory.problems_csv(request.db, request.viewer, batch_id)
    return Response(
        body,
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="problems-{batch_id}.csv"',
            "Cache-Control": "no-store",
        },
    )


routes = [
    stock,
    hand_in,
    ask_withdraw,
    withdraw,
    batches,
    batch,
    batch_live,
    problems_file,
]
