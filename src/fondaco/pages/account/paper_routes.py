"""A buyer's invoices and credit notes."""

from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import statements
from fondaco.core.web import Call
from fondaco.pages.account.parts import account_tabs
from fondaco.pages.context import page
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import Crumb
from fondaco.statements import TITLES, Kind

HOME = "/account/papers"
KINDS = {str(kind): TITLES[kind][0] for kind in (Kind.INVOICE, Kind.CREDIT_NOTE)}
SPEC = ListSpec(HOME, facets=("kind",), sizes=(25, 50, 100))


@get(HOME, permit="orders.own", include_in_schema=False)
async def papers(request: Call) -> Response[Any]:
    query = ListQuery.parse(SPEC, request.query_params.multi_items())
    found = await statements.own_papers(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        kinds=[k for k in query.values("kind") if k in KINDS],
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    return await page(
        request,
        "account/papers.html",
        crumbs=[Crumb("Home", "/"), Crumb("Account", "/account"), Crumb("Invoices")],
        tabs=account_tabs(HOME),
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        base=HOME,
        kinds=KINDS,
        facets=[Facet("kind", "What", [FacetValue(k, words) for k, words in KINDS.items()])],
        empty_words="Each order you pay gets an invoice, each refund a credit note, within seconds.",
    )


@get(f"{HOME}/{{paper_id:uuid}}", permit="orders.own", include_in_schema=False)
async def paper(request: Call, paper_id: FromPath[UUID]) -> Response[Any]:
    found = await statements.own_paper(request.db, request.viewer, paper_id)
    return await page(
        request,
        "account/paper.html",
        crumbs=[
            Crumb("Home", "/"),
            Crumb("Account", "/account"),
            Crumb("Invoices", HOME),
            Crumb(found.number),
        ],
        paper=found,
        base=HOME,
    )


@get(f"{HOME}/{{paper_id:uuid}}/pdf", permit="orders.own", include_in_schema=False)
async def paper_pdf(request: Call, paper_id: FromPath[UUID]) -> Response[bytes]:
    return await statements.pdf_answer(await statements.own_paper(request.db, request.viewer, paper_id))


@get(f"{HOME}/{{paper_id:uuid}}/csv", permit="orders.own", include_in_schema=False)
async def paper_csv(request: Call, paper_id: FromPath[UUID]) -> Response[str]:
    return statements.csv_answer(await statements.own_paper(request.db, request.viewer, paper_id))


routes = [papers, paper, paper_pdf, paper_csv]
