"""Acts that need two people: the list by age, one with what will happen, and the decision."""

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import approvals, console
from fondaco.console.approvals import list_approvals
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, SIZES, cursor_of, desk, known, read_list, refusal, states_facet
from fondaco.pages.context import see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb

LIST = f"{HOME}/approvals"
SPEC = ListSpec(LIST, facets=("state",), sizes=SIZES)


@get("/console/approvals", permit="console.approvals", include_in_schema=False)
async def show_list(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    found = await list_approvals(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", approvals.STATES) or ["OPEN"],
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "approvals.html",
        here=LIST,
        crumbs=[Crumb("Approvals")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        facets=[states_facet(approvals.STATES, "approval")],
    )


@get("/console/approvals/{request_id:uuid}", permit="console.approvals", include_in_schema=False)
async def show_one(request: Call, request_id: FromPath[UUID]) -> Response[str]:
    found = await approvals.read(request.db, request.viewer, request_id)
    asker, decider = f"user:{found.asked_by}", f"user:{found.decided_by}"
    names = await console.names_of(request.db, request.viewer, [found.ref, asker, decider])
    return await desk(
        request,
        "approval.html",
        here=LIST,
        crumbs=[Crumb("Approvals", LIST), Crumb("One request")],
        one=found,
        about=names[found.ref],
        asker=names[asker] if found.asked_by else console.Named("fondaco itself"),
        decider=names[decider] if found.decided_by else None,
        may_decide=approvals.may_decide(request.viewer, found),
        own=found.asked_by == request.viewer.user_id,
    )


@post("/console/approvals/{request_id:uuid}/{act:str}", permit="console.approve", include_in_schema=False)
async def decide(request: Call, request_id: FromPath[UUID], act: FromPath[str]) -> Response[str]:
    note = (await request.fields()).get("note", "")
    page = f"{LIST}/{request_id}"
    try:
        if act == "withdraw":
            await approvals.withdraw(request.db, request.viewer, request_id)
            return see_other(request, LIST, said=("good", "Taken back. Nothing happened."))
        if act not in ("approve", "refuse"):
            raise NotFound()
        await approvals.decide(request.db, request.viewer, request_id, act == "approve", note)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, page, said=refusal(problem))
    words = "Approved, and done." if act == "approve" else "Refused. Nothing happened."
    return see_other(request, page, said=("good", words))


routes = [show_list, show_one, decide]
