"""What a buyer owes after a lost chargeback: paid back from the wallet, written off by two people; and
wallets let go by somebody of the staff."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fondaco import approvals, wallets
from fondaco.chargebacks.model import NothingOwed, StillAtStake
from fondaco.chargebacks.standing import post_one, refresh_standing, standing, tell
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.money import Money
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import balance, buyer_receivable_of, platform, wallet_of


async def repay(conn: Connection, chargeback_id: UUID) -> int:
    """Pay what is owed from what the wallet holds; answers how much, in minor units. Whatever a locked wallet
    gets goes there first."""
    row = await _locked(conn, chargeback_id)
    user, currency = row["user_id"], row["currency"]
    if not row["owed"]:
        return 0
    await wallets.stand(conn, user, await standing(conn, user))  # locks the wallet
    amount = min(row["owed"], await balance(conn, wallet_of(user, currency)))
    if amount <= 0:
        return 0
    await conn.execute(
        """UPDATE chargebacks.chargeback SET owed = owed - $2, repaid = repaid + $2, version = version + 1
           WHERE id = $1""",
        row["id"],
        amount,
    )
    legs = [(wallet_of(user, currency), amount), (buyer_receivable_of(user, currency), -amount)]
    await post_one(conn, "chargeback_repaid", f"dprepaid:{row['id']}:{row['version']}", row, legs, "system")
    await tell(conn, row, "chargeback.repaid", actor="system", amount=amount)
    await refresh_standing(conn, user, "system")
    return amount


async def ask_write_off(db: Database, viewer: Viewer, chargeback_id: UUID, why: str) -> UUID:
    """Ask a second person to write off what is owed; returns the request's id. Raises NotFound, NothingOwed,
    Invalid, AlreadyAsked."""
    words = approvals.said(why, "why", least=3)

    async def work(conn: Connection) -> UUID:
        row = await _locked(conn, chargeback_id)
        if not row["owed"]:
            raise NothingOwed()
        email = await conn.fetchval("SELECT email FROM identity.users WHERE id = $1", row["user_id"])
        payload = {
            "chargeback_id": str(chargeback_id),
            "amount": row["owed"],
            "currency": row["currency"],
            "name": email,
            "why": words,
        }
        ref = f"chargeback:{chargeback_id}"
        return await approvals.ask(conn, "chargeback.write_off", ref, payload, words, viewer)

    return await db.run(viewer.as_staff, work)


def _words(payload: Mapping[str, Any]) -> str:
    owed = Money(payload["amount"], payload["currency"])
    return f"Up to {owed} that {payload['name']} owes after a lost chargeback are written off."


@approvals.verb("chargeback.write_off", permission="console.adjust", words=_words)
async def write_off(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """What two people agreed to give up; never more than is still owed. Raises NothingOwed."""
    row = await _locked(conn, UUID(payload["chargeback_id"]))
    amount = min(row["owed"], payload["amount"])
    if not amount:
        raise NothingOwed()
    user, currency = row["user_id"], row["currency"]
    await conn.execute(
        """UPDATE chargebacks.chargeback SET owed = owed - $2, written_off = written_off + $2,
             version = version + 1 WHERE id = $1""",
        row["id"],
        amount,
    )
    legs = [
        (platform("chargeback_loss", currency), amount),
        (buyer_receivable_of(user, currency), -amount),
    ]
    await post_one(conn, "chargeback_written_off", f"wo:{request.id}", row, legs, request.actor)
    await tell(conn, row, "chargeback.written_off", actor=request.actor, amount=amount)
    await refresh_standing(conn, user, request.actor)


async def clear(db: Database, viewer: Viewer, user_id: UUID, why: str) -> str:
    """Let a buyer's wallet go although chargebacks were lost or a card network warned; answers how it stands
    then. Raises NotFound, Invalid, StillAtStake while one is open or something is owed."""
    words = approvals.said(why, "why", least=3)

    async def work(conn: Connection) -> str:
        rows = await conn.fetch(
            "SELECT * FROM chargebacks.chargeback WHERE user_id = $1 ORDER BY id FOR UPDATE", user_id
        )
        warned = await conn.fetchval(
            "SELECT count(*) FROM chargebacks.warning WHERE user_id = $1 AND blocks", user_id
        )
        if not rows and not warned:
            raise NotFound()
        if any(row["ended_at"] is None or row["owed"] for row in rows):
            raise StillAtStake()
        await conn.execute(
            """UPDATE chargebacks.chargeback SET cleared_at = now(), version = version + 1
               WHERE user_id = $1 AND state = 'LOST' AND cleared_at IS NULL""",
            user_id,
        )
        await conn.execute(
            """UPDATE chargebacks.warning SET blocks = false, cleared_at = now()
               WHERE user_id = $1 AND blocks""",
            user_id,
        )
        for row in rows:
            if row["state"] == "LOST" and row["cleared_at"] is None:
                await tell(conn, row, "chargeback.cleared", actor=viewer.actor, why=words)
        return await refresh_standing(conn, user_id, viewer.actor)

    return await db.run(SYSTEM, work)


async def _locked(conn: Connection, chargeback_id: UUID) -> Record:
    row = await conn.fetchrow("SELECT * FROM chargebacks.chargeback WHERE id = $1 FOR UPDATE", chargeback_id)
    if row is None:
        raise NotFound()
    return row
