"""Finance adjusts balances and asks for forfeits; what was done, with reason and evidence."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post

from fondaco import refunds
from fondaco.core.ids import parse_uuid, uuid7
from fondaco.core.problem import Invalid, Problem
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, desk
from fondaco.pages.console.refund_routes import ASKED
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.refund_routes import amount_of
from fondaco.refunds import Change

ADJUSTMENTS = f"{HOME}/adjustments"
ACTS = {
    "credit": "Give money to them",
    "debit": "Take money from them",
    "forfeit": "Forfeit money of a banned store",
}


@get(ADJUSTMENTS, permit="console.adjust", include_in_schema=False)
async def adjustments(request: Call) -> Response[str]:
    return await _page(request, {"who": request.query_params.get("who", "")})


@post(ADJUSTMENTS, permit="console.adjust", include_in_schema=False)
async def adjust(request: Call) -> Response[Any]:
    fields = await request.fields()
    try:
        done = await _done(request, fields)
    except Problem as problem:
        return await _page(request, fields, problem)
    return see_other(request, ADJUSTMENTS, said=("good", "The balance is changed.") if done else ASKED)


async def _done(request: Call, fields: Mapping[str, str]) -> bool:
    settings, act = request.settings, fields.get("act", "")
    if act not in ACTS:
        raise Invalid(fields={"act": "Choose what happens."})
    user_id, seller_id = await refunds.find_party(request.db, request.viewer, fields.get("who", ""))
    amount, key = amount_of(fields.get("amount", ""), settings.currency), parse_uuid(fields.get("key", ""))
    if amount is None or key is None:
        raise Invalid(fields={"amount": "Say how much."})
    wish = Change(
        key=key,
        amount=amount if act == "credit" else -amount,
        currency=settings.currency,
        why=fields.get("why", ""),
        evidence=fields.get("evidence", ""),
        user_id=user_id,
        seller_id=seller_id,
    )
    if act == "forfeit":
        await refunds.forfeit(request.db, request.viewer, wish)
        return False
    return await refunds.adjust(request.db, request.viewer, settings, wish)


async def _page(request: Call, given: Mapping[str, str], problem: Problem | None = None) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "adjustments.html",
        status=form_status(problem) if problem else 200,
        here=ADJUSTMENTS,
        crumbs=[Crumb("Adjustments")],
        made=await refunds.adjustments(request.db, request.viewer),
        acts=list(ACTS.items()),
        limit=request.settings.goodwill_limit,
        currency=request.settings.currency,
        key=parse_uuid(given.get("key", "")) or uuid7(),
        given=given,
        errors=errors,
        alert=alert,
    )


routes = [adjustments, adjust]
