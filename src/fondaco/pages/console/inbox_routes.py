"""The provider's events, and having a dead one handled again."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import PathParameter

from fondaco import console, inbox
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
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
from fondaco.pages.context import see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb

LIST = f"{HOME}/inbox"
STATES = ("RECEIVED", "FAILED", "DEFERRED", "DEAD", "PROCESSED", "IGNORED")
SPEC = ListSpec(LIST, facets=("state",), sizes=SIZES)
Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]


@get("/console/inbox", permit="console.inbox", include_in_schema=False)
async def list_events(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    scope = request.viewer.as_staff
    found = await console.list_arrived(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", STATES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "inbox.html",
        here=LIST,
        crumbs=[Crumb("Inbox")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        facets=[states_facet(STATES, "inbox_event", await inbox.count_states(request.db, scope))],
        refusals=await inbox.refusals(request.db, scope),
    )


@get("/console/inbox/{row_id:int}", permit="console.inbox", include_in_schema=False)
async def one_event(request: Call, row_id: Id) -> Response[str]:
    event, body = await inbox.read_event(request.db, request.viewer.as_staff, row_id)
    about = await inbox.events_about(request.db, request.viewer.as_staff, [event.object_id])
    return await desk(
        request,
        "event.html",
        here=LIST,
        crumbs=[Crumb("Inbox", LIST), Crumb(event.type)],
        event=event,
        body=msgspec.json.format(msgspec.json.encode(body), indent=2).decode(),
        about=[e for e in about if e.id != event.id and event.object_id],
    )


@get("/console/inbox/{row_id:int}/replay", permit="console.replay", include_in_schema=False)
async def ask_replay(request: Call, row_id: Id) -> Response[str]:
    event, _ = await inbox.read_event(request.db, request.viewer.as_staff, row_id)
    return await confirm(
        request,
        heading="Have this event handled again?",
        text=f"{event.type} ({event.event_id}) was given up after {event.attempts} tries. It is tried again "
        "from the start, within seconds. Nothing happens twice: each effect is booked once.",
        action=f"{LIST}/{row_id}/replay",
        label="Handle it again",
        back=f"{LIST}/{row_id}",
    )


@post("/console/inbox/{row_id:int}/replay", permit="console.replay", include_in_schema=False)
async def replay(request: Call, row_id: Id) -> Response[str]:
    said = ("good", "It is being handled again. Reload in a few seconds to see how it went.")
    try:
        await inbox.replay(request.db, request.viewer, row_id)
    except NotFound:
        raise
    except Problem as problem:
        said = refusal(problem)
    return see_other(request, f"{LIST}/{row_id}", said=said)


routes = [list_events, one_event, ask_replay, replay]
