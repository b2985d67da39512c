"""People: the list, one person, staff roles, closing and opening accounts."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import audit, console, identity, ledger
from fondaco.console.people import PERSON_STATES
from fondaco.console.words import told
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.identity.staff import STAFF_ROLES
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    confirm,
    cursor_of,
    desk,
    known,
    read_list,
    refusal,
    words_facet,
)
from fondaco.pages.context import see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb

LIST = f"{HOME}/people"
ROLE_WORDS = {
    "support": "Support",
    "ops": "Operations",
    "finance": "Finance",
    "admin": "Administrator",
    "auditor": "Auditor",
}
_MEANING = {
    "support": "sees orders, people and mails, and may cancel unpaid orders and send mails again",
    "ops": "sees orders, people, mails and the inbox, and may cancel, replay events and pause listings",
    "finance": "sees orders, people, the inbox and the ledger",
    "admin": "may do everything, also give and take staff roles",
    "auditor": "sees everything, the audit log included, and changes nothing",
}
SPEC = ListSpec(LIST, facets=("role", "state"), sizes=SIZES)


@get("/console/people", permit="console.people", include_in_schema=False)
async def list_people(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    found = await console.list_people(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        roles=known(query, "role", (*STAFF_ROLES, "seller")),
        states=known(query, "state", PERSON_STATES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    roles = [FacetValue("seller", "Works in a store"), *(FacetValue(r, ROLE_WORDS[r]) for r in STAFF_ROLES)]
    return await desk(
        request,
        "people.html",
        here=LIST,
        crumbs=[Crumb("People")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        role_words=ROLE_WORDS,
        facets=[Facet("role", "Role", roles), words_facet("state", "Account", PERSON_STATES)],
    )


@get("/console/people/{user_id:uuid}", permit="console.people", include_in_schema=False)
async def one_person(request: Call, user_id: FromPath[UUID]) -> Response[str]:
    db, viewer, cursors = request.db, request.viewer, request.cursors
    found = await console.person(db, viewer, user_id, request.settings.currency)
    bought = await console.list_orders(db, viewer, cursors, buyer_id=user_id, limit=10)
    paid = await console.list_fundings(db, viewer, cursors, user_id=user_id, limit=10)
    acts = await audit.history(db, viewer.as_staff, f"user:{user_id}", limit=20)
    names = await console.names_of(db, viewer, {a.actor for a in acts})
    return await desk(
        request,
        "person.html",
        here=LIST,
        crumbs=[Crumb("People", LIST), Crumb(found.row.email)],
        person=found,
        orders=bought,
        fundings=paid,
        acts=[
            {"icon": t.icon, "tone": t.tone, "what": t.words, "when": a.at, "who": names[a.actor].words}
            for a in reversed(acts)
            for t in [told(a.kind)]
        ],
        role_words=ROLE_WORDS,
        role_choices=[(r, ROLE_WORDS[r]) for r in STAFF_ROLES],
        balance=ledger.wallet_of(user_id, found.currency),
    )


@get("/console/people/{user_id:uuid}/role", permit="console.roles", include_in_schema=False)
async def ask_role(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    person, second_factor = await console.person_row(request.db, request.viewer, user_id)
    role = request.query_params.get("role", "")
    email, page = person.email, f"{LIST}/{user_id}"
    if role == (person.staff_role or ""):
        return see_other(request, page, said=("wait", "That is their role already."))
    if role and role not in STAFF_ROLES:
        raise NotFound()
    text = f"{email} then {_MEANING[role]}." if role else f"{email} then no longer sees the console."
    need = " They need a second factor to get in." if role and not second_factor else ""
    return await confirm(
        request,
        heading=f"Give {email} the role {ROLE_WORDS[role]}?" if role else f"Take the staff role of {email}?",
        text=f"{text} It counts from their next click, and it is written into the audit log.{need}",
        action=f"{page}/role",
        label="Give the role" if role else "Take the role",
        back=page,
        danger=not role,
        fields=[("role", role)],
    )


@post("/console/people/{user_id:uuid}/role", permit="console.roles", include_in_schema=False)
async def give_role(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    role = (await request.fields()).get("role", "") or None
    said = f"Their role is {ROLE_WORDS.get(role, role)} now." if role else "They have no staff role any more."
    try:
        await identity.give_staff_role(request.db, request.viewer, user_id, role)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"{LIST}/{user_id}", said=refusal(problem))
    own = user_id == request.viewer.user_id
    return see_other(request, "/" if own and not role else f"{LIST}/{user_id}", said=("good", said))


@get("/console/people/{user_id:uuid}/{act:str}", permit="console.roles", include_in_schema=False)
async def ask_account(request: Call, user_id: FromPath[UUID], act: FromPath[str]) -> Response[Any]:
    person, _ = await console.person_row(request.db, request.viewer, user_id)
    email, page = person.email, f"{LIST}/{user_id}"
    if act == "close":
        heading, label = f"Close the account of {email}?", "Close the account"
        text = "Their sessions end at once and they cannot sign in. What they bought and hold stays theirs."
    elif act == "open":
        heading, label, text = (
            f"Open the account of {email} again?",
            "Open it again",
            "They can sign in again.",
        )
    else:
        raise NotFound()
    return await confirm(
        request,
        heading=heading,
        text=text,
        action=f"{page}/{act}",
        label=label,
        back=page,
        danger=act == "close",
    )


@post("/console/people/{user_id:uuid}/{act:str}", permit="console.roles", include_in_schema=False)
async def change_account(request: Call, user_id: FromPath[UUID], act: FromPath[str]) -> Response[Any]:
    verbs = {"close": identity.close_account, "open": identity.open_account}
    if act not in verbs:
        raise NotFound()
    try:
        await verbs[act](request.db, request.viewer, user_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"{LIST}/{user_id}", said=refusal(problem))
    words = "The account is closed." if act == "close" else "The account is open again."
    return see_other(request, f"{LIST}/{user_id}", said=("good", words))


routes = [list_people, one_person, ask_role, give_role, ask_account, change_account]
