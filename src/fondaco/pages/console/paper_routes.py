"""Everybody's papers, for those who keep the books."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import console, statements
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, SIZES, cursor_of, desk, known, read_list, words_facet
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb
from fondaco.statements import TITLES

PAPERS = f"{HOME}/papers"
KINDS = {str(kind): title for kind, (title, _) in TITLES.items()}
SPEC = ListSpec(PAPERS, facets=("kind",), sizes=SIZES)


@get("/console/papers", permit="console.ledger", include_in_schema=False)
async def papers(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    found = await statements.all_papers(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        kinds=known(query, "kind", KINDS),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "papers.html",
        here=PAPERS,
        crumbs=[Crumb("Papers")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        base=PAPERS,
        kinds=KINDS,
        facets=[words_facet("kind", "What", KINDS)],
        empty_words="Invoices of buyers and statements of stores appear here as they are issued.",
    )


@get("/console/papers/{paper_id:uuid}", permit="console.ledger", include_in_schema=False)
async def paper(request: Call, paper_id: FromPath[UUID]) -> Response[str]:
    found = await statements.any_paper(request.db, request.viewer, paper_id)
    return await desk(
        request,
        "paper.html",
        here=PAPERS,
        crumbs=[Crumb("Papers", PAPERS), Crumb(f"{found.content.title} {found.number}")],
        paper=found,
        base=PAPERS,
    )


@get("/console/papers/{paper_id:uuid}/pdf", permit="console.ledger", include_in_schema=False)
async def paper_pdf(request: Call, paper_id: FromPath[UUID]) -> Response[bytes]:
    return await statements.pdf_answer(await statements.any_paper(request.db, request.viewer, paper_id))


@get("/console/papers/{paper_id:uuid}/csv", permit="console.ledger", include_in_schema=False)
async def paper_csv(request: Call, paper_id: FromPath[UUID]) -> Response[str]:
    return statements.csv_answer(await statements.any_paper(request.db, request.viewer, paper_id))


@get("/console/sellers/{seller_id:uuid}/balance", permit="console.ledger", include_in_schema=False)
async def why(request: Call, seller_id: FromPath[UUID]) -> Response[str]:
    owner = f"seller:{seller_id}"
    names = await console.names_of(request.db, request.viewer, [owner])
    return await desk(
        request,
        "why.html",
        here=f"{HOME}/sellers",
        crumbs=[Crumb("Stores", f"{HOME}/sellers"), Crumb(f"Why money of {names[owner].words} is held")],
        found=await statements.explained_for_staff(request.db, request.settings, request.viewer, seller_id),
        buckets=statements.BUCKETS,
        words=statements.WORDS,
        order_base=f"{HOME}/orders",
        payout_base=f"{HOME}/payouts",
    )


routes = [why, papers, paper, paper_pdf, paper_csv]
