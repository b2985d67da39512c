"""The API of a seller's payouts."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import payouts
from fondaco.core.ids import id_of
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders.routes import Limit, PageCursor
from fondaco.payouts.model import Payout, PayoutAccount, PayoutDetail, PayoutPage, Standing

State = Literal[
    "CREATED",
    "HELD",
    "SENDING",
    "UNKNOWN",
    "SENT",
    "PAID",
    "BANK_FAILED",
    "FAILED",
    "CANCELLED",
    "REVERSED",
]
States = Annotated[
    list[State] | None, QueryParameter(name="state", description="Only those in one of these states.")
]


class Withdrawal(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Money to be paid out now."""

    amount: (
        Annotated[int, Meta(ge=1, le=2**53, description="Minor units; left out: all that is available.")]
        | None
    ) = None
    currency: (
        Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217; left out: the marketplace's.")]
        | None
    ) = None


class Onward(msgspec.Struct, frozen=True):
    """Where to go on."""

    url: str


@get("/api/v1/seller/money", permit="balance.read", summary="Where all of the store's money is, and why")
async def get_money(request: Call) -> Standing:
    """Every bucket in every currency, what keeps a payout from leaving now, and when the next one is made."""
    return await payouts.standing(request.db, request.settings, request.viewer)


@get("/api/v1/seller/payouts", permit="balance.read", summary="The store's payouts, newest first")
async def list_payouts(
    request: Call, *, state_: States = None, limit: Limit = 50, cursor: PageCursor = None
) -> PayoutPage:
    return await payouts.my_payouts(
        request.db, request.viewer, request.cursors, states=state_ or [], limit=limit, cursor=cursor
    )


@get("/api/v1/seller/payouts/{payout_id:uuid}", permit="balance.read", summary="One payout with what it pays")
async def get_payout(request: Call, payout_id: FromPath[UUID]) -> PayoutDetail:
    return await payouts.my_payout(request.db, request.viewer, payout_id)


@post("/api/v1/seller/payouts", permit="payouts.request", summary="Withdraw what is available")
async def withdraw(request: Call, data: JSONBody[Withdrawal]) -> Payout:
    """The oldest sales are paid first. It leaves within seconds when nothing stands in the way, and is
    refused with the reasons when something does. An `Idempotency-Key` stays with its payout for ever."""
    viewer = request.viewer
    payout_id = id_of(viewer.seller(), request.headers.get("idempotency-key"))
    await payouts.withdraw(
        request.db,
        request.settings,
        viewer,
        payout_id,
        amount=data.amount,
        currency=data.currency or request.settings.currency,
    )
    return (await payouts.my_payout(request.db, viewer, payout_id)).payout


@get("/api/v1/seller/payout-account", permit="balance.read", summary="Where the store's money goes")
async def get_account(request: Call) -> PayoutAccount:
    return await payouts.my_account(request.db, request.viewer)


@post("/api/v1/seller/payout-account/link", permit="store.connect", summary="Set up where the money goes")
async def make_link(request: Call) -> Onward:
    """An address at the payment provider where the store's owner enters it; good for a few minutes."""
    gateway = request.part(StripeGateway)
    return Onward(await payouts.connect(request.db, gateway, request.settings, request.viewer))


routes = [get_money, list_payouts, get_payout, withdraw, get_account, make_link]
