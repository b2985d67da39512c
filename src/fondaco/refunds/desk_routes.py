"""The API of finance's changes of balances."""

from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta

from fondaco import refunds
from fondaco.core.pagination import Page
from fondaco.core.web import Call
from fondaco.refunds import Adjustment, Change


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change."""

    done: Annotated[bool, Meta(description="False: a second person was asked; it happens when they approve.")]


@get(
    "/api/v1/console/adjustments",
    permit="console.adjust",
    summary="Changes of balances by finance, newest first",
)
async def list_adjustments(request: Call) -> Page[Adjustment]:
    return Page(await refunds.adjustments(request.db, request.viewer))


@post(
    "/api/v1/console/adjustments",
    permit="console.adjust",
    status_code=200,
    summary="Credit or debit a buyer's wallet or what a store may be paid",
    description="Above `goodwill_limit` a second person decides. Nothing goes below its floor.",
)
async def make_adjustment(request: Call, data: JSONBody[Change]) -> Changed:
    return Changed(done=await refunds.adjust(request.db, request.viewer, request.settings, data))


@post(
    "/api/v1/console/forfeits",
    permit="console.adjust",
    status_code=200,
    summary="Ask for money of a banned store to be forfeited; somebody else decides",
)
async def ask_forfeit(request: Call, data: JSONBody[Change]) -> Changed:
    await refunds.forfeit(request.db, request.viewer, data)
    return Changed(done=False)


routes = [list_adjustments, make_adjustment, ask_forfeit]
