"""Whoever typed an address first gains nothing: its owner's own sign-up ends their password."""

import pytest

from fondaco import identity
from fondaco.audit import history
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.identity.model import WrongCredentials

STRANGER, OWNER = Viewer(ip="203.0.113.1"), Viewer(ip="198.51.100.1")


async def test_a_strangers_sign_up_ends_with_the_owners(db: Database) -> None:
    address = "owner@example.test"
    await identity.sign_up(db, STRANGER, email=address, password="a stranger's secret", name="Owner")
    await identity.sign_up(db, OWNER, email=address, password="the owner's own words", name="Owner")
    user_id = await db.fetchval(SYSTEM, "SELECT id FROM identity.users WHERE email = $1", address)
    kinds = [e.kind for e in await history(db, SYSTEM, f"user:{user_id}")]
    assert "user.reset_asked" in kinds
    async with db.transaction(SYSTEM) as conn:
        link = await identity.new_mail_token(conn, user_id, "reset")
    await identity.reset_password(db, link, password="the owner's own words")
    with pytest.raises(WrongCredentials):
        await identity.sign_in(db, STRANGER, email=address, password="a stranger's secret")
    assert await identity.sign_in(db, OWNER, email=address, password="the owner's own words")
