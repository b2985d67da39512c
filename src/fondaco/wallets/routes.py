"""The API of the signed-in user's wallet."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import wallets
from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import wallet_balance
from fondaco.wallets.model import Funding
from fondaco.wallets.reads import WalletEntry

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` of the page before this one.")
]


class Wallet(msgspec.Struct):
    """What the user can spend."""

    balance: Annotated[int, Meta(description="Minor units.")]
    currency: str
    top_up_min: Annotated[int, Meta(description="Least top-up, minor units.")]
    top_up_max: Annotated[int, Meta(description="Largest top-up, minor units.")]


class NewTopUp(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A top-up to be started."""

    amount: Annotated[int, Meta(ge=1, le=10**12, description="Minor units of the wallet's currency.")]


class TopUp(msgspec.Struct):
    """Money on its way into the wallet."""

    id: UUID
    amount: Annotated[int, Meta(description="Minor units.")]
    currency: str
    state: Annotated[str, Meta(description="CREATED, PROCESSING, SUCCEEDED, FAILED, EXPIRED, CANCELED, ...")]
    checkout_url: Annotated[str | None, Meta(description="Where it is paid; none when it no longer can be.")]
    refunded: int
    failure: Annotated[str | None, Meta(description="Why it failed, in words.")]
    created_at: datetime
    expires_at: datetime
    succeeded_at: datetime | None


def shown(funding: Funding) -> TopUp:
    return TopUp(
        funding.id,
        funding.amount,
        funding.currency,
        funding.state,
        funding.payable_at,
        funding.refunded,
        funding.failure,
        funding.created_at,
        funding.expires_at,
        funding.succeeded_at,
    )


@get("/api/v1/wallet", permit="wallet.own", summary="Balance")
async def get_wallet(request: Call) -> Wallet:
    settings = request.settings
    money = await wallet_balance(request.db, request.viewer, settings.currency)
    return Wallet(money.minor, money.currency, settings.top_up_min, settings.top_up_max)


@get("/api/v1/wallet/entries", permit="wallet.own", summary="The wallet's moves, newest first")
async def list_entries(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> Page[WalletEntry]:
    before = request.cursors.read("wallet.entries", cursor)[0] if cursor else None
    found = await wallets.wallet_entries(
        request.db, request.viewer, request.settings.currency, before=before, limit=limit + 1
    )
    following = (
        request.cursors.make("wallet.entries", [found[limit - 1].number]) if len(found) > limit else None
    )
    return Page(found[:limit], next=following)


@post("/api/v1/wallet/top-ups", permit="wallet.own", summary="Start a top-up")
async def start_top_up(request: Call, data: JSONBody[NewTopUp]) -> TopUp:
    """Answers where to pay it. The money is in the wallet as soon as the payment is confirmed."""
    return shown(
        await wallets.start_top_up(
            request.db, request.part(StripeGateway), request.settings, request.viewer, data.amount
        )
    )


@get("/api/v1/wallet/top-ups", permit="wallet.own", summary="Top-ups, newest first")
async def list_top_ups(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> Page[TopUp]:
    before = wallets.place_of(request.cursors.read("wallet.top_ups", cursor)) if cursor else None
    found = await wallets.own_top_ups(request.db, request.viewer, before=before, limit=limit + 1)
    following = None
    if len(found) > limit:
        following = request.cursors.make("wallet.top_ups", wallets.cursor_of(found[limit - 1]))
    return Page([shown(f) for f in found[:limit]], next=following)


@get("/api/v1/wallet/top-ups/{top_up_id:uuid}", permit="wallet.own", summary="One top-up")
async def get_top_up(request: Call, top_up_id: FromPath[UUID]) -> TopUp:
    return shown(await wallets.own_funding(request.db, request.viewer, top_up_id))


routes: list[Any] = [get_wallet, list_entries, start_top_up, list_top_ups, get_top_up]
