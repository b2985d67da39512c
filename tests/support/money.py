"""Builders for tests about money: users, money in a wallet, the state of accounts."""

import os
from uuid import UUID, uuid4

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, balance, platform, post, wallet_of


async def make_buyer(db: Database, **changes: object) -> Viewer:
    """A customer with a proved address, signed in."""
    user_id = uuid7()
    email = f"buyer-{os.urandom(6).hex()}@example.test"
    await db.execute(
        SYSTEM,
        """INSERT INTO identity.users (id, email, name, password_hash, country, email_verified_at)
           VALUES ($1, $2, 'Buyer', 'none', 'DE', now())""",
        user_id,
        email,
    )
    values: dict[str, object] = {"user_id": user_id, "email": email, "name": "Buyer", "verified": True}
    return Viewer(**{**values, **changes})  # type: ignore[arg-type]


async def make_staff(db: Database, role: str) -> Viewer:
    """Somebody of the staff, past the second factor."""
    viewer = await make_buyer(db, staff_role=role, mfa=True, mfa_enrolled=True)
    await db.execute(SYSTEM, "UPDATE identity.users SET staff_role = $2 WHERE id = $1", viewer.user_id, role)
    return viewer


async def give_money(db: Database, user_id: UUID, amount: int, currency: str = "EUR") -> int:
    """Puts money in a wallet as a top-up would; returns the journal's id."""
    source = uuid4()

    async with db.transaction(SYSTEM) as conn:
        return await post(
            conn,
            "top_up",
            idem=f"topup:pi_test_{source.hex}",
            ref=f"user:{user_id}",
            actor="stripe",
            legs=[(platform("psp_clearing", currency), amount), (wallet_of(user_id, currency), -amount)],
        )


async def amount_on(db: Database, ref: AccountRef) -> int:
    """What stands on an account, minor units on its normal side."""
    async with db.transaction(SYSTEM) as conn:
        return await balance(conn, ref)


async def journals(db: Database, kind: str | None = None) -> list[str]:
    """Keys of all journals (of a kind), in order."""
    rows = await db.fetch(
        SYSTEM, "SELECT idem FROM ledger.journal WHERE $1::text IS NULL OR kind = $1 ORDER BY id", kind
    )
    return [r["idem"] for r in rows]
