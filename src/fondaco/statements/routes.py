"""The API of papers: a buyer's, a store's, and for staff everybody's; each as JSON, PDF or CSV."""

import asyncio
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.statements import reads
from fondaco.statements.drawing import as_csv, as_pdf
from fondaco.statements.held import Explained, explained
from fondaco.statements.model import Paper, PaperRow

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Number = Annotated[str, QueryParameter(max_length=40, description="A paper's whole number.")]
KindName = Literal[
    "invoice", "credit_note", "commission_invoice", "commission_credit_note", "payout_statement", "statement"
]
Kinds = Annotated[
    list[KindName] | None, QueryParameter(name="kind", description="Only papers of these kinds.")
]


async def pdf_answer(paper: Paper) -> Response[bytes]:
    """The paper to save as PDF."""
    body = await asyncio.to_thread(as_pdf, paper.content)
    return Response(body, media_type="application/pdf", headers=_saved_as(f"{paper.number}.pdf"))


def csv_answer(paper: Paper) -> Response[str]:
    """The paper to save as a sheet."""
    headers = _saved_as(f"{paper.number}.csv")
    return Response(as_csv(paper.content), media_type="text/csv; charset=utf-8", headers=headers)


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}


@get("/api/v1/papers", permit="orders.own", summary="Your invoices and credit notes, newest first")
async def list_own(
    request: Call, *, q: Number = "", kind_: Kinds = None, limit: Limit = 50, cursor: PageCursor = None
) -> Page[PaperRow]:
    db, viewer, cursors = request.db, request.viewer, request.cursors
    return await reads.own_papers(db, viewer, cursors, q=q, kinds=kind_ or [], limit=limit, cursor=cursor)


@get("/api/v1/papers/{paper_id:uuid}", permit="orders.own", summary="One of your papers")
async def get_own(request: Call, paper_id: FromPath[UUID]) -> Paper:
    return await reads.own_paper(request.db, request.viewer, paper_id)


@get(
    "/api/v1/papers/{paper_id:uuid}/pdf",
    permit="orders.own",
    summary="One of your papers as PDF",
    media_type="application/pdf",
)
async def get_own_pdf(request: Call, paper_id: FromPath[UUID]) -> Response[bytes]:
    return await pdf_answer(await reads.own_paper(request.db, request.viewer, paper_id))


@get(
    "/api/v1/papers/{paper_id:uuid}/csv",
    permit="orders.own",
    summary="One of your papers as CSV",
    media_type="text/csv",
)
async def get_own_csv(request: Call, paper_id: FromPath[UUID]) -> Response[str]:
    return csv_answer(await reads.own_paper(request.db, request.viewer, paper_id))


@get("/api/v1/seller/papers", permit="balance.read", summary="The store's papers, newest first")
async def list_store(
    request: Call, *, q: Number = "", kind_: Kinds = None, limit: Limit = 50, cursor: PageCursor = None
) -> Page[PaperRow]:
    db, viewer, cursors = request.db, request.viewer, request.cursors
    return await reads.store_papers(db, viewer, cursors, q=q, kinds=kind_ or [], limit=limit, cursor=cursor)


@get(
    "/api/v1/seller/papers/{store_paper_id:uuid}", permit="balance.read", summary="One of the store's papers"
)
async def get_store(request: Call, store_paper_id: FromPath[UUID]) -> Paper:
    return await reads.store_paper(request.db, request.viewer, store_paper_id)


@get(
    "/api/v1/seller/papers/{store_paper_id:uuid}/pdf",
    permit="balance.read",
    summary="One of the store's papers as PDF",
    media_type="application/pdf",
)
async def get_store_pdf(request: Call, store_paper_id: FromPath[UUID]) -> Response[bytes]:
    return await pdf_answer(await reads.store_paper(request.db, request.viewer, store_paper_id))


@get(
    "/api/v1/seller/papers/{store_paper_id:uuid}/csv",
    permit="balance.read",
    summary="One of the store's papers as CSV",
    media_type="text/csv",
)
async def get_store_csv(request: Call, store_paper_id: FromPath[UUID]) -> Response[str]:
    return csv_answer(await reads.store_paper(request.db, request.viewer, store_paper_id))


@get("/api/v1/seller/balance/explained", permit="balance.read", summary="Why the store's money is held")
async def get_explained(request: Call) -> Page[Explained]:
    return Page(await explained(request.db, request.settings, request.viewer))


@get("/api/v1/console/papers", permit="console.ledger", summary="Everybody's papers, newest first")
async def list_all(
    request: Call, *, q: Number = "", kind_: Kinds = None, limit: Limit = 50, cursor: PageCursor = None
) -> Page[PaperRow]:
    db, viewer, cursors = request.db, request.viewer, request.cursors
    return await reads.all_papers(db, viewer, cursors, q=q, kinds=kind_ or [], limit=limit, cursor=cursor)


@get("/api/v1/console/papers/{paper_id:uuid}", permit="console.ledger", summary="Any paper")
async def get_any(request: Call, paper_id: FromPath[UUID]) -> Paper:
    return await reads.any_paper(request.db, request.viewer, paper_id)


routes: list[Any] = [
    get_explained,
    *(list_own, get_own, get_own_pdf, get_own_csv),
    *(list_store, get_store, get_store_pdf, get_store_csv),
    *(list_all, get_any),
]
