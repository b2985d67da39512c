"""`fondaco risk explain`: says where somebody stands and replays what was decided."""

import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.settings import Settings
from fondaco.up.risk import explain
from tests.risk.test_acting import say
from tests.support.money import make_buyer


async def test_it_tells_and_replays(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fondaco.settings.load", lambda: settings)
    buyer = await make_buyer(db)
    await say(db, f"user:{buyer.user()}", "chargeback.opened")
    decision = await db.fetchval(SYSTEM, "SELECT id FROM risk.decision")
    for who in (buyer.email, f"user:{buyer.user()}", str(decision)):
        assert await explain(who) == 0
        told = capsys.readouterr().out
        assert "AT_RISK, 40 points by buyer-1" in told and "Replayed: the same." in told
        assert "This buyer can buy 5 items in 24 hours" in told
    assert await explain("nobody@example.test") == 1
