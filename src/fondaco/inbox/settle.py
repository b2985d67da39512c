"""Money that came in, and what it was for, in one transaction: for webhook, return page and sweeper alike."""

from uuid import UUID

import structlog

from fondaco import orders, wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.viewer import Viewer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import PaymentFacts, ProviderRefused, ProviderUnknown
from fondaco.wallets import Funding, Settled

log = structlog.get_logger()
WHY_BACK = {  # read by the buyer
    orders.PayOutcome.SOLD_OUT: "The payment arrived late and the last units were sold meanwhile",
    orders.PayOutcome.CANCELLED: "The order had been cancelled when the payment arrived",
    orders.PayOutcome.ALREADY: "The order was paid already",
}


async def settle_funding(conn: Connection, facts: PaymentFacts, livemode: bool) -> Settled:
    """Put a payment's money into the wallet and pay its order group from it, in the caller's transaction.

    When the group can no longer be paid (cancelled, sold out, paid otherwise) the money goes back to the
    card by itself. `livemode` is our own mode. Everything happens once, however often this is called.
    """
    settled = await wallets.settle(conn, facts, livemode)
    if settled.outcome != "succeeded" or settled.group_id is None or settled.funding_id is None:
        return settled
    if failpoints.armed:
        await failpoints.reached("settle.after_money_before_order", conn)
    outcome = await orders.pay_group(conn, settled.group_id, settled.funding_id)
    if outcome != orders.PayOutcome.DELIVERED:
        log.warning("order.not_paid", group=str(settled.group_id), outcome=str(outcome))
        await wallets.request_refund(
            conn, settled.funding_id, settled.amount, reason=WHY_BACK[outcome], actor="system"
        )
    return settled


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
