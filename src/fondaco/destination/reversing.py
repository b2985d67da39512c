"""Taking money back from a seller's account: written down, asked for, and what came of it; three commits. A
lost answer is resolved by looking at the transfer, not by asking for more."""

from datetime import timedelta
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core import failpoints
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Unavailable
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.ledger import dest_clearing_of, platform, post, seller_receivable_of

log = structlog.get_logger()
KEY_LIVES = timedelta(hours=23)  # the provider forgets keys after 24 hours
LEASE = timedelta(minutes=2)  # longer than a call with all its repetitions
BATCH = 50
_CLAIM = """UPDATE destination.reversal r SET state = 'SENDING', attempt = r.attempt + $3, key_burnt = false,
    called_at = CASE WHEN $3 = 1 THEN now() ELSE r.called_at END, checked_at = now()
  FROM wallets.funding f WHERE r.id = $1 AND r.state = $2 AND r.attempt = $4 AND f.id = r.funding_id
    AND f.transfer_id IS NOT NULL
  RETURNING r.*, f.transfer_id"""


async def send_reversal(db: Database, gateway: StripeGateway, reversal_id: UUID) -> None:
    """Ask for a requested reversal. Harmless to repeat: one sender gets it, with one key per attempt. One
    whose transfer is not known yet waits."""
    row = await db.fetchrow(SYSTEM, _CLAIM, reversal_id, "REQUESTED", 1, 0)
    if row is not None:
        await _call(db, gateway, row)


async def _call(db: Database, gateway: StripeGateway, row: Record) -> None:
    try:
        if failpoints.armed:
            await failpoints.reached("direct_reversal.before_call")
        facts = await gateway.create_reversal(
            row["transfer_id"], amount=row["amount"], key=f"direct:{row['id']}:{row['attempt']}"
        )
    except ProviderUnknown as error:
        log.warning("direct_reversal.unknown", reversal=str(row["id"]), why=str(error))
        await db.execute(
            SYSTEM,
            """UPDATE destination.reversal SET state = 'UNKNOWN', key_burnt = key_burnt OR $2
               WHERE id = $1 AND state = 'SENDING'""",
            row["id"],
            error.burnt,
        )
        return
    except ProviderRefused as error:
        # Refused for good; but an earlier attempt may have gone through unseen, so look before giving up.
        if not await _find(db, gateway, row):
            await _end(db, row, "OWED", None, f"The account could not give it back ({error.code}).")
        return
    if failpoints.armed:
        await failpoints.reached("direct_reversal.after_call_before_store")
    await _end(db, row, "DONE", facts.id, None)


async def _find(db: Database, gateway: StripeGateway, row: Record) -> bool:
    """Look for this reversal at the transfer. Raises ProviderUnknown when nothing is known."""
    for facts in await gateway.list_reversals(row["transfer_id"]):
        if facts.reversal_ref.startswith(f"direct:{row['id']}:"):
            await _end(db, row, "DONE", facts.id, None)
            return True
    return False


async def _end(db: Database, row: Record, state: str, provider_id: str | None, failure: str | None) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute(
            "UPDATE destination.reversal SET state = 'SENDING' WHERE id = $1 AND state = 'UNKNOWN'", row["id"]
        )
        ended = await conn.fetchval(
            """UPDATE destination.reversal SET state = $2, provider_id = $3, failure = $4, done_at = now()
               WHERE id = $1 AND state = 'SENDING' RETURNING id""",
            row["id"],
            state,
            provider_id,
            failure,
        )
        if ended is None:
            return
        await _book(conn, row, state, provider_id)
        if failpoints.armed:
            await failpoints.reached("direct_reversal.after_store_before_commit", conn)

    await db.run(SYSTEM, work)


async def _book(conn: Connection, row: Record, state: str, provider_id: str | None) -> None:
    """Taken back: it is on our account there. Not: the seller owes it."""
    done, currency, ref = state == "DONE", row["currency"], f"funding:{row['funding_id']}"
    data = {
        "reversal_id": str(row["id"]),
        "seller_id": str(row["seller_id"]),
        "amount": row["amount"],
        "currency": currency,
        "cause": row["cause"],
    }
    await audit.record(conn, "direct.taken_back" if done else "direct.owed", ref, "stripe", data)
    source = platform("psp_clearing", currency) if done else seller_receivable_of(row["seller_id"], currency)
    await post(
        conn,
        "destination_reversed" if done else "destination_debt",
        idem=f"trr:{provider_id}" if done else f"dcdebt:{row['id']}",
        ref=ref,
        actor="stripe",
        legs=[(source, row["amount"]), (dest_clearing_of(row["seller_id"], currency), -row["amount"])],
    )


async def resolve_reversal(db: Database, gateway: StripeGateway, reversal_id: UUID) -> None:
    """Find out what became of an UNKNOWN reversal: found at the transfer, or provably absent and asked for
    again, with the same key while the provider remembers it."""
    row = await db.fetchrow(
        SYSTEM,
        """SELECT r.*, f.transfer_id FROM destination.reversal r JOIN wallets.funding f ON f.id = r.funding_id
           WHERE r.id = $1 AND r.state = 'UNKNOWN'""",
        reversal_id,
    )
    if row is None or await _find(db, gateway, row):
        return
    fresh = row["key_burnt"] or row["called_at"] < now() - KEY_LIVES
    claimed = await db.fetchrow(SYSTEM, _CLAIM, reversal_id, "UNKNOWN", 1 if fresh else 0, row["attempt"])
    if claimed is not None:
        await _call(db, gateway, claimed)


async def sweep_reversals(db: Database, gateway: StripeGateway) -> int:
    """Bring every unfinished reversal on; returns how many were looked at."""
    await db.execute(
        SYSTEM,
        """UPDATE destination.reversal SET state = 'UNKNOWN'
           WHERE state = 'SENDING' AND greatest(called_at, checked_at) < now() - $1::interval""",
        LEASE,
    )
    due = await db.fetch(
        SYSTEM,
        """SELECT id, state FROM destination.reversal
           WHERE state = 'UNKNOWN' OR (state = 'REQUESTED' AND created_at < now() - $1::interval)
           ORDER BY checked_at NULLS FIRST LIMIT $2""",
        LEASE / 2,
        BATCH,
    )
    for row in due:
        verb = send_reversal if row["state"] == "REQUESTED" else resolve_reversal
        try:
            await verb(db, gateway, row["id"])
        except (ProviderUnknown, ProviderRefused) as error:
            log.warning("direct_reversal.not_checked", reversal=str(row["id"]), why=str(error))
        except Unavailable:  # nobody would fare better
            raise
        except Exception as error:  # it holds up none of those after it
            log.error("direct_reversal.not_checked", reversal=str(row["id"]), why=type(error).__name__)
    return len(due)
