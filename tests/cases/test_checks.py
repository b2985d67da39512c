"""What `fondaco verify` says of cases: nothing while all is well, and each wrong by its name."""

import asyncpg
import pytest

from fondaco import cases, checks
from fondaco.cases import sweep
from tests.cases.steps import Sale, bring, make_sale, wind

SPOILT = {
    "instead of frozen": "UPDATE orders.order_line SET escrow_state = 'HELD', frozen_at = NULL",
    "no open case is about it": "UPDATE cases.case_line SET open = false",
    "its lines say otherwise": "UPDATE cases.case_line SET open = false",
    "past its deadline": "UPDATE cases.case SET deadline = now() - interval '1 hour'",
    "its events say otherwise": "UPDATE cases.case SET version = version + 1",
    "another snapshot": """INSERT INTO cases.snapshot (id, why, body, hash)
                           VALUES ('00000000-0000-7000-8000-000000000001', 'x', 'a', sha256('a'));
                           UPDATE cases.case SET snapshot_id = '00000000-0000-7000-8000-000000000001'""",
    "is not what it was": """ALTER TABLE cases.snapshot DROP CONSTRAINT snapshot_check;
                             UPDATE cases.snapshot SET body = 'other'""",
}
AFTER = {
    "say otherwise": "UPDATE cases.case_line SET refund = 5",
    "did not follow": "UPDATE cases.case SET outcome = 'SELLER', state = 'WON'",
}


async def words(sale: Sale) -> str:
    return "\n".join(str(f) for f in await checks.verify_all(sale.db, sale.settings) if f.check == "I36")


async def spoil(owner: asyncpg.Connection, sql: str) -> None:
    for table in ("cases.case", "cases.case_line", "cases.snapshot", "cases.event", "orders.order_line"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await owner.execute(sql)
    for table in ("cases.case", "cases.case_line", "cases.snapshot", "cases.event", "orders.order_line"):
        await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_all_is_well_after_every_way_a_case_can_go(sale: Sale, owner: asyncpg.Connection) -> None:
    for state in ("OPEN", "UNDER_REVIEW", "NEEDS_RESPONSE", "WON", "LOST", "CLOSED"):
        one = await make_sale(sale.db, sale.settings)
        await bring(one, await one.open(), state)
    split = await make_sale(sale.db, sale.settings)
    case_id = await split.open()
    await cases.take(split.db, split.support, case_id)
    await cases.decide(
        split.db, split.finance, case_id, outcome="SPLIT", text="Shared.", amounts={split.line_id: 9}
    )
    settled = await make_sale(sale.db, sale.settings)
    case_id = await settled.open()
    await cases.offer(sale.db, settled.shop.owner, case_id, amount=50, text="Take it.")
    await cases.accept_offer(sale.db, settled.buyer, case_id)
    withdrawn = await make_sale(sale.db, sale.settings)
    await cases.withdraw(sale.db, withdrawn.buyer, await withdrawn.open())
    assert [str(f) for f in await checks.verify_all(sale.db, sale.settings)] == []
    await wind(owner, hours=80)
    assert "past its deadline" in await words(sale)
    await sweep(sale.db)


@pytest.mark.parametrize("fault", SPOILT)
async def test_each_wrong_is_told(sale: Sale, owner: asyncpg.Connection, fault: str) -> None:
    await sale.open()
    await spoil(owner, SPOILT[fault])
    assert fault in await words(sale)


@pytest.mark.parametrize("fault", AFTER)
async def test_each_wrong_about_a_decision_is_told(sale: Sale, owner: asyncpg.Connection, fault: str) -> None:
    await bring(sale, await sale.open(), "LOST")
    assert not await words(sale)
    await spoil(owner, AFTER[fault])
    assert fault in await words(sale)
