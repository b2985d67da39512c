"""Money that came in, and what it was for, in one transaction: for webhook, return page and sweeper alike."""

from uuid import UUID

import structlog

from fondaco import credit, destination, orders, wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.viewer import Viewer
from fondaco.inbox.model import SESSION_TYPES, of_no_interest
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import (
    PaymentFacts,
    ProviderRefused,
    ProviderUnknown,
    id_of,
    part,
    payment_of_intent,
    payment_of_session,
)
from fondaco.wallets import Funding, Settled

log = structlog.get_logger()
WHY_BACK = {  # read by the buyer
    orders.PayOutcome.SOLD_OUT: "The payment arrived late and the last units were sold meanwhile",
    orders.PayOutcome.CANCELLED: "The order had been cancelled when the payment arrived",
    orders.PayOutcome.ALREADY: "The order was paid already",
}
_WHY = "The order could not be delivered"


async def settle_funding(conn: Connection, facts: PaymentFacts, livemode: bool) -> Settled:
    """Put a payment's money into the wallet and pay its order group from it, in the caller's transaction.

    When the group can no longer be paid (cancelled, sold out, paid otherwise) the money goes back to the
    card by itself; in a wallet that is blocked it stays. `livemode` is our own mode. Everything happens
    once, however often this is called.
    """
    settled = await wallets.settle(conn, facts, livemode)
    if settled.outcome == "succeeded" and settled.group_id is None and settled.user_id:
        await credit.settle(conn, settled.user_id, settled.currency)
    if settled.outcome != "succeeded" or settled.group_id is None or settled.funding_id is None:
        return settled
    if failpoints.armed:
        await failpoints.reached("settle.after_money_before_order", conn)
    outcome = await orders.pay_group(conn, settled.group_id, settled.funding_id)
    if outcome != orders.PayOutcome.DELIVERED:
        log.warning("order.not_paid", group=str(settled.group_id), outcome=str(outcome))
        if await destination.give_back(conn, settled.funding_id, WHY_BACK.get(outcome, _WHY)):
            return settled
    if outcome in WHY_BACK:
        await wallets.request_refund(  # also from a blocked wallet: it is this payment's own money
            conn,
            settled.funding_id,
            settled.amount,
            reason=WHY_BACK[outcome],
            actor="system",
            even_at_risk=True,
        )
    return settled


def adds_nothing(row: Record, *, livemode: bool) -> bool:
    """Whether an event only says what is known and done: its payment is in our books to the last field, with
    its fee, so that asking the provider could have no effect. `row`: the event and, where there is one, the
    funding its object belongs to, its money here and its fee booked."""
    kind, account = row["type"], row["account"]
    if row["funding_id"] is None or of_no_interest(
        kind, account, livemode=row["livemode"], own_mode=livemode
    ):
        return False
    said = part(part(part(row["body"]).get("data")).get("object"))
    if kind == "charge.updated":
        return (id_of(said), id_of(said.get("payment_intent"))) == (row["charge_id"], row["intent_id"])
    if kind not in (*SESSION_TYPES, "payment_intent.succeeded"):
        return False
    facts = payment_of_session(said) if kind in SESSION_TYPES else payment_of_intent(said)
    session_id = row["session_id"] if kind in SESSION_TYPES else None
    total = row["amount"] if kind in SESSION_TYPES else None
    return (
        facts.paid
        and (row["passed_on"] is None or row["transfer_id"] is not None)
        and facts.mode == "payment"
        and facts.livemode == livemode
        and facts.funding_ref == str(row["funding_id"])
        and facts.user_ref == str(row["user_id"])
        and (facts.amount, facts.currency) == (row["amount"], row["currency"])
        and (facts.intent_id, facts.session_id) == (row["intent_id"], session_id)
        and facts.session_total == total
    )


async def settle_facts(db: Database, facts: PaymentFacts, livemode: bool) -> Settled:
    """`settle_funding` in a transaction of its own, again after a lost race."""

    async def work(conn: Connection) -> Settled:
        return await settle_funding(conn, facts, livemode)

    return await db.run(SYSTEM, work)


async def check_funding(db: Database, gateway: StripeGateway, funding_id: UUID) -> Settled | None:
    """Ask the provider how a funding stands and settle it; None when there is nothing to ask about.

    Raises ProviderUnknown when it does not answer, ProviderRefused when it knows no such session.
    """
    session_id = await db.fetchval(
        SYSTEM,
        """UPDATE wallets.funding SET checked_at = now() WHERE id = $1 AND session_id IS NOT NULL
           AND state IN ('PROCESSING', 'EXPIRED', 'FAILED', 'CANCELED') RETURNING session_id""",
        funding_id,
    )
    if session_id is None:
        return None
    return await settle_facts(db, await gateway.retrieve_session(session_id), gateway.livemode)


async def check_own_funding(
    db: Database, gateway: StripeGateway, viewer: Viewer, funding_id: UUID
) -> Funding:
    """For the page a buyer returns to: asks once and answers the viewer's funding as it stands now.

    Raises NotFound for others' fundings. When the provider does not answer, the state known so far is given.
    """
    found = await wallets.own_funding(db, viewer, funding_id)
    if found.state == "PROCESSING":
        try:
            await check_funding(db, gateway, funding_id)
        except (ProviderUnknown, ProviderRefused) as error:
            log.warning("funding.not_checked", funding=str(funding_id), why=str(error))
        found = await wallets.own_funding(db, viewer, funding_id)
    return found
