"""Commission rules: what share the marketplace takes, seen, tried and changed."""

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import PathParameter

from fondaco import catalog, sellers
from fondaco.core.money import BadAmount, parse_amount
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.orders.commission import (
    RuleWish,
    add_commission_rule,
    affected_by,
    commission_rules,
    end_commission_rule,
)
from fondaco.orders.commission_tax import commission_taxes, set_commission_tax
from fondaco.pages.console.parts import HOME, confirm, desk, refusal
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb

COMMISSION = f"{HOME}/commission"
KINDS = {"stocked_secret": "Keys", "article": "Articles"}
FIELDS = ("percent", "reason", "store", "category", "kind", "price_from", "price_to")
EMPTY: dict[str, str] = dict.fromkeys(FIELDS, "")
TAX_EMPTY: dict[str, str] = dict.fromkeys(("country", "tax_percent", "tax_reason"), "")
Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]


@get(COMMISSION, permit="console.commission", include_in_schema=False)
async def rules(request: Call) -> Response[str]:
    return await _page(request, EMPTY)


@post(COMMISSION, permit="console.commission", include_in_schema=False)
async def add_rule(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "").strip() for name in EMPTY}
    wish, faults = await _read(request, given)
    if faults or wish is None:
        return await _page(request, given, faults=faults)
    try:
        if fields.get("act") != "add":
            found = await affected_by(request.db, request.viewer, wish)
            return await _page(request, given, affected=found)
        await add_commission_rule(request.db, request.viewer, wish)
    except Problem as problem:
        return await _page(request, given, problem=problem)
    return see_other(request, COMMISSION, said=("good", "The rule decides from now on."))


@get(f"{COMMISSION}/{{rule_id:int}}/end", permit="console.commission", include_in_schema=False)
async def ask_end(request: Call, rule_id: Id) -> Response[str]:
    return await confirm(
        request,
        heading="End this rule?",
        text="It decides nothing from now on. What was bought under it keeps its share.",
        action=f"{COMMISSION}/{rule_id}/end",
        label="End the rule",
        back=COMMISSION,
        danger=True,
    )


@post(f"{COMMISSION}/{{rule_id:int}}/end", permit="console.commission", include_in_schema=False)
async def end_rule(request: Call, rule_id: Id) -> Response[Any]:
    try:
        await end_commission_rule(request.db, request.viewer, rule_id)
    except Problem as problem:
        return see_other(request, COMMISSION, said=refusal(problem))
    return see_other(request, COMMISSION, said=("good", "The rule has ended."))


@post(f"{COMMISSION}/tax", permit="console.commission", include_in_schema=False)
async def set_tax(request: Call) -> Response[Any]:
    """A country's rate of tax on the share: shown with what it would change, then set."""
    fields = await request.fields()
    given = {name: fields.get(name, "").strip() for name in TAX_EMPTY}
    bps = _percent(given["tax_percent"])
    if bps is None:
        return await _page(
            request, EMPTY, tax=given, faults={"tax_percent": "Write a rate in percent, such as 19 or 7.5."}
        )
    country, reason = given["country"].upper(), given["tax_reason"]
    try:
        changed = await set_commission_tax(
            request.db, request.viewer, country=country, bps=bps, reason=reason
        )
    except Problem as problem:
        return await _page(request, EMPTY, tax=given, problem=problem)
    words = "The rate decides from now on." if changed else "That is the rate already."
    return see_other(request, COMMISSION, said=("good", words))


def _percent(text: str) -> int | None:
    """Basis points of a share in percent that was typed; None when it cannot be read."""
    whole, _, rest = text.partition(".")
    digits = whole + rest
    if not (digits.isascii() and digits.isdigit() and 1 <= len(whole) <= 2 and len(rest) <= 2):
        return None
    return int(whole) * 100 + int(rest.ljust(2, "0") or "0")


async def _read(request: Call, given: Mapping[str, str]) -> tuple[RuleWish | None, dict[str, str]]:
    """The rule that was typed; words in place of it when it cannot be read."""
    currency, faults = request.settings.currency, dict[str, str]()
    seller_id = None
    if given["store"]:
        try:
            seller_id = (await sellers.store_by_slug(request.db, given["store"])).id
        except NotFound:
            faults["store"] = "There is no store at this address."
    prices: dict[str, int | None] = {}
    for name in ("price_from", "price_to"):
        try:
            prices[name] = parse_amount(given[name], currency) if given[name] else None
        except BadAmount as problem:
            faults[name] = problem.detail
    bps = _percent(given["percent"])
    if bps is None:
        faults["percent"] = "Write a share in percent, such as 12 or 12.5."
    if faults or bps is None:
        return None, faults
    band = any(p is not None for p in prices.values())
    wish = RuleWish(
        bps=bps,
        reason=given["reason"],
        seller_id=seller_id,
        category=given["category"] or None,
        kind=given["kind"] or None,
        currency=currency if band else None,
        **prices,
    )
    return wish, {}


async def _page(
    request: Call,
    given: Mapping[str, str],
    *,
    faults: dict[str, str] | None = None,
    problem: Problem | None = None,
    affected: tuple[int, int] | None = None,
    tax: Mapping[str, str] | None = None,
) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (faults or {}, "")
    names = (("bps", "percent"), ("seller_id", "store"), ("currency", "price_from"))
    for name, shown in names if tax is None else (("bps", "tax_percent"), ("reason", "tax_reason")):
        if name in errors:
            errors[shown] = errors.pop(name)
    db, viewer = request.db, request.viewer
    shelves = await catalog.categories(db)
    return await desk(
        request,
        "commission.html",
        here=COMMISSION,
        crumbs=[Crumb("Commission")],
        status=form_status(problem) if problem else 422 if errors else 200,
        rules=await commission_rules(db, viewer),
        ended=await commission_rules(db, viewer, ended=True),
        categories=[(shelf.slug, shelf.name) for shelf in shelves],
        shelf_names={shelf.slug: shelf.name for shelf in shelves},
        kinds=KINDS,
        house_bps=request.settings.commission_bps,
        currency=request.settings.currency,
        given=given,
        errors=errors,
        alert=alert,
        affected=affected,
        taxes=await commission_taxes(db, viewer),
        taxes_ended=await commission_taxes(db, viewer, ended=True),
        tax=tax or TAX_EMPTY,
    )


routes = [rules, add_rule, ask_end, end_rule, set_tax]
