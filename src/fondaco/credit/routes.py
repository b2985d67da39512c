"""The API of credit: what a buyer owes, and the desk's list and policy."""

from typing import Annotated, Literal

from litestar import delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.credit.desk import CreditPage, CreditSum, credit_sums, list_credits
from fondaco.credit.owing import Owing, own_credit, pay_now
from fondaco.credit.terms import CreditPolicy, CreditTerms, end_policy, policies, set_policy

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Search = Annotated[
    str,
    QueryParameter(max_length=100, description="Part of the buyer's address or of the purchase's number."),
]
State = Literal["OWED", "PAID", "WRITTEN_OFF"]
States = Annotated[
    list[State] | None, QueryParameter(name="state", description="Only those in one of these states.")
]
Currency = Annotated[FromPath[str], PathParameter(pattern="^[A-Z]{3}$")]


@get("/api/v1/credit", permit="orders.own", summary="What you owe for goods bought on credit")
async def get_credit(request: Call) -> Owing:
    return await own_credit(request.db, request.viewer)


@post(
    "/api/v1/credit/pay",
    permit="orders.own",
    status_code=200,
    summary="Pay what you owe from your wallet",
    description="As far as the wallet goes, the soonest due first. Money you put in pays by itself.",
)
async def pay_credit(request: Call) -> Owing:
    return await pay_now(request.db, request.viewer)


@get("/api/v1/console/credits", permit="console.credit", summary="Purchases on credit, newest first")
async def get_credits(
    request: Call,
    *,
    q: Search = "",
    state_: States = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> CreditPage:
    return await list_credits(
        request.db, request.viewer, request.cursors, q=q, states=state_ or [], limit=limit, cursor=cursor
    )


@get("/api/v1/console/credit", permit="console.credit", summary="What all buyers owe, and how old it is")
async def get_credit_sums(request: Call) -> Page[CreditSum]:
    return Page(await credit_sums(request.db, request.viewer))


@get("/api/v1/console/credit/policies", permit="console.credit", summary="The policies in force")
async def get_policies(request: Call) -> Page[CreditPolicy]:
    return Page(await policies(request.db, request.viewer))


@put(
    "/api/v1/console/credit/policies",
    permit="console.credit_policy",
    summary="Give credit on these terms from now on",
)
async def put_policy(request: Call, data: JSONBody[CreditTerms]) -> Page[CreditPolicy]:
    await set_policy(request.db, request.viewer, data)
    return Page(await policies(request.db, request.viewer))


@delete(
    "/api/v1/console/credit/policies/{currency:str}",
    permit="console.credit_policy",
    summary="Give no more credit in a currency",
)
async def delete_policy(request: Call, currency: Currency) -> None:
    await end_policy(request.db, request.viewer, currency)


routes = [get_credit, pay_credit, get_credits, get_credit_sums, get_policies, put_policy, delete_policy]
