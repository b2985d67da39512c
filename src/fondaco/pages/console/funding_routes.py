"""How a store is paid: decided by an administrator, or by finance with a second person."""

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, destination
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, desk
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb

STORES = f"{HOME}/sellers"


@get("/console/sellers/{seller_id:uuid}/funding", permit="console.commission", include_in_schema=False)
async def show(request: Call, seller_id: FromPath[UUID]) -> Response[str]:
    return await _page(request, seller_id)


@post("/console/sellers/{seller_id:uuid}/funding", permit="console.commission", include_in_schema=False)
async def save(request: Call, seller_id: FromPath[UUID]) -> Response[str]:
    fields = await request.fields()
    policy, reason = fields.get("policy", ""), fields.get("reason", "")
    try:
        done = await destination.set_policy(request.db, request.viewer, seller_id, policy, reason)
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, seller_id, reason, problem)
    words = "Set. It counts for sales from now on." if done else "Asked for. A second person decides."
    return see_other(request, f"{STORES}/{seller_id}/funding", said=("good", words))


async def _page(
    request: Call, seller_id: UUID, reason: str = "", problem: Problem | None = None
) -> Response[str]:
    store = f"seller:{seller_id}"
    now = await destination.store_policy(request.db, request.viewer, seller_id)
    names = await console.names_of(request.db, request.viewer, [store])
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "store_funding.html",
        status=form_status(problem) if problem else 200,
        here=STORES,
        crumbs=[Crumb("Stores", STORES), Crumb(names[store].words), Crumb("How it is paid")],
        seller_id=seller_id,
        store=names[store],
        now=now,
        words=destination.FUNDING_POLICIES,
        other="standard" if now.policy == "destination" else "destination",
        reason=reason,
        errors=errors,
        alert=alert,
    )


routes = [show, save]
