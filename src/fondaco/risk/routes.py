"""The API of standings: one's own with an appeal, and the staff's desk."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import risk
from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.risk.desk import PartyFile, Raised, party_file, raised
from fondaco.risk.model import Appeal, Forecast
from fondaco.risk.rings import MarkFile, SharedMark, mark_file, shared_marks

Side = Literal["user", "seller"]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Words = Annotated[str, Meta(min_length=3, max_length=500)]


class NewAppeal(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A word against a decision."""

    text: Words


class TierChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A tier to put somebody into, one step of the machine."""

    tier: Annotated[str, Meta(max_length=20, description="NORMAL, WARNING, AT_RISK or RESTRICTED.")]
    because: Annotated[Words, Meta(description="They read it.")]


class BanRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A ban, or with `lift` its end, asked for; somebody else decides."""

    because: Words
    lift: bool = False


class MoreWords(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """More in an open appeal."""

    text: Words


class AppealAnswer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What becomes of an appeal."""

    grant: bool
    answer: Annotated[Words, Meta(description="They read it.")]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits for a second person."""

    approval_id: UUID


@get("/api/v1/standing", permit="account.own", summary="Where you stand, why, and what it means")
async def my_standing(request: Call) -> Forecast:
    return await risk.my_standing(request.db, request.viewer, "user")


@post("/api/v1/standing/appeal", permit="account.own", summary="Appeal against where you stand")
async def my_appeal(request: Call, data: JSONBody[NewAppeal]) -> Forecast:
    await risk.appeal(request.db, request.viewer, "user", data.text)
    return await risk.my_standing(request.db, request.viewer, "user")


@get(
    "/api/v1/seller/standing", permit="balance.read", summary="Where the store stands, why, and what it means"
)
async def store_standing(request: Call) -> Forecast:
    return await risk.my_standing(request.db, request.viewer, "seller")


@post("/api/v1/seller/standing/appeal", permit="store.edit", summary="Appeal against where the store stands")
async def store_appeal(request: Call, data: JSONBody[NewAppeal]) -> Forecast:
    await risk.appeal(request.db, request.viewer, "seller", data.text)
    return await risk.my_standing(request.db, request.viewer, "seller")


@post("/api/v1/standing/appeal/words", permit="account.own", summary="Say more in one's open appeal")
async def add_to_my_appeal(request: Call, data: JSONBody[MoreWords]) -> Forecast:
    await risk.add_to_appeal(request.db, request.viewer, "user", data.text)
    return await risk.my_standing(request.db, request.viewer, "user")


@post("/api/v1/seller/standing/appeal/words", permit="store.edit", summary="Say more in the store's appeal")
async def add_to_store_appeal(request: Call, data: JSONBody[MoreWords]) -> Forecast:
    await risk.add_to_appeal(request.db, request.viewer, "seller", data.text)
    return await risk.my_standing(request.db, request.viewer, "seller")


@get("/api/v1/console/risk/standings", permit="console.risk", summary="Who is not in the tier NORMAL")
async def list_raised(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> Page[Raised]:
    return await raised(request.db, request.viewer, request.cursors, limit=limit, cursor=cursor)


@get("/api/v1/console/risk/rings", permit="console.risk", summary="Cards and browsers of several accounts")
async def list_rings(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> Page[SharedMark]:
    return await shared_marks(request.db, request.viewer, request.cursors, limit=limit, cursor=cursor)


@get("/api/v1/console/risk/rings/{mark:str}", permit="console.risk", summary="One of them with its accounts")
async def one_ring(
    request: Call, mark: FromPath[str], limit: Limit = 50, cursor: PageCursor = None
) -> MarkFile:
    return await mark_file(request.db, request.viewer, request.cursors, mark, limit=limit, cursor=cursor)


@get("/api/v1/console/risk/appeals", permit="console.risk", summary="Appeals that wait, by deadline")
async def list_appeals(request: Call, limit: Limit = 50, cursor: PageCursor = None) -> Page[Appeal]:
    return await risk.open_appeals(request.db, request.viewer, request.cursors, limit=limit, cursor=cursor)


@get(
    "/api/v1/console/risk/parties/{side:str}/{party_id:uuid}",
    permit="console.risk",
    summary="Everything known about one party, with past decisions replayed",
    description="`side`: user for a buyer, seller for a store.",
)
async def one_party(request: Call, side: FromPath[str], party_id: FromPath[UUID]) -> PartyFile:
    return await party_file(request.db, request.viewer, f"{side}:{party_id}")


@post(
    "/api/v1/console/risk/parties/{side:str}/{party_id:uuid}/tier",
    permit="console.risk_decide",
    status_code=200,
    summary="Put somebody into a tier",
)
async def set_tier(
    request: Call, side: FromPath[str], party_id: FromPath[UUID], data: JSONBody[TierChange]
) -> PartyFile:
    party = f"{side}:{party_id}"
    await risk.set_tier(request.db, request.viewer, party, data.tier, data.because)
    return await party_file(request.db, request.viewer, party)


@post(
    "/api/v1/console/risk/parties/{side:str}/{party_id:uuid}/ban",
    permit="console.risk_decide",
    summary="Ask for a ban, or for its end; somebody else decides",
)
async def ask_ban(
    request: Call, side: FromPath[str], party_id: FromPath[UUID], data: JSONBody[BanRequest]
) -> Asked:
    party = f"{side}:{party_id}"
    made = await risk.ask_ban(request.db, request.viewer, party, data.because, lift=data.lift)
    return Asked(approval_id=made)


@post(
    "/api/v1/console/risk/appeals/{appeal_id:uuid}",
    permit="console.risk_decide",
    status_code=200,
    summary="Answer an appeal",
    description="Granted, the tier goes down one step. A ban is ended by two people instead.",
)
async def answer_appeal(
    request: Call, appeal_id: FromPath[UUID], data: JSONBody[AppealAnswer]
) -> Page[Appeal]:
    await risk.decide_appeal(request.db, request.viewer, appeal_id, grant=data.grant, answer=data.answer)
    return await risk.open_appeals(request.db, request.viewer, request.cursors)


@post(
    "/api/v1/console/risk/appeals/{appeal_id:uuid}/words",
    permit="console.risk_decide",
    status_code=204,
    summary="Ask whoever appealed",
)
async def ask_in_appeal(request: Call, appeal_id: FromPath[UUID], data: JSONBody[MoreWords]) -> None:
    await risk.ask_in_appeal(request.db, request.viewer, appeal_id, data.text)


routes = [
    my_standing,
    my_appeal,
    add_to_my_appeal,
    store_standing,
    store_appeal,
    add_to_store_appeal,
    list_raised,
    list_rings,
    one_ring,
    list_appeals,
    one_party,
    set_tier,
    ask_ban,
    answer_appeal,
    ask_in_appeal,
]
