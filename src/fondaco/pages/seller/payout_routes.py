"""A store's payouts: the list, one with its lines, a withdrawal; and the account the money goes to."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import payouts
from fondaco.core.ids import parse_uuid, uuid7
from fondaco.core.money import BadAmount, Money, parse_amount
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb, format_money
from fondaco.pages.seller.parts import HOME, can, desk, read_query
from fondaco.pages.states import state_mark
from fondaco.payouts import PAYOUT_STATES, Bucket

LIST = f"{HOME}/payouts"
ACCOUNT = f"{HOME}/payout-account"
WITHDRAW = f"{LIST}/withdraw"
SPEC = ListSpec(LIST, facets=("state",), sizes=(25, 50, 100))
# What the provider asks for, by the beginning of its name for it.
ASKED: tuple[tuple[str, str], ...] = (
    ("external_account", "A bank account for payouts"),
    ("individual.verification", "A picture of an identity document"),
    ("individual.id_number", "An identity or tax number"),
    ("individual.dob", "Date of birth"),
    ("individual.address", "Home address"),
    ("individual.first_name", "First and last name"),
    ("individual.last_name", "First and last name"),
    ("individual", "Personal details"),
    ("company", "Details of the company"),
    ("tos_acceptance", "Acceptance of the provider's terms"),
    ("business_type", "Whether you sell as a person or a company"),
    ("business_profile", "What you sell"),
)


def asked_words(names: list[str]) -> list[str]:
    """What the provider asks for, in words, each once."""
    found: dict[str, None] = {}
    for name in names:
        words = next((w for start, w in ASKED if name.startswith(start)), name.replace("_", " "))
        found[words] = None
    return list(found)


@get(LIST, permit="balance.read", include_in_schema=False)
async def payout_list(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    chosen = [s for s in query.values("state") if s in PAYOUT_STATES]
    found = await payouts.my_payouts(
        request.db,
        request.viewer,
        request.cursors,
        states=chosen,
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    states = [FacetValue(s, state_mark(s, "payout").words) for s in PAYOUT_STATES]
    return await desk(
        request,
        "seller/payouts.html",
        here=LIST,
        crumbs=[Crumb("Payouts")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        facets=[Facet("state", "State", states)],
        may_withdraw=can(request.viewer, "payouts.request"),
    )


@get(f"{LIST}/{{payout_id:uuid}}", permit="balance.read", include_in_schema=False)
async def one_payout(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    found = await payouts.my_payout(request.db, request.viewer, payout_id)
    amount = format_money(found.payout.amount, found.payout.currency)
    return await desk(
        request,
        "seller/payout.html",
        here=LIST,
        crumbs=[Crumb("Payouts", LIST), Crumb(amount)],
        payout=found.payout,
        items=found.items,
        items_total=found.items_total,
    )


@get(WITHDRAW, permit="payouts.request", include_in_schema=False)
async def ask_withdraw(request: Call) -> Response[Any]:
    return await _form(request, request.query_params.get("currency", ""))


async def _bucket(request: Call, currency: str) -> tuple[Bucket, payouts.Standing]:
    standing = await payouts.standing(request.db, request.settings, request.viewer)
    wanted = currency or request.settings.currency
    for bucket in standing.buckets:
        if bucket.currency == wanted:
            return bucket, standing
    raise NotFound()


async def _form(
    request: Call, currency: str, given: str | None = None, problem: Problem | None = None
) -> Response[Any]:
    bucket, standing = await _bucket(request, currency)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    most = max(0, bucket.available - bucket.debt)
    if given is None:
        given = str(Money(most, bucket.currency).decimal()) if most else ""
    return await desk(
        request,
        "seller/withdraw.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=[Crumb("Payouts", LIST), Crumb("Withdraw")],
        bucket=bucket,
        most=most,
        minimum=standing.minimum,
        given=given,
        errors=errors,
        alert=alert,
    )


@post(WITHDRAW, permit="payouts.request", include_in_schema=False)
async def withdraw(request: Call) -> Response[Any]:
    """First asked for, then confirmed: the confirmation carries the payout's own id, so that sending it twice
    is one payout."""
    fields = await request.fields()
    currency, text = fields.get("currency", ""), fields.get("amount", "").strip()
    bucket, _ = await _bucket(request, currency)
    try:
        payout_id = parse_uuid(fields.get("payout_id", ""))
        amount = _typed(text, bucket)
        if payout_id is None:
            _check(amount, bucket)
            return await _confirm(request, bucket, amount, text)
        await payouts.withdraw(
            request.db, request.settings, request.viewer, payout_id, amount=amount, currency=bucket.currency
        )
    except Problem as problem:
        return await _form(request, bucket.currency, text, problem)
    said = ("good", "The payout is on its way to your payout account.")
    return see_other(request, f"{LIST}/{payout_id}", said=said)


def _typed(text: str, bucket: Bucket) -> int:
    try:
        return parse_amount(text, bucket.currency)
    except BadAmount as problem:
        raise Invalid(fields={"amount": problem.detail}) from None


def _check(amount: int, bucket: Bucket) -> None:
    """What would be refused anyway is said before anything is confirmed."""
    most = max(0, bucket.available - bucket.debt)
    if bucket.gates:
        raise payouts.PayoutsClosed([gate.code for gate in bucket.gates])
    if not 0 < amount <= most:
        raise Invalid(fields={"amount": f"At most {format_money(most, bucket.currency)} is available."})


async def _confirm(request: Call, bucket: Bucket, amount: int, text: str) -> Response[Any]:
    return await page(
        request,
        "layouts/confirm.html",
        heading=f"Pay out {format_money(amount, bucket.currency)}?",
        text="It goes to your payout account now, the oldest sales first, and from there to your bank. "
        "It cannot be called back.",
        action=WITHDRAW,
        fields=[("amount", text), ("currency", bucket.currency), ("payout_id", str(uuid7()))],
        confirm_label="Pay out",
        danger=False,
        back_href=f"{WITHDRAW}?currency={bucket.currency}",
    )


@get(ACCOUNT, permit="balance.read", include_in_schema=False)
async def account_page(request: Call) -> Response[Any]:
    found = await payouts.my_account(request.db, request.viewer)
    return await desk(
        request,
        "seller/payout_account.html",
        here=ACCOUNT,
        crumbs=[Crumb("Payout account")],
        payee=found,
        due=asked_words(found.currently_due),
        overdue=asked_words(found.past_due),
        may_connect=can(request.viewer, "store.connect"),
    )


@post(f"{ACCOUNT}/open", permit="store.connect", include_in_schema=False)
async def open_account(request: Call) -> Redirect:
    try:
        url = await payouts.connect(request.db, request.part(StripeGateway), request.settings, request.viewer)
    except Problem as problem:
        return see_other(request, ACCOUNT, said=("bad", problem.detail))
    return Redirect(url, status_code=303, headers={"Cache-Control": "no-store"})


@get(f"{ACCOUNT}/back", permit="balance.read", include_in_schema=False)
async def came_back(request: Call) -> Redirect:
    """Back from the provider's pages. What counts is what the provider says now, not that somebody came."""
    found = await payouts.my_account(request.db, request.viewer)
    if found.provider_id:
        try:
            await payouts.refresh(request.db, request.part(StripeGateway), found.provider_id)
        except payouts.ProviderAway as problem:
            return see_other(request, ACCOUNT, said=("wait", problem.detail))
    return see_other(request, ACCOUNT)


@get(f"{ACCOUNT}/again", permit="balance.read", include_in_schema=False)
async def link_over(request: Call) -> Redirect:
    return see_other(
        request, ACCOUNT, said=("wait", "That link was used or is too old. Open the payout account again.")
    )


routes = [
    payout_list,
    ask_withdraw,
    withdraw,
    one_payout,
    account_page,
    open_account,
    came_back,
    link_over,
]
