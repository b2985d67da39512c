"""Of a card that paid only our keyed mark is kept: the same for the same card, another for another card."""

from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from fondaco.vault import is_mark, mark
from tests.support.money import Till, make_buyer


async def paid_with(till: Till, buyer: Viewer, card: str) -> None:
    funding = await till.top_up(buyer, 2500)
    till.sandbox.pay(funding.session_id or "", card)
    await till.deliver_all()


async def test_the_providers_fingerprint_comes_no_further_than_the_gateway(till: Till) -> None:
    one, other = await make_buyer(till.db), await make_buyer(till.db)
    for buyer, card in ((one, "4242424242424242"), (other, "4242424242424242"), (other, "5555555555554444")):
        await paid_with(till, buyer, card)
    rows = await till.db.fetch(
        SYSTEM, "SELECT data->>'card' AS card FROM audit.event WHERE kind = 'funding.succeeded' ORDER BY id"
    )
    first, same, another = [row["card"] for row in rows]
    assert is_mark("card", first) and first == same != another
    intent = await till.db.fetchval(SYSTEM, "SELECT intent_id FROM wallets.funding ORDER BY id LIMIT 1")
    found = await till.gateway._retrieve(f"/v1/payment_intents/{intent}", "latest_charge")  # pyright: ignore[reportPrivateUsage]
    fingerprint = found["latest_charge"]["payment_method_details"]["card"]["fingerprint"]
    assert first == mark(till.settings, "card", fingerprint)
    for table in ("audit.event", "wallets.funding", "risk.card", "risk.signal"):
        kept = await till.db.fetchval(
            SYSTEM, f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", fingerprint
        )
        assert kept == 0, table
