"""The audit log, its signed blocks, and checking them."""

from typing import Any

from litestar import Response, get, post

from fondaco import audit, console
from fondaco.console.words import EVENTS, facts, plain, told
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, SIZES, cursor_of, desk, known, read_list, words_facet
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb

LOG = f"{HOME}/audit"
BLOCKS = f"{LOG}/blocks"
SUBJECTS = {s: plain(s) for s in sorted({kind.split(".")[0] for kind in EVENTS})}
SPEC = ListSpec(LOG, facets=("subject", "ref", "actor"), sizes=(50, 25, 100))
BLOCK_SPEC = ListSpec(BLOCKS, sizes=SIZES)
TABS = (("Events", LOG), ("Blocks", BLOCKS))


def tabs(current: str) -> list[dict[str, Any]]:
    return [{"label": label, "href": href, "current": href == current} for label, href in TABS]


@get("/console/audit", permit="console.audit", include_in_schema=False)
async def log(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    ref, actor = (next(iter(query.values(name)), "") for name in ("ref", "actor"))
    found = await console.list_audit(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        subjects=known(query, "subject", SUBJECTS),
        ref=ref,
        actor=actor,
        limit=query.size,
        cursor=cursor_of(query),
    )
    refs = {e.ref for e in found.items} | {e.actor for e in found.items} | {r for r in (ref, actor) if r}
    names = await console.names_of(request.db, request.viewer, refs)
    subject = words_facet("subject", "About", SUBJECTS)
    chosen = [
        words_facet("ref", "Thing", {ref: names[ref].words} if ref else {}),
        words_facet("actor", "By", {actor: names[actor].words} if actor else {}),
    ]
    return await desk(
        request,
        "audit.html",
        here=LOG,
        crumbs=[Crumb("Audit log")],
        tabs=tabs(LOG),
        query=query,
        rows=[(e, told(e.kind), facts(e.data)) for e in found.items],
        next=found.next,
        previous=found.previous,
        names=names,
        facets=[subject],
        active=[subject, *chosen],
    )


@get("/console/audit/blocks", permit="console.audit", include_in_schema=False)
async def blocks(request: Call) -> Response[str]:
    return await _blocks_page(request, None)


@post("/console/audit/blocks", permit="console.audit", include_in_schema=False, status_code=200)
async def check(request: Call) -> Response[str]:
    """Compute every block again and say what is wrong. It changes nothing."""
    return await _blocks_page(request, await audit.check(request.db, request.settings))


async def _blocks_page(request: Call, faults: list[str] | None) -> Response[str]:
    query = read_list(request, BLOCK_SPEC)
    found = await console.list_blocks(
        request.db, request.viewer, request.cursors, limit=query.size, cursor=cursor_of(query)
    )
    return await desk(
        request,
        "blocks.html",
        here=LOG,
        crumbs=[Crumb("Audit log", LOG), Crumb("Blocks")],
        tabs=tabs(BLOCKS),
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        faults=faults,
    )


routes = [log, blocks, check]
