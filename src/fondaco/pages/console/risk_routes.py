"""The risk desk: what waits, who is not NORMAL, one party with everything known, blocks."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, risk
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.inventory.quarantine import quarantined, settle_quarantine
from fondaco.pages.charts import Series
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    cursor_of,
    desk,
    known,
    read_list,
    refusal,
    words_facet,
)
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.ring_drawing import ring_drawing
from fondaco.risk.desk import party_file, raised
from fondaco.risk.rings import mark_file, shared_marks
from fondaco.risk.words import TIER_WORDS
from fondaco.vault import is_mark
from fondaco.vault import mark as mark_of

RISK = f"{HOME}/risk"
RINGS, APPEALS, BLOCKS = f"{RISK}/rings", f"{RISK}/appeals", f"{RISK}/blocks"
EMPTY: dict[str, str] = {"kind": "domain", "value": "", "reason": "", "days": ""}
SHOWN = 10  # appeals on the first page
TABS = (("Standings", RISK), ("Rings", RINGS), ("Appeals", APPEALS), ("Blocked", BLOCKS))
RAISED_SPEC = ListSpec(RISK, facets=("tier", "side"), sizes=SIZES)
RINGS_SPEC = ListSpec(RINGS, facets=("kind",), sizes=SIZES)
APPEALS_SPEC = ListSpec(APPEALS, sizes=SIZES)
BLOCKS_SPEC = ListSpec(BLOCKS, sizes=SIZES)
TIERS = {str(tier): words for tier, words in TIER_WORDS.items() if tier is not risk.Tier.NORMAL}
SIDES = {"user": "Buyers", "seller": "Stores"}
MARKS = {"card": "Cards", "device": "Browsers"}


def tabs(current: str) -> list[dict[str, Any]]:
    return [{"label": label, "href": href, "current": href == current} for label, href in TABS]


@get("/console/risk", permit="console.risk", include_in_schema=False)
async def home(request: Call) -> Response[str]:
    db, viewer = request.db, request.viewer
    query = read_list(request, RAISED_SPEC)
    found = await raised(
        db,
        viewer,
        request.cursors,
        tiers=known(query, "tier", TIERS),
        sides=known(query, "side", SIDES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    appeals = await risk.open_appeals(db, viewer, request.cursors, limit=SHOWN)
    return await desk(
        request,
        "risk.html",
        here=RISK,
        crumbs=[Crumb("Risk")],
        tabs=tabs(RISK),
        appeals=appeals.items,
        more_appeals=bool(appeals.next),
        names=await console.names_of(db, viewer, [a.party for a in appeals.items]),
        query=query,
        raised=found.items,
        next=found.next,
        facets=[words_facet("tier", "Tier", TIERS), words_facet("side", "Who", SIDES)],
        waiting=await quarantined(db, viewer),
    )


@get("/console/risk/appeals", permit="console.risk", include_in_schema=False)
async def appeals(request: Call) -> Response[str]:
    query = read_list(request, APPEALS_SPEC)
    found = await risk.open_appeals(
        request.db, request.viewer, request.cursors, limit=query.size, cursor=cursor_of(query)
    )
    return await desk(
        request,
        "risk_appeals.html",
        here=RISK,
        crumbs=[Crumb("Risk", RISK), Crumb("Appeals")],
        tabs=tabs(APPEALS),
        query=query,
        appeals=found.items,
        next=found.next,
        names=await console.names_of(request.db, request.viewer, [a.party for a in found.items]),
    )


@get("/console/risk/rings", permit="console.risk", include_in_schema=False)
async def rings(request: Call) -> Response[str]:
    query = read_list(request, RINGS_SPEC)
    found = await shared_marks(
        request.db,
        request.viewer,
        request.cursors,
        kinds=known(query, "kind", MARKS),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "risk_rings.html",
        here=RISK,
        crumbs=[Crumb("Risk", RISK), Crumb("Rings")],
        tabs=tabs(RINGS),
        query=query,
        rows=found.items,
        next=found.next,
        facets=[words_facet("kind", "What is shared", MARKS)],
        knows_browsers=request.settings.knows_browsers,
    )


@get("/console/risk/rings/{mark:str}", permit="console.risk", include_in_schema=False)
async def ring(request: Call, mark: FromPath[str]) -> Response[str]:
    query = read_list(request, ListSpec(f"{RINGS}/{mark}", sizes=SIZES))
    found = await mark_file(
        request.db, request.viewer, request.cursors, mark, limit=query.size, cursor=cursor_of(query)
    )
    return await desk(
        request,
        "risk_ring.html",
        here=RISK,
        crumbs=[Crumb("Risk", RISK), Crumb("Rings", RINGS), Crumb("One of them")],
        tabs=tabs(RINGS),
        query=query,
        found=found,
        next=found.next,
    )


@get("/console/risk/blocks", permit="console.risk", include_in_schema=False)
async def blocked(request: Call) -> Response[str]:
    return await _blocks(request, EMPTY)


async def _blocks(request: Call, given: Mapping[str, str], problem: Problem | None = None) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    query = read_list(request, BLOCKS_SPEC)
    found = await risk.blocks(
        request.db, request.viewer, request.cursors, limit=query.size, cursor=cursor_of(query)
    )
    return await desk(
        request,
        "risk_blocks.html",
        status=form_status(problem) if problem else 200,
        here=RISK,
        crumbs=[Crumb("Risk", RISK), Crumb("Blocked")],
        tabs=tabs(BLOCKS),
        query=query,
        blocks=found.items,
        next=found.next,
        given=given,
        errors=errors,
        alert=alert,
    )


@get("/console/risk/{side:str}/{party_id:uuid}", permit="console.risk", include_in_schema=False)
async def one(request: Call, side: FromPath[str], party_id: FromPath[UUID]) -> Response[str]:
    version = request.query_params.get("rules") or None
    found = await party_file(request.db, request.viewer, f"{side}:{party_id}", version)
    actors = [one.decision.actor for one in found.replayed]
    return await desk(
        request,
        "risk_party.html",
        here=RISK,
        crumbs=[Crumb("Risk", RISK), Crumb(found.name)],
        found=found,
        path=f"{RISK}/{side}/{party_id}",
        version=version or found.now.standing.rules,
        names=await console.names_of(request.db, request.viewer, [a for a in actors if a != "rules"]),
        tiers=[(tier, TIER_WORDS[risk.Tier(tier)]) for tier in found.steps],
        series=[Series("Points", [one.points for one in found.chart])],
        labels=[one.day for one in found.chart],
        drawing=ring_drawing(found.ring),
        emails={one.party: one.email for one in found.ring.accounts},
    )


@post(
    "/console/risk/{side:str}/{party_id:uuid}/{act:str}",
    permit="console.risk_decide",
    include_in_schema=False,
)
async def act(
    request: Call, side: FromPath[str], party_id: FromPath[UUID], act: FromPath[str]
) -> Response[Any]:
    fields, party, path = await request.fields(), f"{side}:{party_id}", f"{RISK}/{side}/{party_id}"
    because = fields.get("because", "")
    try:
        if act == "tier":
            await risk.set_tier(request.db, request.viewer, party, fields.get("tier", ""), because)
            words = "Done. They get a mail with your reason."
        elif act in ("ban", "lift"):
            await risk.ask_ban(request.db, request.viewer, party, because, lift=act == "lift")
            words = "Asked. It happens when a second person approves it."
        else:
            raise NotFound()
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, path, said=refusal(problem))
    return see_other(request, path, said=("good", words))


@post("/console/risk/appeals/{appeal_id:uuid}", permit="console.risk_decide", include_in_schema=False)
async def answer(request: Call, appeal_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    act, text = fields.get("act", ""), fields.get("answer", "")
    try:
        if act == "ask":
            await risk.ask_in_appeal(request.db, request.viewer, appeal_id, text)
            words = "Sent. They get a mail and can answer here."
        elif act in ("grant", "refuse"):
            grant = act == "grant"
            await risk.decide_appeal(request.db, request.viewer, appeal_id, grant=grant, answer=text)
            words = "Answered. They get a mail."
        else:
            raise NotFound()
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, RISK, said=refusal(problem))
    return see_other(request, RISK, said=("good", words))


@post("/console/risk/batches/{batch_id:uuid}", permit="console.risk_decide", include_in_schema=False)
async def looked_at(request: Call, batch_id: FromPath[UUID]) -> Response[Any]:
    good = (await request.fields()).get("act") == "good"
    count = await settle_quarantine(request.db, request.viewer, batch_id, good=good)
    words = "are for sale now" if good else "are never sold"
    return see_other(request, RISK, said=("good", f"{count} keys {words}."))


@post("/console/risk/blocks", permit="console.risk_decide", include_in_schema=False)
async def block(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "").strip() for name in EMPTY}
    db, viewer = request.db, request.viewer
    try:
        if fields.get("act") == "remove":
            await risk.unblock(db, viewer, kind=given["kind"], value=given["value"])
            return see_other(request, BLOCKS, said=("good", "Taken out."))
        days = given["days"]
        number = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else (0 if days else None)
        value = given["value"]
        if given["kind"] == "card" and value and not is_mark("card", value):
            value = mark_of(request.settings, "card", value)  # the provider's fingerprint is not kept
        await risk.block(db, viewer, kind=given["kind"], value=value, reason=given["reason"], days=number)
    except NotFound:
        raise
    except Problem as problem:
        return await _blocks(request, given, problem)
    return see_other(request, BLOCKS, said=("good", "It holds from now on."))


routes = [home, appeals, rings, ring, blocked, one, act, answer, looked_at, block]
