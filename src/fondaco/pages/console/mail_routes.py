"""Mails: the list, one mail as it looks, sending one again."""

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, notifications
from fondaco.console.words import TEMPLATES
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.notifications import FullMail
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
    words_facet,
)
from fondaco.pages.context import see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb
from fondaco.vault import Vault

LIST = f"{HOME}/mails"
SPEC = ListSpec(LIST, facets=("state", "template"), sizes=SIZES)
# A mail is other people's text in our own frame: it runs nothing, loads nothing, leads nowhere by itself.
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)


@get("/console/mails", permit="console.mails", include_in_schema=False)
async def list_mails(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    found = await console.list_mails(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", notifications.STATES),
        templates=known(query, "template", notifications.TEMPLATES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    counts = await notifications.count_mails(request.db, request.viewer)
    words = {name: TEMPLATES.get(name, name) for name in notifications.TEMPLATES}
    return await desk(
        request,
        "mails.html",
        here=LIST,
        crumbs=[Crumb("Mails")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        templates=words,
        facets=[
            states_facet(notifications.STATES, "mail", counts),
            words_facet("template", "Kind", words),
        ],
    )


async def _mail(request: Call, mail_id: UUID) -> FullMail:
    return await notifications.mail_by_id(
        request.db, request.settings, request.part(Vault), request.viewer, mail_id
    )


@get("/console/mails/{mail_id:uuid}", permit="console.mails", include_in_schema=False)
async def one_mail(request: Call, mail_id: FromPath[UUID]) -> Response[str]:
    mail = await _mail(request, mail_id)
    names = await console.names_of(request.db, request.viewer, [mail.ref])
    return await desk(
        request,
        "mail.html",
        here=LIST,
        crumbs=[Crumb("Mails", LIST), Crumb(mail.subject)],
        mail=mail,
        about=names[mail.ref],
        kind=TEMPLATES.get(mail.template, mail.template),
    )


@get("/console/mails/{mail_id:uuid}/body", permit="console.mails", include_in_schema=False)
async def mail_body(request: Call, mail_id: FromPath[UUID]) -> Response[str]:
    """The mail itself, for the frame on its page."""
    mail = await _mail(request, mail_id)
    headers = {"Content-Security-Policy": FRAME_POLICY, "Cache-Control": "no-store"}
    return Response(mail.html, media_type="text/html", headers=headers)


@get("/console/mails/{mail_id:uuid}/again", permit="console.mail_again", include_in_schema=False)
async def ask_again(request: Call, mail_id: FromPath[UUID]) -> Response[str]:
    mail = await _mail(request, mail_id)
    return await confirm(
        request,
        heading="Send this mail again?",
        text=f"“{mail.subject}” is tried again now, to the customer's present address. It is written "
        "into the audit log.",
        action=f"{LIST}/{mail_id}/again",
        label="Send it again",
        back=f"{LIST}/{mail_id}",
    )


@post("/console/mails/{mail_id:uuid}/again", permit="console.mail_again", include_in_schema=False)
async def again(request: Call, mail_id: FromPath[UUID]) -> Response[str]:
    said = ("good", "It will be sent within seconds.")
    try:
        await notifications.send_again(request.db, request.viewer, mail_id)
    except NotFound:
        raise
    except Problem as problem:
        said = refusal(problem)
    return see_other(request, f"{LIST}/{mail_id}", said=said)


routes = [list_mails, one_mail, mail_body, ask_again, again]
