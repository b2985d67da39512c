"""The API of refunds: a buyer gives back and reports keys, a store gives money back and answers."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from fondaco import refunds
from fondaco.core.ids import id_of
from fondaco.core.pagination import Page
from fondaco.core.web import Call
from fondaco.refunds.model import SELLER_REASONS, LineRefund
from fondaco.refunds.reads import BadKey

Words = Annotated[str, Meta(min_length=3, max_length=500)]
SellerReason = Annotated[str, Meta(description=f"One of: {', '.join(SELLER_REASONS)}.", max_length=40)]
Amount = Annotated[int, Meta(ge=1, le=10**15, description="Minor units; without it all that is left.")]


class NewRefund(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Money of a line to give back."""

    reason: SellerReason
    why: Annotated[str, Meta(max_length=500, description="The buyer reads it.")] = ""
    amount: (
        Annotated[int, Meta(ge=1, le=10**15, description="Minor units; without it all that is left.")] | None
    ) = None


class NewReport(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key does not work."""

    why: Annotated[Words, Meta(description="What happens when you use it. Never the key itself.")]


class ReportAnswer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What becomes of a report."""

    answer: Literal["replace", "refund", "refuse"]
    words: Annotated[str, Meta(max_length=500, description="The buyer reads it; needed to refuse.")] = ""


@get(
    "/api/v1/orders/{order_id:uuid}/refunds",
    permit="orders.own",
    summary="What came back of a purchase",
    description="By the id of the purchase or of one of its orders.",
)
async def list_refunds(request: Call, order_id: FromPath[UUID]) -> Page[LineRefund]:
    return Page(await refunds.own_refunds(request.db, request.viewer, order_id))


@post(
    "/api/v1/order-lines/{line_id:uuid}/return",
    permit="orders.own",
    status_code=200,
    summary="Give back what you have not opened",
    description="All units of the line that nobody has opened go back, their money is in the wallet at once. "
    "Possible until `return_until` of the line, while its money is held.",
)
async def return_line(request: Call, line_id: FromPath[UUID]) -> Page[LineRefund]:
    given = await refunds.give_back(request.db, request.viewer, line_id)
    return Page(await refunds.own_refunds(request.db, request.viewer, given.order_id))


@post(
    "/api/v1/library/{entitlement_id:uuid}/report",
    permit="library.own",
    summary="Report a key that does not work",
    description="The seller replaces it, gives its money back or says why not, until `due_at`; then its "
    "money goes back by itself.",
)
async def report_key(request: Call, entitlement_id: FromPath[UUID], data: JSONBody[NewReport]) -> BadKey:
    report_id = await refunds.report_bad_key(
        request.db, request.viewer, request.settings, entitlement_id, data.why
    )
    return await refunds.bad_key(request.db, request.viewer.as_user, report_id)


@get(
    "/api/v1/seller/orders/{order_id:uuid}/refunds",
    permit="sales.read",
    summary="What was given back of one of the store's orders",
)
async def list_sale_refunds(request: Call, order_id: FromPath[UUID]) -> Page[LineRefund]:
    return Page(await refunds.sale_refunds(request.db, request.viewer, order_id))


@get(
    "/api/v1/seller/orders/{order_id:uuid}/reports",
    permit="sales.read",
    summary="Keys of one of the store's orders that buyers say do not work",
)
async def list_reports(request: Call, order_id: FromPath[UUID]) -> Page[BadKey]:
    return Page(await refunds.sale_bad_keys(request.db, request.viewer, order_id))


@post(
    "/api/v1/seller/order-lines/{line_id:uuid}/refund",
    permit="sales.refund",
    summary="Give money of a sale back",
    description="To the buyer's wallet, at once. Before the release it comes out of the held money, after it "
    "from what the store has; the marketplace gives its share of the commission back.",
)
async def refund_sale(request: Call, line_id: FromPath[UUID], data: JSONBody[NewRefund]) -> LineRefund:
    own = id_of(request.viewer.seller(), request.headers.get("idempotency-key"))
    refund_id = await refunds.refund_by_seller(
        request.db, request.viewer, line_id, data.amount, reason=data.reason, why=data.why, refund_id=own
    )
    return await refunds.refund_of(request.db, request.viewer.as_seller, refund_id)


@post(
    "/api/v1/seller/reports/{report_id:uuid}/answer",
    permit="sales.refund",
    status_code=200,
    summary="Answer a report about a key",
    description="`replace` gives another key of the listing, `refund` this key's money, `refuse` neither.",
)
async def answer_report(request: Call, report_id: FromPath[UUID], data: JSONBody[ReportAnswer]) -> BadKey:
    viewer = request.viewer
    await refunds.answer_report(
        request.db, viewer, viewer.as_seller, report_id, answer=data.answer, words=data.words
    )
    return await refunds.bad_key(request.db, viewer.as_seller, report_id)


routes = [
    list_refunds,
    return_line,
    report_key,
    list_sale_refunds,
    list_reports,
    refund_sale,
    answer_report,
]
