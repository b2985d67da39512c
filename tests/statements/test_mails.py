"""The mail about a month's statement: to the store's owners and finance, once, with the paper's figures."""

from datetime import UTC, datetime

import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.statements.jobs import close_month
from fondaco.statements.sellers import Month
from tests.statements.test_papers import bought
from tests.support.people import make_member
from tests.support.shop import make_shop


async def test_a_months_statement_is_mailed_once(
    db: Database, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    await make_member(db, shop.owner, "finance")
    await make_member(db, shop.owner, "fulfilment")
    await bought(db, shop, 2)
    lines = [r["id"] for r in await db.fetch(SYSTEM, "SELECT id FROM orders.order_line")]
    await db.fetchval(SYSTEM, "SELECT orders.release($1, 'system')", lines)
    end = Month.before(datetime.now(UTC)).end
    following = datetime(end.year + end.month // 12, end.month % 12 + 1, 2, tzinfo=UTC)
    monkeypatch.setattr("fondaco.statements.jobs.now", lambda: following)
    for _ in range(2):
        await close_month(parts)
        await read_events(parts)
    mails = await db.fetch(SYSTEM, "SELECT * FROM notifications.mail WHERE template = 'statement_ready'")
    assert len(mails) == 2  # owner and finance
    paper = await db.fetchrow(SYSTEM, "SELECT id, number FROM statements.paper WHERE kind = 'statement'")
    assert paper
    for mail in mails:
        assert f"{end:%B %Y}" in mail["subject"]
        assert "Carried forward: €35.99" in mail["plain"] and "1 movement: €35.99" in mail["plain"]
        assert f"/seller/papers/{paper['id']}/pdf" in mail["plain"] and paper["number"] in mail["plain"]
