"""The provider's door, and the inbox over the API for staff."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import PathParameter, QueryParameter

from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.inbox import handling, reads
from fondaco.inbox.door import receive
from fondaco.inbox.model import InboxEvent
from fondaco.integrations.stripe import MAX_BODY, StripeGateway

State = Literal["RECEIVED", "PROCESSED", "IGNORED", "DEFERRED", "FAILED", "DEAD"]
Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` of the page before this one.")
]


class InboxEventDetail(msgspec.Struct):
    """An event with its body as it arrived."""

    event: InboxEvent
    body: dict[str, Any]


@post(
    "/webhooks/stripe",
    permit="provider.deliver",
    include_in_schema=False,
    request_max_body_size=MAX_BODY,
    status_code=200,
)
async def deliver(request: Call) -> Response[str]:
    """Keep a delivery of Stripe's. The signature decides; the same event again is answered alike."""
    body = await request.body()
    headers = request.headers.getall("stripe-signature", [])
    await receive(request.db, request.part(StripeGateway), body, headers)
    return Response("kept\n", media_type="text/plain", status_code=200)


@get("/api/v1/console/inbox/events", permit="console.inbox", summary="Events, newest first")
async def list_events(
    request: Call,
    *,
    state_: Annotated[
        State | None, QueryParameter(name="state", description="Only events in this state.")
    ] = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[InboxEvent]:
    before = request.cursors.read("inbox.events", cursor)[0] if cursor else None
    found = await reads.list_events(
        request.db,
        request.viewer.as_staff,
        states=[state_] if state_ else None,
        before=before,
        limit=limit + 1,
    )
    following = request.cursors.make("inbox.events", [found[limit - 1].id]) if len(found) > limit else None
    return Page(found[:limit], next=following)


@get("/api/v1/console/inbox/events/{row_id:int}", permit="console.inbox", summary="One event")
async def get_event(request: Call, row_id: Id) -> InboxEventDetail:
    event, body = await reads.read_event(request.db, request.viewer.as_staff, row_id)
    return InboxEventDetail(event, body)


@post(
    "/api/v1/console/inbox/events/{row_id:int}/replay",
    permit="console.replay",
    status_code=200,
    summary="Have a dead event handled again",
)
async def replay(request: Call, row_id: Id) -> InboxEvent:
    await handling.replay(request.db, request.viewer, row_id)
    event, _ = await reads.read_event(request.db, request.viewer.as_staff, row_id)
    return event


routes: list[Any] = [deliver, list_events, get_event, replay]
