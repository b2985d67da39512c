"""When a store is paid for its sales: the marketplace's policy, or one of its own."""

from collections.abc import Mapping
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, orders
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.orders.policies import release_terms, release_words
from fondaco.pages.console.parts import HOME, desk
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb

STORES = f"{HOME}/sellers"
POLICIES = {
    "delivered_days": "When the buyer confirms, or so many days after delivery",
    "revealed_hours": "When the buyer confirms, or so many hours after everything was opened",
    "confirmed": "When the buyer confirms; days are for silent buyers only",
}


@get("/console/sellers/{seller_id:uuid}/release", permit="console.adjust", include_in_schema=False)
async def ask(request: Call, seller_id: FromPath[UUID]) -> Response[str]:
    kept = await orders.store_release(request.db, request.viewer, seller_id) or {}
    given = {name: str(kept.get(name) or "") for name in ("policy", "days", "hours")}
    return await _page(request, seller_id, given)


@post("/console/sellers/{seller_id:uuid}/release", permit="console.adjust", include_in_schema=False)
async def save(request: Call, seller_id: FromPath[UUID]) -> Response[str]:
    fields = await request.fields()
    try:
        await orders.set_store_release(
            request.db,
            request.viewer,
            seller_id,
            policy=fields.get("policy", ""),
            days=_whole(fields.get("days", "")),
            hours=_whole(fields.get("hours", "")),
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, seller_id, fields, problem)
    said = ("good", "Saved. It counts for sales from now on; what was bought before keeps its terms.")
    return see_other(request, f"{STORES}/{seller_id}/release", said=said)


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


async def _page(
    request: Call, seller_id: UUID, given: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    store = f"seller:{seller_id}"
    names = await console.names_of(request.db, request.viewer, [store])
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    house = release_terms(request.settings)
    return await desk(
        request,
        "release.html",
        status=form_status(problem) if problem else 200,
        here=STORES,
        crumbs=[Crumb("Stores", STORES), Crumb(names[store].words), Crumb("When it is paid")],
        seller_id=seller_id,
        store=names[store],
        house=release_words({"release": house, "protection_days": house["days"]}),
        policies=list(POLICIES.items()),
        given=given,
        errors=errors,
        alert=alert,
    )


routes = [ask, save]
