"""The console's first page, and find."""

from typing import Any

from litestar import Response, get, post

from fondaco import console
from fondaco.core import counting
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.charts import Series
from fondaco.pages.console.parts import HOME, desk
from fondaco.pages.context import form_faults, form_status
from fondaco.pages.render import Crumb
from fondaco.vault import Vault

FIND = f"{HOME}/find"
KINDS = {
    "order": ("receipt", "Order"),
    "case": ("flag", "Case"),
    "person": ("user-round", "Person"),
    "store": ("store", "Store"),
    "listing": ("tag", "Listing"),
    "key": ("key-round", "Key"),
    "funding": ("credit-card", "Payment"),
    "refund": ("undo-2", "Refund"),
    "event": ("webhook", "Provider's event"),
    "mail": ("mail", "Mail"),
    "journal": ("scale", "Journal"),
}


@get("/console", permit="console.see", include_in_schema=False)
async def home(request: Call) -> Response[str]:
    db, viewer, currency = request.db, request.viewer, request.settings.currency
    days = await console.paid_per_day(db, viewer, currency)
    return await desk(
        request,
        "home.html",
        here=HOME,
        queues=await console.queues(db, viewer),
        most=counting.MOST,
        labels=[f"{d.day.day} {d.day:%b}" for d in days],
        orders=[Series("Orders paid", [d.orders for d in days])],
        sales=[Series("Sales", [d.total for d in days])],
        today=days[-1],
        month=(sum(d.orders for d in days), sum(d.total for d in days)),
        currency=currency,
        latency=await console.delivery_latency(db, viewer),
    )


@get("/console/find", permit="console.see", include_in_schema=False)
async def ask(request: Call) -> Response[str]:
    return await _find_page(request, "", None)


@post("/console/find", permit="console.see", include_in_schema=False, status_code=200)
async def find(request: Call) -> Response[str]:
    """A form, not an address: a key that is pasted here is in no log and no history."""
    text = (await request.fields()).get("text", "")
    try:
        found = await console.find(request.db, request.viewer, text, vault=request.part(Vault))
    except Problem as problem:
        return await _find_page(request, text[:300], None, problem)
    hit = any(f.kind == "key" for f in found)
    return await _find_page(request, "" if hit else text[:300], found)


async def _find_page(
    request: Call, text: str, found: list[console.Found] | None, problem: Problem | None = None
) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "find.html",
        here=FIND,
        crumbs=[Crumb("Find")],
        status=form_status(problem) if problem else 200,
        text=text,
        found=found,
        kinds=KINDS,
        errors=errors,
        alert=alert,
    )


routes = [home, ask, find]
