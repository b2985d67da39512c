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
from fondaco.pages.console.parts import HOME, desk, refusal
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb
from fondaco.risk.desk import party_file, raised
from fondaco.risk.words import TIER_WORDS

RISK = f"{HOME}/risk"
EMPTY: dict[str, str] = {"kind": "domain", "value": "", "reason": "", "days": ""}


@get("/console/risk", permit="console.risk", include_in_schema=False)
async def home(request: Call) -> Response[str]:
    return await _home(request, EMPTY)


async def _home(request: Call, given: Mapping[str, str], problem: Problem | None = None) -> Response[str]:
    db, viewer = request.db, request.viewer
    appeals = await risk.open_appeals(db, viewer.as_staff)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "risk.html",
        status=form_status(problem) if problem else 200,
        here=RISK,
        crumbs=[Crumb("Risk")],
        appeals=appeals,
        names=await console.names_of(db, viewer, [a.party for a in appeals]),
        raised=await raised(db, viewer),
        waiting=await quarantined(db, viewer),
        blocks=await risk.blocks(db, viewer),
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
        series=[Series("Points", [points for _, points in found.chart])],
        labels=[day for day, _ in found.chart],
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
    try:
        await risk.decide_appeal(
            request.db,
            request.viewer,
            appeal_id,
            grant=fields.get("act") == "grant",
            answer=fields.get("answer", ""),
        )
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, RISK, said=refusal(problem))
    return see_other(request, RISK, said=("good", "Answered. They get a mail."))


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
            return see_other(request, RISK, said=("good", "No longer blocked."))
        days = given["days"]
        number = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else (0 if days else None)
        await risk.block(
            db, viewer, kind=given["kind"], value=given["value"], reason=given["reason"], days=number
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _home(request, given, problem)
    return see_other(request, RISK, said=("good", "Blocked from now on."))


routes = [home, one, act, answer, looked_at, block]
