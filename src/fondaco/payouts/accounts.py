"""A seller's account at the provider: made once, its owner sent there to answer questions, its state read
from the fetched account and from nothing else."""

from datetime import timedelta
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_connect import AccountFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.payouts.model import PayoutAccount, ProviderAway
from fondaco.settings import Settings

log = structlog.get_logger()
KEY_LIVES = timedelta(hours=23)  # the provider forgets keys after 24 hours
GONE = ("account_invalid", "resource_missing")
PAGE = "/seller/payout-account"
NO_ACCOUNT = PayoutAccount(
    state="NONE",
    provider_id=None,
    country="",
    currently_due=[],
    past_due=[],
    disabled_reason=None,
    checked_at=None,
)
_COLUMNS = "state, provider_id, country, currently_due, past_due, disabled_reason, checked_at"


class AccountRefused(Problem):
    """The payment provider did not open a payout account for this store."""

    status = 409
    code = "account_refused"


async def my_account(db: Database, viewer: Viewer) -> PayoutAccount:
    """The payout account of the viewer's store; state NONE when it has none."""
    row = await db.fetchrow(
        viewer.as_seller,
        f"SELECT {_COLUMNS} FROM payouts.account WHERE seller_id = $1 AND state <> 'CLOSED'",
        viewer.seller(),
    )
    return account_of(row) if row else NO_ACCOUNT


def account_of(row: Record) -> PayoutAccount:
    return PayoutAccount(**{name: row[name] for name in PayoutAccount.__struct_fields__})


async def connect(db: Database, gateway: StripeGateway, settings: Settings, viewer: Viewer) -> str:
    """The provider's address where the store's owner sets up, or changes, where the money goes. The account
    is made first when there is none. Raises AccountRefused, ProviderAway."""
    row = await _mine(db, viewer)
    provider_id: str = row["provider_id"] or await _make(db, gateway, row)
    try:
        return await gateway.create_account_link(
            provider_id,
            return_url=f"{settings.base_url}{PAGE}/back",
            refresh_url=f"{settings.base_url}{PAGE}/again",
        )
    except ProviderUnknown:
        raise ProviderAway() from None
    except ProviderRefused as error:
        if error.code in GONE:
            await _close(db, provider_id, "the provider no longer knows it")
        raise AccountRefused() from None


async def _mine(db: Database, viewer: Viewer) -> Record:
    """The store's live account row; a fresh one is written (and committed) when there is none, or when the
    provider has forgotten the key of a call that never answered."""

    async def work(conn: Connection) -> Record:
        seller = await conn.fetchrow(
            "SELECT id, country, support_email FROM sellers.seller WHERE id = $1 FOR NO KEY UPDATE",
            viewer.seller(),
        )
        if seller is None:
            raise NotFound()
        await conn.execute(
            """UPDATE payouts.account SET state = 'CLOSED', changed_at = now()
               WHERE seller_id = $1 AND state = 'NONE' AND created_at < now() - $2::interval""",
            seller["id"],
            KEY_LIVES,
        )
        row = await conn.fetchrow(
            "SELECT * FROM payouts.account WHERE seller_id = $1 AND state <> 'CLOSED'", seller["id"]
        )
        if row is not None:
            return row
        made = await conn.fetchrow(
            """INSERT INTO payouts.account (id, seller_id, state, country, email)
               VALUES ($1, $2, 'NONE', $3, $4) RETURNING *""",
            uuid7(),
            seller["id"],
            seller["country"],
            seller["support_email"],
        )
        assert made
        await audit.record(conn, "payout_account.begun", f"seller:{seller['id']}", viewer.actor)
        return made

    return await db.run(SYSTEM, work)


async def _make(db: Database, gateway: StripeGateway, row: Record) -> str:
    try:
        facts = await gateway.create_account(
            row["seller_id"], country=row["country"], email=row["email"], key=f"account:{row['id']}"
        )
    except ProviderRefused as error:
        await _give_up(db, row["id"], error.code)
        raise AccountRefused(f"The payment provider says: {error.message}") from None
    except ProviderUnknown as error:
        if error.burnt:
            await _give_up(db, row["id"], "a failure is kept under its key")
        raise ProviderAway() from None

    async def work(conn: Connection) -> None:
        await conn.execute(
            """UPDATE payouts.account SET state = 'PENDING', provider_id = $2, changed_at = now()
               WHERE id = $1 AND state = 'NONE'""",
            row["id"],
            facts.id,
        )
        await note_account(conn, facts)

    await db.run(SYSTEM, work)
    return facts.id


async def _give_up(db: Database, account_id: UUID, why: str) -> None:
    log.warning("payout_account.refused", account=str(account_id), why=why)
    await db.execute(
        SYSTEM,
        """UPDATE payouts.account SET state = 'CLOSED', disabled_reason = $2, changed_at = now()
           WHERE id = $1 AND state = 'NONE'""",
        account_id,
        why,
    )


def state_of(before: str, facts: AccountFacts) -> str:
    """What an account is, by what the provider says of it now."""
    whole = facts.details_submitted and facts.transfers_active and facts.payouts_enabled
    if whole and not facts.past_due and not facts.disabled_reason:
        return "ACTIVE"
    looked_at = (facts.disabled_reason or "").endswith("pending_verification")
    young = before in ("NONE", "PENDING")
    if not facts.past_due and (
        looked_at or (young and not (facts.disabled_reason or "").startswith("rejected"))
    ):
        return "RESTRICTED" if before == "ACTIVE" else "PENDING"
    return "PENDING" if young and not facts.details_submitted else "RESTRICTED"


async def note_account(conn: Connection, facts: AccountFacts) -> bool:
    """Follow what the provider says of an account; False when it is none of ours."""
    row = await conn.fetchrow("SELECT * FROM payouts.account WHERE provider_id = $1 FOR UPDATE", facts.id)
    if row is None:
        return False
    if row["state"] == "CLOSED":
        return True
    state = state_of(row["state"], facts)
    await conn.execute(
        """UPDATE payouts.account SET state = $2, details_submitted = $3, payouts_enabled = $4,
             transfers_active = $5, currently_due = $6, past_due = $7, disabled_reason = $8, checked_at =
               now(),
             changed_at = CASE WHEN state = $2 THEN changed_at ELSE now() END WHERE id = $1""",
        row["id"],
        state,
        facts.details_submitted,
        facts.payouts_enabled,
        facts.transfers_active,
        list(facts.currently_due),
        list(facts.past_due),
        facts.disabled_reason,
    )
    if state != row["state"]:
        data = {"before": row["state"], "after": state, "reason": facts.disabled_reason}
        kind = f"payout_account.{state.lower()}"
        await audit.record(conn, kind, f"seller:{row['seller_id']}", "stripe", data)
    return True


async def close_account(conn: Connection, provider_id: str, why: str) -> bool:
    """The provider closed the account, or its owner disconnected the marketplace. False: none of ours."""
    row = await conn.fetchrow("SELECT * FROM payouts.account WHERE provider_id = $1 FOR UPDATE", provider_id)
    if row is None:
        return False
    if row["state"] != "CLOSED":
        await conn.execute(
            """UPDATE payouts.account SET state = 'CLOSED', disabled_reason = $2, checked_at = now(),
                 changed_at = now() WHERE id = $1""",
            row["id"],
            why,
        )
        data = {"before": row["state"], "because": why}
        await audit.record(conn, "payout_account.closed", f"seller:{row['seller_id']}", "stripe", data)
    return True


async def _close(db: Database, provider_id: str, why: str) -> None:
    async def work(conn: Connection) -> None:
        await close_account(conn, provider_id, why)

    await db.run(SYSTEM, work)


async def refresh(db: Database, gateway: StripeGateway, provider_id: str) -> None:
    """Ask the provider how an account stands and follow it. Raises ProviderAway."""
    try:
        facts = await gateway.retrieve_account(provider_id)
    except ProviderUnknown:
        raise ProviderAway() from None
    except ProviderRefused as error:
        if error.code not in GONE:
            raise ProviderAway() from None
        await _close(db, provider_id, "the provider no longer knows it")
        return

    async def work(conn: Connection) -> None:
        await note_account(conn, facts)

    await db.run(SYSTEM, work)


async def check_accounts(db: Database, gateway: StripeGateway) -> int:
    """Ask about accounts whose events may have been missed: unfinished ones hourly, others daily."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT provider_id FROM payouts.account WHERE provider_id IS NOT NULL AND state <> 'CLOSED'
             AND coalesce(checked_at, created_at)
               < now() - CASE state WHEN 'ACTIVE' THEN interval '1 day' ELSE interval '1 hour' END
           ORDER BY checked_at NULLS FIRST LIMIT 50""",
    )
    for row in rows:
        try:
            await refresh(db, gateway, row["provider_id"])
        except ProviderAway:
            break
    return len(rows)
