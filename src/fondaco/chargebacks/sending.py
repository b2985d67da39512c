"""Evidence goes to the bank once: what is sent is written down, then the call, then what came of it.

A lost answer leaves it UNKNOWN: the provider counts submissions, so it is asked before anything is sent
again.
"""

import hashlib
from datetime import timedelta
from uuid import UUID

import structlog

from fondaco.cases import canonical
from fondaco.chargebacks.evidence import final
from fondaco.chargebacks.model import OPEN
from fondaco.chargebacks.noting import note_dispute
from fondaco.chargebacks.standing import tell
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_disputes import DisputeFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown

log = structlog.get_logger()
KEY_LIVES = timedelta(hours=23)  # the provider forgets keys after 24 hours
LEASE = timedelta(minutes=2)  # longer than a call with all its repetitions
_WAITS = ("needs_response", "warning_needs_response")


async def send_evidence(db: Database, gateway: StripeGateway, evidence_id: UUID) -> None:
    """Send what is confirmed, or what nobody confirmed in time. Harmless to repeat: one sender gets it."""
    row = await _about(db, evidence_id)
    if row is None or row["state"] not in ("DRAFT", "CONFIRMED"):
        return
    facts = await gateway.retrieve_dispute(row["provider_id"])
    claimed = await db.run(SYSTEM, lambda conn: _claim(conn, evidence_id, facts))
    if claimed:
        await _call(db, gateway, evidence_id)


async def _about(db: Database, evidence_id: UUID) -> Record | None:
    return await db.fetchrow(
        SYSTEM,
        """SELECT e.*, c.provider_id FROM chargebacks.evidence e
           JOIN chargebacks.chargeback c ON c.id = e.chargeback_id WHERE e.id = $1""",
        evidence_id,
    )


async def _claim(conn: Connection, evidence_id: UUID, facts: DisputeFacts) -> bool:
    """First commit: what will be sent, for ever; False when the bank no longer waits for it."""
    await note_dispute(conn, facts)
    row = await conn.fetchrow(
        """SELECT e.*, c.state AS chargeback FROM chargebacks.evidence e
           JOIN chargebacks.chargeback c ON c.id = e.chargeback_id
           WHERE e.id = $1 AND e.state IN ('DRAFT', 'CONFIRMED') FOR UPDATE OF e""",
        evidence_id,
    )
    if row is None:
        return False
    if facts.status not in _WAITS or facts.past_due or row["chargeback"] not in OPEN:
        await conn.execute(
            """UPDATE chargebacks.evidence SET state = 'CLOSED', ended_at = now(), version = version + 1,
                 failure = 'The bank did not wait for it any more.' WHERE id = $1""",
            evidence_id,
        )
        return False
    said = await conn.fetch(
        """SELECT s.name, t.body FROM chargebacks.statement t JOIN sellers.seller s ON s.id = t.seller_id
           WHERE t.chargeback_id = $1 ORDER BY t.at, t.id""",
        row["chargeback_id"],
    )
    sent = final(row["fields"], row["words"], [(s["name"], s["body"]) for s in said])
    await conn.execute(
        """UPDATE chargebacks.evidence SET state = 'SENDING', sent = $2, sha256 = $3, before = $4,
             attempt = attempt + 1, called_at = now(), version = version + 1 WHERE id = $1""",
        evidence_id,
        sent,
        hashlib.sha256(canonical(sent)).digest(),
        facts.submission_count,
    )
    return True


async def _call(db: Database, gateway: StripeGateway, evidence_id: UUID) -> None:
    """The call, and its outcome in a commit of its own."""
    row = await _about(db, evidence_id)
    if row is None or row["state"] != "SENDING":
        return
    key = f"evidence:{evidence_id}:{row['attempt']}"
    try:
        facts = await gateway.submit_evidence(row["provider_id"], row["sent"], True, key)
    except ProviderUnknown as error:
        log.warning("evidence.unknown", evidence=str(evidence_id), why=str(error))
        await db.execute(
            SYSTEM,
            """UPDATE chargebacks.evidence SET state = 'UNKNOWN', key_burnt = key_burnt OR $2
               WHERE id = $1 AND state = 'SENDING'""",
            evidence_id,
            error.burnt,
        )
        return
    except ProviderRefused as error:
        # An earlier attempt may have gone through unseen, so look before giving up.
        facts = await gateway.retrieve_dispute(row["provider_id"])
        if facts.submission_count <= row["before"]:
            await _end(db, evidence_id, "REFUSED", facts, error.message)
            return
    await _end(db, evidence_id, "SENT", facts, None)


async def _end(db: Database, evidence_id: UUID, state: str, facts: DisputeFacts, failure: str | None) -> None:
    """Last commit: it is with the bank, or never will be."""

    async def work(conn: Connection) -> None:
        await note_dispute(conn, facts)
        row = await conn.fetchrow(
            """UPDATE chargebacks.evidence SET state = $2, ended_at = now(), failure = $3,
                 version = version + 1 WHERE id = $1 AND state IN ('SENDING', 'UNKNOWN')
               RETURNING chargeback_id, confirmed_by IS NULL AS alone, sha256""",
            evidence_id,
            state,
            failure,
        )
        if row is None:
            return
        chargeback = await conn.fetchrow(
            "SELECT * FROM chargebacks.chargeback WHERE id = $1", row["chargeback_id"]
        )
        assert chargeback
        kind = "chargeback.evidence_sent" if state == "SENT" else "chargeback.evidence_refused"
        await tell(
            conn, chargeback, kind, actor="system", unconfirmed=row["alone"], sha256=row["sha256"].hex()
        )

    await db.run(SYSTEM, work)


async def resolve_evidence(db: Database, gateway: StripeGateway, evidence_id: UUID) -> None:
    """Find out what became of evidence without an answer: counted by the provider, or provably absent and
    sent again. With the same key while the provider remembers it, so that a call still on its way and this
    one are the same."""
    row = await _about(db, evidence_id)
    if row is None or row["state"] != "UNKNOWN":
        return
    facts = await gateway.retrieve_dispute(row["provider_id"])
    if facts.submission_count > row["before"]:
        await _end(db, evidence_id, "SENT", facts, None)
        return
    if facts.status not in _WAITS or facts.past_due:
        await _end(db, evidence_id, "REFUSED", facts, "It never reached the bank, and its time is over.")
        return
    fresh = row["key_burnt"] or row["called_at"] < now() - KEY_LIVES
    claimed = await db.fetchval(
        SYSTEM,
        """UPDATE chargebacks.evidence SET state = 'SENDING', attempt = attempt + $3, called_at = now(),
             key_burnt = false WHERE id = $1 AND state = 'UNKNOWN' AND attempt = $2 RETURNING true""",
        evidence_id,
        row["attempt"],
        1 if fresh else 0,
    )
    if claimed:
        await _call(db, gateway, evidence_id)
