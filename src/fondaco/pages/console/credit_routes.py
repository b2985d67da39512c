"""The desk of credit: who owes what, how old it is, and on which terms credit is given."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post

from fondaco import credit
from fondaco.console import may
from fondaco.core import counting
from fondaco.core.money import BadAmount, Money, parse_amount
from fondaco.core.problem import Invalid, Problem
from fondaco.core.web import Call
from fondaco.credit import CreditTerms
from fondaco.pages.charts import Series
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    confirm,
    cursor_of,
    desk,
    known,
    read_list,
    refusal,
    states_facet,
)
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import ListSpec, SavedView
from fondaco.pages.render import Crumb

CREDIT = f"{HOME}/credit"
TERMS = f"{CREDIT}/terms"
SPEC = ListSpec(CREDIT, facets=("state",), sizes=SIZES)
SAVED = (SavedView("Owed now", f"{CREDIT}?state=OWED"), SavedView("Given up", f"{CREDIT}?state=WRITTEN_OFF"))
AMOUNTS = ("order_max", "cap", "cap_warning", "total_cap")
DAYS = {"days_to_pay": (1, 90), "remind_days": (0, 90), "write_off_days": (1, 365)}
FIELDS = (*AMOUNTS, *DAYS, "reason")


@get(CREDIT, permit="console.credit", include_in_schema=False)
async def index(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    chosen = known(query, "state", credit.STATES)
    found = await credit.list_credits(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=chosen,
        limit=query.size,
        cursor=cursor_of(query),
    )
    sums = await credit.credit_sums(request.db, request.viewer)
    return await desk(
        request,
        "credit.html",
        here=CREDIT,
        crumbs=[Crumb("Credit")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        total=counting.total(counting.shown(found.states), chosen),
        facets=[states_facet(credit.STATES, "credit", found.states)],
        saved=SAVED,
        sums=sums,
        ages=credit.AGES,
        charts=[(one, [Series("Owed", one.ages)]) for one in sums if one.owed],
        policies=await credit.policies(request.db, request.viewer),
        may_set=may(request.viewer, "console.credit_policy"),
    )


@get(TERMS, permit="console.credit_policy", include_in_schema=False)
async def terms(request: Call) -> Response[str]:
    return await _page(request, await _proposed(request))


@post(TERMS, permit="console.credit_policy", include_in_schema=False)
async def set_terms(request: Call) -> Response[Any]:
    """First shown what it means, then, sent once more, set."""
    fields = await request.fields()
    given = {name: fields.get(name, "").strip() for name in FIELDS}
    try:
        wish = _read(given, request.settings.currency)
        if fields.get("act") != "set":
            return await _page(request, given, meaning=_meaning(wish))
        await credit.set_policy(request.db, request.viewer, wish)
    except Problem as problem:
        return await _page(request, given, problem=problem)
    return see_other(request, CREDIT, said=("good", "Credit is given on these terms from now on."))


@get(f"{TERMS}/end", permit="console.credit_policy", include_in_schema=False)
async def ask_end(request: Call) -> Response[str]:
    return await confirm(
        request,
        heading="Give no more credit?",
        text="Nothing more can be bought on credit from now on. What is owed stays owed, on the terms it was "
        "bought on.",
        action=f"{TERMS}/end",
        label="Give no more credit",
        back=CREDIT,
        danger=True,
    )


@post(f"{TERMS}/end", permit="console.credit_policy", include_in_schema=False)
async def end(request: Call) -> Response[Any]:
    try:
        await credit.end_policy(request.db, request.viewer, request.settings.currency)
    except Problem as problem:
        return see_other(request, CREDIT, said=refusal(problem))
    return see_other(request, CREDIT, said=("good", "No more credit is given."))


async def _proposed(request: Call) -> dict[str, str]:
    """The terms in force as the form shows them, or a careful start."""
    currency = request.settings.currency
    now = [p for p in await credit.policies(request.db, request.viewer) if p.currency == currency]
    if not now:
        cap = str(Money(credit.DEFAULT_CAP, currency).decimal())
        start = {"order_max": cap, "cap": cap, "cap_warning": "0", "days_to_pay": "14", "remind_days": "3"}
        return {**dict.fromkeys(FIELDS, ""), **start, "write_off_days": "30"}
    found = {name: str(Money(getattr(now[0], name), currency).decimal()) for name in AMOUNTS}
    return {**found, **{name: str(getattr(now[0], name)) for name in DAYS}, "reason": ""}


def _read(given: Mapping[str, str], currency: str) -> CreditTerms:
    """What was typed; raises Invalid."""
    faults: dict[str, str] = {}
    read: dict[str, Any] = {}
    for name in AMOUNTS:
        try:
            read[name] = parse_amount(given[name], currency)
        except BadAmount as problem:
            faults[name] = problem.detail
        if read.get(name) == 0 and name != "cap_warning":
            faults[name] = "Above zero. To give no credit, end the terms."
    for name, (least, most) in DAYS.items():
        text = given[name]
        whole = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1
        if not least <= whole <= most:
            faults[name] = f"From {least} to {most} days."
        read[name] = whole
    if not given["reason"]:
        faults["reason"] = "Say why."
    if faults:
        raise Invalid(fields=faults)
    wish = CreditTerms(currency=currency, reason=given["reason"], **read)
    credit.check(wish)
    return wish


def _meaning(wish: CreditTerms) -> str:
    one, all_of = Money(wish.cap, wish.currency).words(), Money(wish.total_cap, wish.currency).words()
    return (
        f"Each buyer in good standing may owe up to {one}, all together up to {all_of}. What they do not pay "
        f"within {wish.days_to_pay + wish.write_off_days} days is lost to the marketplace; sellers are paid "
        "all the same."
    )


async def _page(
    request: Call, given: Mapping[str, str], *, problem: Problem | None = None, meaning: str = ""
) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "credit_terms.html",
        here=CREDIT,
        crumbs=[Crumb("Credit", CREDIT), Crumb("Terms")],
        status=form_status(problem) if problem else 200,
        given=given,
        errors=errors,
        alert=alert,
        meaning=meaning,
        currency=request.settings.currency,
        ended=await credit.policies(request.db, request.viewer, ended=True),
    )


routes = [index, terms, set_terms, ask_end, end]
