"""A store's papers: statements of its accounts, commission invoices, payout statements."""

from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import statements
from fondaco.core.web import Call
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, can, desk, read_query
from fondaco.statements import TITLES, Kind

PAPERS = f"{HOME}/papers"
KINDS = {
    str(kind): TITLES[kind][0]
    for kind in (
        Kind.STATEMENT,
        Kind.PAYOUT_STATEMENT,
        Kind.COMMISSION_INVOICE,
        Kind.COMMISSION_CREDIT_NOTE,
    )
}
SPEC = ListSpec(PAPERS, facets=("kind",), sizes=(25, 50, 100))


@get(PAPERS, permit="balance.read", include_in_schema=False)
async def papers(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    found = await statements.store_papers(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        kinds=[k for k in query.values("kind") if k in KINDS],
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    return await desk(
        request,
        "seller/papers.html",
        here=PAPERS,
        crumbs=[Crumb("Papers")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        base=PAPERS,
        kinds=KINDS,
        facets=[Facet("kind", "What", [FacetValue(k, words) for k, words in KINDS.items()])],
        empty_words="A statement and a commission invoice are made on the first day of each month for the "
        "month before.",
    )


@get(f"{PAPERS}/{{store_paper_id:uuid}}", permit="balance.read", include_in_schema=False)
async def paper(request: Call, store_paper_id: FromPath[UUID]) -> Response[Any]:
    found = await statements.store_paper(request.db, request.viewer, store_paper_id)
    return await desk(
        request,
        "seller/paper.html",
        here=PAPERS,
        crumbs=[Crumb("Papers", PAPERS), Crumb(found.number)],
        paper=found,
        base=PAPERS,
    )


@get(f"{PAPERS}/{{store_paper_id:uuid}}/pdf", permit="balance.read", include_in_schema=False)
async def paper_pdf(request: Call, store_paper_id: FromPath[UUID]) -> Response[bytes]:
    return await statements.pdf_answer(
        await statements.store_paper(request.db, request.viewer, store_paper_id)
    )


@get(f"{PAPERS}/{{store_paper_id:uuid}}/csv", permit="balance.read", include_in_schema=False)
async def paper_csv(request: Call, store_paper_id: FromPath[UUID]) -> Response[str]:
    return statements.csv_answer(await statements.store_paper(request.db, request.viewer, store_paper_id))


@get(f"{HOME}/balance/why", permit="balance.read", include_in_schema=False)
async def why(request: Call) -> Response[Any]:
    return await desk(
        request,
        "seller/why.html",
        here=f"{HOME}/balance",
        crumbs=[Crumb("Balance", f"{HOME}/balance"), Crumb("Why this money is held")],
        found=await statements.explained(request.db, request.settings, request.viewer),
        buckets=statements.BUCKETS,
        words=statements.WORDS,
        order_base=f"{HOME}/orders" if can(request.viewer, "sales.read") else "",
        payout_base=f"{HOME}/payouts",
    )


routes = [why, papers, paper, paper_pdf, paper_csv]
