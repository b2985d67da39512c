"""The API of cases: the buyer's, the seller's, the staff's, and the key that signs evidence."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import cases
from fondaco.cases.model import Acting, Side
from fondaco.cases.packing import Pack
from fondaco.cases.reads import CaseDetail, CasePage, Outcomes
from fondaco.core.pagination import MAX_LIMIT
from fondaco.core.web import Call

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Search = Annotated[str, QueryParameter(max_length=100, description="Part of a case's or an order's number.")]
State = Literal["OPEN", "UNDER_REVIEW", "NEEDS_RESPONSE", "WON", "LOST", "CLOSED"]
States = Annotated[
    list[State] | None, QueryParameter(name="state", description="Only cases in one of these states.")
]
Words = Annotated[str, Meta(min_length=3, max_length=4000)]
Version = (
    Annotated[
        int, Meta(ge=1, le=2**31 - 1, description="The case's `version` as you saw it; refused if it moved.")
    ]
    | None
)
Amount = Annotated[int, Meta(ge=0, le=10**12, description="Minor units.")]


class NewCase(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is wrong with an order of yours."""

    order_id: UUID
    reason: Literal[
        "NOT_WORKING",
        "ALREADY_USED",
        "WRONG_ITEM",
        "WRONG_REGION",
        "NOT_AS_DESCRIBED",
        "NOT_RECEIVED",
        "OTHER",
    ]
    text: Words
    wish: Literal["REFUND", "PART", "REPLACEMENT"] = "REFUND"
    line_ids: Annotated[list[UUID], Meta(min_length=1, max_length=50)] | None = None
    """Without them the whole order."""


class Said(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something to say."""

    text: Words
    version: Version = None


class Seen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The case as it was seen."""

    version: Version = None


class Accepted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which offer is accepted."""

    offer_id: UUID
    version: Version = None


class NewOffer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the store offers."""

    kind: Literal["REFUND", "REPLACEMENT"] = "REFUND"
    amount: Amount = 0
    text: Words


class Question(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What one party is asked."""

    party: Literal["buyer", "seller"]
    text: Words
    version: Version = None


class Decision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a case is decided, and why; both parties read it."""

    outcome: Literal["SELLER", "BUYER", "SPLIT"]
    text: Words
    amounts: dict[UUID, Amount] | None = None
    """For SPLIT: what goes back of each line."""
    to: Literal["wallet", "source"] = "wallet"
    version: Version = None


class EvidenceKey(msgspec.Struct, frozen=True):
    """The key that signs evidence packs."""

    key_id: str
    public_key: Annotated[str, Meta(description="Ed25519, base64.")]


def acting(request: Call, side: Side) -> Acting:
    return Acting(side, request.viewer)


async def _list(
    request: Call,
    side: Side,
    *,
    q: str,
    states: list[State] | None,
    limit: int,
    cursor: str | None,
    sort: str = "new",
) -> CasePage:
    by = acting(request, side)
    return await cases.list_cases(
        request.db, by, request.cursors, q=q, states=states or [], sort=sort, limit=limit, cursor=cursor
    )


async def _read(request: Call, side: Side, case_id: UUID) -> CaseDetail:
    return await cases.read_case(request.db, acting(request, side), case_id)


def pack_answer(made: Pack) -> Response[bytes]:
    """A pack as a file."""
    headers = {
        "Content-Disposition": f'attachment; filename="{made.name}.json"',
        "Cache-Control": "no-store",
    }
    return Response(made.json, media_type="application/json", headers=headers)


# -- the buyer's
@post(
    "/api/v1/cases",
    permit="cases.own",
    summary="Open a case",
    description="The money of what it is about is frozen until the case is decided, settled or withdrawn.",
)
async def open_case(request: Call, data: JSONBody[NewCase]) -> CaseDetail:
    case_id = await cases.open_case(
        request.db,
        request.settings,
        request.viewer,
        data.order_id,
        reason=data.reason,
        text=data.text,
        wish=data.wish,
        line_ids=data.line_ids,
    )
    return await _read(request, "buyer", case_id)


@get("/api/v1/cases", permit="cases.own", summary="One's cases, newest first")
async def list_cases(
    request: Call, *, q: Search = "", state_: States = None, limit: Limit = 50, cursor: PageCursor = None
) -> CasePage:
    return await _list(request, "buyer", q=q, states=state_, limit=limit, cursor=cursor)


@get("/api/v1/cases/{case_id:uuid}", permit="cases.own", summary="One case")
async def get_case(request: Call, case_id: FromPath[UUID]) -> CaseDetail:
    return await _read(request, "buyer", case_id)


@post("/api/v1/cases/{case_id:uuid}/messages", permit="cases.own", summary="Write in a case")
async def write(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.write(request.db, acting(request, "buyer"), case_id, data.text)
    return await _read(request, "buyer", case_id)


@post("/api/v1/cases/{case_id:uuid}/answer", permit="cases.own", status_code=200, summary="Answer when asked")
async def answer(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.answer(request.db, acting(request, "buyer"), case_id, data.text, version=data.version)
    return await _read(request, "buyer", case_id)


@post(
    "/api/v1/cases/{case_id:uuid}/withdraw",
    permit="cases.own",
    status_code=200,
    summary="Withdraw a case",
    description="What was frozen is under protection again.",
)
async def withdraw(request: Call, case_id: FromPath[UUID], data: JSONBody[Seen]) -> CaseDetail:
    await cases.withdraw(request.db, request.viewer, case_id, version=data.version)
    return await _read(request, "buyer", case_id)


@post(
    "/api/v1/cases/{case_id:uuid}/offer/accept",
    permit="cases.own",
    status_code=200,
    summary="Accept the seller's offer",
    description="The money is given back at once, the rest is protected as before, and the case is closed.",
)
async def accept_offer(request: Call, case_id: FromPath[UUID], data: JSONBody[Accepted]) -> CaseDetail:
    await cases.accept_offer(
        request.db, request.viewer, case_id, offer_id=data.offer_id, version=data.version
    )
    return await _read(request, "buyer", case_id)


@post(
    "/api/v1/cases/{case_id:uuid}/offer/decline",
    permit="cases.own",
    status_code=200,
    summary="Decline the seller's offer",
)
async def decline_offer(request: Call, case_id: FromPath[UUID]) -> CaseDetail:
    await cases.decline_offer(request.db, request.viewer, case_id)
    return await _read(request, "buyer", case_id)


@post("/api/v1/cases/{case_id:uuid}/appeal", permit="cases.own", status_code=200, summary="Appeal")
async def appeal(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.appeal(request.db, acting(request, "buyer"), case_id, data.text)
    return await _read(request, "buyer", case_id)


@get(
    "/api/v1/cases/{case_id:uuid}/evidence",
    permit="cases.own",
    summary="The evidence pack",
    description="Signed JSON; `verify_evidence.py` checks it. What is the other party's own is left out.",
)
async def get_evidence(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return pack_answer(await cases.pack_for(request.db, request.settings, acting(request, "buyer"), case_id))


# -- the seller's
@get("/api/v1/seller/cases", permit="sales.read", summary="Cases about the store's sales")
async def list_store_cases(
    request: Call, *, q: Search = "", state_: States = None, limit: Limit = 50, cursor: PageCursor = None
) -> CasePage:
    return await _list(request, "seller", q=q, states=state_, limit=limit, cursor=cursor, sort="due")


@get("/api/v1/seller/cases/{case_id:uuid}", permit="sales.read", summary="One case about a sale")
async def get_store_case(request: Call, case_id: FromPath[UUID]) -> CaseDetail:
    return await _read(request, "seller", case_id)


@post("/api/v1/seller/cases/{case_id:uuid}/messages", permit="cases.answer", summary="Write to the buyer")
async def write_as_store(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.write(request.db, acting(request, "seller"), case_id, data.text)
    return await _read(request, "seller", case_id)


@post(
    "/api/v1/seller/cases/{case_id:uuid}/answer",
    permit="cases.answer",
    status_code=200,
    summary="Answer when the store is asked",
    description="Without an answer in time the case is lost.",
)
async def answer_as_store(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.answer(request.db, acting(request, "seller"), case_id, data.text, version=data.version)
    return await _read(request, "seller", case_id)


@post("/api/v1/seller/cases/{case_id:uuid}/offer", permit="cases.answer", summary="Offer to settle")
async def make_offer(request: Call, case_id: FromPath[UUID], data: JSONBody[NewOffer]) -> CaseDetail:
    await cases.offer(request.db, request.viewer, case_id, kind=data.kind, amount=data.amount, text=data.text)
    return await _read(request, "seller", case_id)


@delete("/api/v1/seller/cases/{case_id:uuid}/offer", permit="cases.answer", summary="Take the offer back")
async def take_back_offer(request: Call, case_id: FromPath[UUID]) -> None:
    await cases.take_back_offer(request.db, request.viewer, case_id)


@post("/api/v1/seller/cases/{case_id:uuid}/appeal", permit="cases.answer", status_code=200, summary="Appeal")
async def appeal_as_store(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.appeal(request.db, acting(request, "seller"), case_id, data.text)
    return await _read(request, "seller", case_id)


@get("/api/v1/seller/cases/{case_id:uuid}/evidence", permit="sales.read", summary="The evidence pack")
async def get_store_evidence(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return pack_answer(await cases.pack_for(request.db, request.settings, acting(request, "seller"), case_id))


# -- the staff's
@get("/api/v1/console/cases", permit="console.cases", summary="All cases, nearest deadline first")
async def list_all_cases(
    request: Call, *, q: Search = "", state_: States = None, limit: Limit = 50, cursor: PageCursor = None
) -> CasePage:
    return await _list(request, "staff", q=q, states=state_, limit=limit, cursor=cursor, sort="due")


@get("/api/v1/console/case-outcomes", permit="console.cases", summary="How cases of the last 90 days ended")
async def get_outcomes(request: Call) -> Outcomes:
    return await cases.outcomes(request.db, request.viewer)


@get("/api/v1/console/cases/{case_id:uuid}", permit="console.cases", summary="One case with everything")
async def get_any_case(request: Call, case_id: FromPath[UUID]) -> CaseDetail:
    return await _read(request, "staff", case_id)


@post(
    "/api/v1/console/cases/{case_id:uuid}/take",
    permit="console.case_work",
    status_code=200,
    summary="Work on a case",
)
async def take_case(request: Call, case_id: FromPath[UUID], data: JSONBody[Seen]) -> CaseDetail:
    await cases.take(request.db, request.viewer, case_id, version=data.version)
    return await _read(request, "staff", case_id)


@post(
    "/api/v1/console/cases/{case_id:uuid}/ask",
    permit="console.case_work",
    status_code=200,
    summary="Ask a party",
)
async def ask_party(request: Call, case_id: FromPath[UUID], data: JSONBody[Question]) -> CaseDetail:
    await cases.ask(
        request.db, request.viewer, case_id, party=data.party, text=data.text, version=data.version
    )
    return await _read(request, "staff", case_id)


@post("/api/v1/console/cases/{case_id:uuid}/messages", permit="console.case_work", summary="Write to both")
async def write_as_staff(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.write(request.db, acting(request, "staff"), case_id, data.text)
    return await _read(request, "staff", case_id)


@post("/api/v1/console/cases/{case_id:uuid}/notes", permit="console.case_work", summary="Note for the staff")
async def note_case(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.note(request.db, request.viewer, case_id, data.text)
    return await _read(request, "staff", case_id)


@post(
    "/api/v1/console/cases/{case_id:uuid}/decide",
    permit="console.case_decide",
    status_code=200,
    summary="Decide a case",
    description="Its money moves in the same step. Nobody decides a case of their own.",
)
async def decide_case(request: Call, case_id: FromPath[UUID], data: JSONBody[Decision]) -> CaseDetail:
    await cases.decide(
        request.db,
        request.viewer,
        case_id,
        outcome=data.outcome,
        text=data.text,
        amounts=data.amounts,
        to=data.to,
        version=data.version,
    )
    return await _read(request, "staff", case_id)


@post(
    "/api/v1/console/cases/{case_id:uuid}/close",
    permit="console.case_work",
    status_code=200,
    summary="Close a decided case",
)
async def close_case(request: Call, case_id: FromPath[UUID], data: JSONBody[Said]) -> CaseDetail:
    await cases.close(request.db, request.viewer, case_id, text=data.text, version=data.version)
    return await _read(request, "staff", case_id)


@get("/api/v1/console/cases/{case_id:uuid}/evidence", permit="console.cases", summary="The evidence pack")
async def get_whole_evidence(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return pack_answer(await cases.pack_for(request.db, request.settings, acting(request, "staff"), case_id))


@get("/api/v1/evidence/key", permit="public.see", summary="The key that signs evidence packs")
async def get_key(request: Call) -> EvidenceKey:
    key = cases.signing_key(request.settings)
    return EvidenceKey(cases.key_id(key), cases.public_key(key))


@get(
    "/api/v1/evidence/verifier",
    permit="public.see",
    summary="The program that checks evidence packs",
    media_type="text/x-python",
)
async def get_verifier(request: Call) -> Response[bytes]:
    headers = {"Content-Disposition": 'attachment; filename="verify_evidence.py"'}
    return Response(cases.verifier(), media_type="text/x-python", headers=headers)


routes = [
    open_case,
    list_cases,
    get_case,
    write,
    answer,
    withdraw,
    accept_offer,
    decline_offer,
    appeal,
    get_evidence,
    list_store_cases,
    get_store_case,
    write_as_store,
    answer_as_store,
    make_offer,
    take_back_offer,
    appeal_as_store,
    get_store_evidence,
    list_all_cases,
    get_outcomes,
    get_any_case,
    take_case,
    ask_party,
    write_as_staff,
    note_case,
    decide_case,
    close_case,
    get_whole_evidence,
    get_key,
    get_verifier,
]
