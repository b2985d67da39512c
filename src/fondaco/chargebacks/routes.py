"""The API of chargebacks: the buyer's blocked wallet, the store's sales, the desk."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco.chargebacks.debts import ask_write_off, clear
from fondaco.chargebacks.evidence import add_statement, confirm, write_words
from fondaco.chargebacks.reads import (
    ChargebackDetail,
    ChargebackPage,
    Outcomes,
    SaleChargeback,
    SalePage,
    WalletBlock,
    list_chargebacks,
    outcomes,
    own_block,
    read_chargeback,
    sale_chargeback,
    sale_chargebacks,
)
from fondaco.core.pagination import MAX_LIMIT
from fondaco.core.web import Call

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Search = Annotated[
    str, QueryParameter(max_length=100, description="Part of the buyer's address or of the provider's id.")
]
State = Literal[
    "WARNING_NEEDS_RESPONSE",
    "WARNING_UNDER_REVIEW",
    "WARNING_CLOSED",
    "NEEDS_RESPONSE",
    "UNDER_REVIEW",
    "WON",
    "LOST",
    "PREVENTED",
]
States = Annotated[
    list[State] | None, QueryParameter(name="state", description="Only those in one of these states.")
]
Owing = Annotated[bool, QueryParameter(description="Only those of which something is still owed.")]
Version = Annotated[
    int, Meta(ge=1, le=2**31 - 1, description="The evidence's `version` as you saw it; refused if it moved.")
]
Why = Annotated[str, Meta(min_length=3, max_length=200)]


class NewStatement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the store adds for the bank."""

    text: Annotated[str, Meta(min_length=3, max_length=4000)]


class NewWords(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What finance adds; it replaces what was there."""

    text: Annotated[str, Meta(max_length=10_000)]
    version: Version


class Seen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The evidence as it was seen."""

    version: Version


class Reason(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why."""

    why: Why


class Asked(msgspec.Struct, frozen=True):
    """The request that a second person decides."""

    approval_id: UUID


class Standing(msgspec.Struct, frozen=True):
    """How the buyer's wallets stand now."""

    state: Annotated[str, Meta(description="OK, WALLET_AT_RISK or LOCKED.")]


@get("/api/v1/wallet/block", permit="wallet.own", summary="Whether and why the wallet is blocked")
async def get_block(request: Call) -> WalletBlock:
    return await own_block(request.db, request.viewer, request.settings.currency)


@get(
    "/api/v1/seller/chargebacks",
    permit="sales.read",
    summary="Chargebacks of the store's sales, newest first",
)
async def list_store_chargebacks(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> SalePage:
    return await sale_chargebacks(request.db, request.viewer, request.cursors, limit=limit, cursor=cursor)


@get("/api/v1/seller/chargebacks/{chargeback_id:uuid}", permit="sales.read", summary="One of them")
async def get_store_chargeback(request: Call, chargeback_id: FromPath[UUID]) -> SaleChargeback:
    return await sale_chargeback(request.db, request.viewer, chargeback_id)


@post(
    "/api/v1/seller/chargebacks/{chargeback_id:uuid}/statements",
    permit="cases.answer",
    summary="Add something for the bank",
)
async def add_store_statement(
    request: Call, chargeback_id: FromPath[UUID], data: JSONBody[NewStatement]
) -> SaleChargeback:
    """While the window is open. Do not write keys or passwords."""
    await add_statement(request.db, request.viewer, chargeback_id, data.text)
    return await sale_chargeback(request.db, request.viewer, chargeback_id)


@get(
    "/api/v1/console/chargebacks", permit="console.chargebacks", summary="Chargebacks, nearest deadline first"
)
async def list_all_chargebacks(  # noqa: PLR0917 - what the address may say
    request: Call,
    q: Search = "",
    states: States = None,
    owing: Owing = False,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> ChargebackPage:
    return await list_chargebacks(
        request.db,
        request.viewer,
        request.cursors,
        q=q,
        states=list(states or ()),
        owing=owing,
        limit=limit,
        cursor=cursor,
    )


@get(
    "/api/v1/console/chargeback-outcomes",
    permit="console.chargebacks",
    summary="How chargebacks of the last 90 days ended",
)
async def get_outcomes(request: Call) -> Outcomes:
    return await outcomes(request.db, request.viewer)


@get(
    "/api/v1/console/chargebacks/{chargeback_id:uuid}",
    permit="console.chargebacks",
    summary="One chargeback with its evidence",
)
async def get_chargeback(request: Call, chargeback_id: FromPath[UUID]) -> ChargebackDetail:
    return await read_chargeback(request.db, request.viewer, chargeback_id)


@put(
    "/api/v1/console/chargebacks/{chargeback_id:uuid}/words",
    permit="console.chargeback_submit",
    summary="What finance adds to the evidence",
)
async def put_words(
    request: Call, chargeback_id: FromPath[UUID], data: JSONBody[NewWords]
) -> ChargebackDetail:
    await write_words(request.db, request.viewer, chargeback_id, data.text, data.version)
    return await read_chargeback(request.db, request.viewer, chargeback_id)


@post(
    "/api/v1/console/chargebacks/{chargeback_id:uuid}/confirm",
    permit="console.chargeback_submit",
    status_code=200,
    summary="Send the evidence to the bank",
)
async def confirm_evidence(
    request: Call, chargeback_id: FromPath[UUID], data: JSONBody[Seen]
) -> ChargebackDetail:
    """It is sent within seconds, once, and cannot be changed any more."""
    await confirm(request.db, request.viewer, chargeback_id, data.version)
    return await read_chargeback(request.db, request.viewer, chargeback_id)


@post(
    "/api/v1/console/chargebacks/{chargeback_id:uuid}/write-off",
    permit="console.chargeback_submit",
    summary="Ask a second person to write off what is owed",
)
async def ask_for_write_off(request: Call, chargeback_id: FromPath[UUID], data: JSONBody[Reason]) -> Asked:
    return Asked(await ask_write_off(request.db, request.viewer, chargeback_id, data.why))


@post(
    "/api/v1/console/people/{user_id:uuid}/let-go",
    permit="console.chargeback_submit",
    status_code=200,
    summary="Let a blocked wallet go",
)
async def let_go(request: Call, user_id: FromPath[UUID], data: JSONBody[Reason]) -> Standing:
    """Only when nothing is open and nothing owed any more."""
    return Standing(await clear(request.db, request.viewer, user_id, data.why))


routes = [
    get_block,
    list_store_chargebacks,
    get_store_chargeback,
    add_store_statement,
    list_all_chargebacks,
    get_outcomes,
    get_chargeback,
    put_words,
    confirm_evidence,
    ask_for_write_off,
    let_go,
]
