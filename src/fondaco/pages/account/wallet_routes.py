"""The wallet: what is in it, how it moved, and putting money in."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from fondaco import chargebacks, credit, inbox, ledger, orders, wallets
from fondaco.core.money import BadAmount, Money, parse_amount
from fondaco.core.problem import Invalid, Problem
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.pages.account.wallet_words import moves, quick_amounts, top_up_story
from fondaco.pages.context import form_faults, form_status, fragment, page, see_other
from fondaco.pages.listquery import ListQuery, ListSpec
from fondaco.pages.render import Crumb
from fondaco.wallets import Funding

SPEC = ListSpec("/wallet", sizes=(25, 50, 100))
_OPEN = ("CREATED", "PROCESSING")


@get("/wallet", permit="wallet.own", include_in_schema=False)
async def wallet(request: Call) -> Response[Any]:
    return await _wallet_page(request)


@post("/wallet/top-ups", permit="wallet.own", include_in_schema=False)
async def start_top_up(request: Call) -> Response[Any]:
    """On to the payment page. The amount is one of the buttons, or what was typed."""
    fields = await request.fields()
    try:
        funding = await wallets.start_top_up(
            request.db,
            request.part(StripeGateway),
            request.settings,
            request.viewer,
            _amount(request, fields),
        )
    except Problem as problem:
        return await _wallet_page(request, fields.get("amount", ""), problem)
    return Redirect(
        funding.payable_at or f"/wallet/top-ups/{funding.id}",
        status_code=303,
        headers={"Cache-Control": "no-store"},
    )


@post("/wallet/credit/pay", permit="wallet.own", include_in_schema=False)
async def pay_credit(request: Call) -> Response[Any]:
    """What is owed for goods on credit: first from the wallet, then on to the payment page for the rest. What
    comes in pays by itself."""
    currency = request.settings.currency
    try:
        left = await credit.pay_now(request.db, request.viewer)
    except credit.NoCreditOwed as problem:
        return see_other(request, "/wallet", said=("quiet", problem.detail))
    except credit.NothingToPayWith:
        left = await credit.own_credit(request.db, request.viewer)
    if currency not in left.owed:
        return see_other(request, "/wallet", said=("good", "Paid. You owe nothing more."))
    settings = request.settings
    amount = min(max(left.owed[currency], settings.top_up_min), settings.top_up_max)
    try:
        funding = await wallets.start_top_up(
            request.db, request.part(StripeGateway), settings, request.viewer, amount
        )
    except Problem as problem:
        return await _wallet_page(request, "", problem)
    return Redirect(
        funding.payable_at or f"/wallet/top-ups/{funding.id}",
        status_code=303,
        headers={"Cache-Control": "no-store"},
    )


def _amount(request: Call, fields: dict[str, str]) -> int:
    """Minor units; raises Invalid."""
    try:
        return parse_amount(fields.get("quick") or fields.get("amount", ""), request.settings.currency)
    except BadAmount as error:
        raise Invalid(fields={"amount": error.detail}) from error


async def _wallet_page(request: Call, amount: str = "", problem: Problem | None = None) -> Response[Any]:
    viewer, settings, currency = request.viewer, request.settings, request.settings.currency
    query = ListQuery.parse(SPEC, request.query_params.multi_items())
    before = request.cursors.read("wallet.entries", query.after)[0] if query.after else None
    entries = await wallets.wallet_entries(request.db, viewer, currency, before=before, limit=query.size + 1)
    more = len(entries) > query.size
    shown = entries[: query.size]
    recent = await wallets.own_top_ups(request.db, viewer, limit=20)
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await page(
        request,
        "account/wallet.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Wallet")],
        balance=await ledger.wallet_balance(request.db, viewer, currency),
        block=await chargebacks.own_block(request.db, viewer, currency),
        owing=await credit.own_credit(request.db, viewer),
        query=query,
        moves=await moves(request, shown),
        next_cursor=request.cursors.make("wallet.entries", [shown[-1].number]) if more else None,
        open_top_ups=[f for f in recent if f.state in _OPEN],
        quick=[(n, str(Money(n, currency).decimal())) for n in quick_amounts(settings)],
        least=settings.top_up_min,
        most=settings.top_up_max,
        currency=currency,
        amount=amount,
        errors=errors,
        alert=alert,
    )


@get("/wallet/top-ups/{top_up_id:uuid}", permit="wallet.own", include_in_schema=False)
async def top_up(request: Call, top_up_id: FromPath[UUID]) -> Response[Any]:
    """How it stands. Coming back from the payment page, the provider is asked, so that the money does not
    wait for its message."""
    paid = request.query_params.get("paid")
    if paid is None:
        funding = await wallets.own_funding(request.db, request.viewer, top_up_id)
    else:
        funding = await inbox.check_own_funding(
            request.db, request.part(StripeGateway), request.viewer, top_up_id
        )
    if funding.group_id:
        return see_other(request, f"/orders/{funding.group_id}")
    return await page(
        request,
        "account/top_up.html",
        crumbs=[Crumb("Home", "/"), Crumb("Wallet", "/wallet"), Crumb("Top-up")],
        refunds=await wallets.refunds_of(request.db, request.viewer.as_user, top_up_id),
        **_standing(funding, paid == "0"),
    )


@get("/wallet/top-ups/{top_up_id:uuid}/live", permit="wallet.own", include_in_schema=False)
async def top_up_live(request: Call, top_up_id: FromPath[UUID]) -> ServerSentEvent:
    """The part of the page that changes, each time it does, until it cannot any more."""
    await wallets.own_funding(request.db, request.viewer, top_up_id)

    async def parts() -> AsyncIterator[str]:
        async for _ in orders.watch(request.app.state.parts, f"funding:{top_up_id}"):
            funding = await wallets.own_funding(request.db, request.viewer, top_up_id)
            standing = _standing(funding, False)
            yield fragment(request, "account/_top_up_state.html", **standing)
            if standing["story"].final:
                return

    return ServerSentEvent(parts(), headers={"Cache-Control": "no-store"})


def _standing(funding: Funding, came_back_unpaid: bool) -> dict[str, Any]:
    return {"funding": funding, "story": top_up_story(funding, came_back_unpaid=came_back_unpaid)}


routes = [wallet, start_top_up, pay_credit, top_up, top_up_live]
