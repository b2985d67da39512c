"""Fundings: the intent is a row first, then Stripe is asked, then the row says what came of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog

from fondaco import audit
from fondaco.core import failpoints
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, throttle
from fondaco.core.ids import uuid7
from fondaco.core.money import Money
from fondaco.core.problem import Invalid, TooMany
from fondaco.core.viewer import Viewer
from fondaco.integrations.stripe import CheckoutLine, StripeGateway
from fondaco.integrations.stripe_facts import PaymentFacts, ProviderRefused, ProviderUnknown
from fondaco.settings import Settings
from fondaco.wallets.gate import note_unpaid
from fondaco.wallets.model import Funding, PaymentRefused, PaymentUnavailable, Route
from fondaco.wallets.reads import COLUMNS, read_funding

log = structlog.get_logger()
TOP_UP_OPEN = timedelta(hours=1)
LEAST_OPEN = timedelta(minutes=35)  # Stripe wants 30 minutes at the call, which may be made again
TOP_UPS_PER_HOUR = 30
KEYS = 5  # so many keys of a funding's page may be burnt before it is given up as unknown
Closing = Literal["closed", "paid", "processing", "unknown"]


async def start_top_up(
    db: Database, gateway: StripeGateway, settings: Settings, viewer: Viewer, amount: int
) -> Funding:
    """Begin a wallet top-up of `amount` minor units in the marketplace's currency.

    Answers the funding with `session_url`, where it is paid. Raises Invalid outside the limits, TooMany,
    PaymentUnavailable when the provider does not answer (nothing was charged), PaymentRefused.
    """
    least, most = settings.top_up_min, settings.top_up_max
    if not least <= amount <= most:
        limits = [Money(limit, settings.currency).words() for limit in (least, most)]
        raise Invalid(fields={"amount": f"Between {limits[0]} and {limits[1]}."})
    user_id, funding_id = viewer.user(), uuid7()
    async with db.transaction(viewer.as_user) as conn:
        if wait := await throttle(conn, f"top_up:{user_id}", TOP_UPS_PER_HOUR, 3600):
            raise TooMany(retry_after=wait)
        await _insert(
            conn,
            viewer,
            funding_id,
            amount=amount,
            currency=settings.currency,
            expires_at=now() + TOP_UP_OPEN,
            lines=[CheckoutLine(f"Wallet top-up at {settings.marketplace_name}", 1, amount)],
        )
    return await open_session(db, gateway, settings, funding_id)


async def start_order_funding(  # noqa: PLR0917 - what a funding's row needs
    conn: Connection,
    viewer: Viewer,
    group_id: UUID,
    amount: int,
    currency: str,
    expires_at: datetime,
    lines: Sequence[CheckoutLine] | None = None,
    route: Route | None = None,
) -> UUID:
    """Write the funding of a card checkout in the caller's transaction; returns its id.

    After the commit call `open_session`. `lines` is what the payment page shows; its sum is `amount`.
    `route`: where the payment goes when it is not to the buyer's wallet.
    """
    shown = list(lines or [CheckoutLine("Your order", 1, amount)])
    if sum(line.quantity * line.unit_amount for line in shown) != amount:
        raise ValueError("the lines must sum to the amount")
    funding_id = uuid7()
    await _insert(
        conn,
        viewer,
        funding_id,
        amount=amount,
        currency=currency,
        expires_at=expires_at,
        lines=shown,
        group_id=group_id,
        route=route,
    )
    return funding_id


async def _insert(
    conn: Connection,
    viewer: Viewer,
    funding_id: UUID,
    *,
    amount: int,
    currency: str,
    expires_at: datetime,
    lines: Sequence[CheckoutLine],
    group_id: UUID | None = None,
    route: Route | None = None,
) -> None:
    purpose = "order" if group_id else "top_up"
    await conn.execute(
        """INSERT INTO wallets.funding
             (id, user_id, purpose, group_id, amount, currency, lines, state, expires_at, seller_id, account,
              passed_on, kept)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'CREATED', $8, $9, $10, $11, $12)""",
        funding_id,
        viewer.user(),
        purpose,
        group_id,
        amount,
        currency,
        msgspec.to_builtins(lines),
        expires_at,
        *((route.seller_id, route.account, route.passed_on, route.kept) if route else (None,) * 4),
    )
    data = {"purpose": purpose, "amount": amount, "currency": currency, "user_id": str(viewer.user())}
    if group_id:
        data["group_id"] = str(group_id)
    await audit.record(conn, "funding.started", f"funding:{funding_id}", viewer.actor, data)


async def open_session(db: Database, gateway: StripeGateway, settings: Settings, funding_id: UUID) -> Funding:
    """Make the payment page of a funding, or find the one that is there; harmless to repeat.

    Raises PaymentUnavailable when it is not known whether there is one (a sweeper asks again),
    PaymentRefused when the provider will not make one.
    """
    async with db.transaction(SYSTEM) as conn:
        row = await conn.fetchrow(
            f"""UPDATE wallets.funding SET called_at = now() WHERE id = $1 AND state = 'CREATED'
                RETURNING {COLUMNS}, lines, account, passed_on,
                  (SELECT u.email FROM identity.users u WHERE u.id = user_id) AS email""",
            funding_id,
        )
    if row is None:
        return await read_funding(db, SYSTEM, funding_id)
    try:
        if failpoints.armed:
            await failpoints.reached("pay.session.before_call")
        facts = await _create_once(gateway, settings, dict(row))
    except ProviderUnknown as error:
        log.warning("session.unknown", funding=str(funding_id), why=str(error))
        raise PaymentUnavailable() from error
    except ProviderRefused as error:
        log.warning("session.refused", funding=str(funding_id), code=error.code)
        await _refused(db, funding_id, late=row["expires_at"] < now())
        raise PaymentRefused() from error
    if failpoints.armed:
        await failpoints.reached("pay.session.after_call_before_store")
    async with db.transaction(SYSTEM) as conn:
        await conn.execute(
            """UPDATE wallets.funding SET state = 'PROCESSING', session_id = $2, session_url = $3
               WHERE id = $1 AND state = 'CREATED'""",
            funding_id,
            facts.session_id,
            facts.url,
        )
    return await read_funding(db, SYSTEM, funding_id)


async def _create_once(gateway: StripeGateway, settings: Settings, row: dict[str, Any]) -> PaymentFacts:
    """The page with the first key that is not burnt. The provider repeats a stored failure for a day; should
    a page exist behind it nobody ever learnt its address, so it is never paid and expires."""
    for attempt in range(1, KEYS):
        try:
            return await _create(gateway, settings, row, attempt)
        except ProviderUnknown as error:
            if not error.burnt:
                raise
            log.warning("session.key_burnt", funding=str(row["id"]), attempt=attempt)
    return await _create(gateway, settings, row, KEYS)


async def _create(
    gateway: StripeGateway, settings: Settings, row: dict[str, Any], attempt: int
) -> PaymentFacts:
    """Everything sent comes from the row, so that a repeated call says the same."""
    if row["purpose"] == "order":
        back = f"{settings.base_url}/orders/g/{row['group_id']}"
    else:
        back = f"{settings.base_url}/wallet/top-ups/{row['id']}"
    closes = max(row["expires_at"], row["created_at"] + LEAST_OPEN)
    return await gateway.create_checkout_session(
        funding_id=row["id"],
        user_id=row["user_id"],
        email=row["email"],
        currency=row["currency"],
        lines=msgspec.convert(row["lines"], list[CheckoutLine]),
        success_url=f"{back}?paid=1",
        cancel_url=f"{back}?paid=0",
        expires_at=int(closes.timestamp()),
        attempt=attempt,
        destination=row["account"],
        passed_on=row["passed_on"],
    )


async def _refused(db: Database, funding_id: UUID, *, late: bool) -> None:
    """No page will exist: failed, or expired when its time was over before the call."""
    state = "EXPIRED" if late else "FAILED"
    async with db.transaction(SYSTEM) as conn:
        moved = await conn.fetchval(
            """UPDATE wallets.funding SET state = $2, failure = $3
               WHERE id = $1 AND state = 'CREATED' RETURNING true""",
            funding_id,
            state,
            None if late else "The payment provider would not open this payment.",
        )
        if moved:
            await audit.record(conn, f"funding.{state.lower()}", f"funding:{funding_id}", "stripe")


async def close_funding(
    db: Database, gateway: StripeGateway, settings: Settings, funding_id: UUID
) -> Closing:
    """Make sure that a funding can no longer be paid, asking the provider.

    'closed': it cannot. 'paid' or 'processing': too late, the money is here or on its way and settles by
    itself. 'unknown': the provider did not say; ask again later and change nothing until then.
    """
    found = await read_funding(db, SYSTEM, funding_id)
    if found.state == "CREATED":
        if await _never_called(db, funding_id):
            return "closed"
        try:
            found = await open_session(db, gateway, settings, funding_id)
        except PaymentUnavailable:
            return "unknown"
        except PaymentRefused:
            return "closed"
    if found.state == "PROCESSING" and found.session_id:
        return await _close_session(db, gateway, found.session_id)
    return "closed" if found.state in ("FAILED", "EXPIRED", "CANCELED") else "paid"


async def _never_called(db: Database, funding_id: UUID) -> bool:
    """Cancels a funding for which the provider was never asked."""
    async with db.transaction(SYSTEM) as conn:
        canceled = await conn.fetchval(
            """UPDATE wallets.funding SET state = 'CANCELED'
               WHERE id = $1 AND state = 'CREATED' AND called_at IS NULL RETURNING true""",
            funding_id,
        )
        if canceled:
            await audit.record(conn, "funding.canceled", f"funding:{funding_id}", "system")
    return bool(canceled)


async def _close_session(db: Database, gateway: StripeGateway, session_id: str) -> Closing:
    try:
        facts = await gateway.expire_session(session_id)
    except (ProviderUnknown, ProviderRefused) as error:
        log.warning("session.not_closed", session=session_id, why=str(error))
        return "unknown"
    if facts.state == "open":
        return "unknown"
    if facts.state in ("paid", "processing"):
        return facts.state
    async with db.transaction(SYSTEM) as conn:
        await note_unpaid(conn, facts, gateway.livemode)
    return "closed"
