"""The staff desk's mails."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.notifications.actions import list_mails, mail_by_id, send_again
from fondaco.notifications.model import FullMail, MailRow
from fondaco.vault import Vault

State = Literal["QUEUED", "SENT", "FAILED", "UNDELIVERABLE", "CAPTURED"]


@get("/api/v1/console/mails", permit="console.mails")
async def mails(  # noqa: PLR0917 (one for each filter)
    request: Call,
    state_: Annotated[State | None, QueryParameter(name="state")] = None,
    template: FromQuery[str | None] = None,
    q: Annotated[
        str, QueryParameter(description="Address, part of a subject, or a ref.", max_length=200)
    ] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT)] = 50,
    cursor: FromQuery[str | None] = None,
) -> Page[MailRow]:
    """Mails, newest first."""
    return await list_mails(
        request.db,
        request.cursors,
        request.viewer,
        state=state_,
        template=template,
        q=q,
        limit=limit,
        cursor=cursor,
    )


@get("/api/v1/console/mails/{mail_id:uuid}", permit="console.mails")
async def one_mail(request: Call, mail_id: FromPath[UUID]) -> FullMail:
    """One mail with its texts."""
    return await mail_by_id(request.db, request.settings, request.part(Vault), request.viewer, mail_id)


@post("/api/v1/console/mails/{mail_id:uuid}/send-again", permit="console.mail_again", status_code=200)
async def again(request: Call, mail_id: FromPath[UUID]) -> MailRow:
    """Try a mail that failed again."""
    return await send_again(request.db, request.viewer, mail_id)


routes = [mails, one_mail, again]
