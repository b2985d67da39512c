"""A failure the provider stored with our key: it repeats it for a day, and a buyer must not wait for that."""

from fondaco import wallets
from fondaco.wallets import PaymentUnavailable
from tests.support.money import Till, make_buyer


async def test_a_page_whose_key_holds_a_failure_is_opened_with_another_key(till: Till) -> None:
    buyer = await make_buyer(till.db)
    till.sandbox.post("/sandbox/faults", fail_after={"count": 1, "path": "/v1/checkout"})
    try:
        funding = await till.top_up(buyer, 2500)
    except PaymentUnavailable:
        (open_one,) = await wallets.own_top_ups(till.db, buyer, before=None, limit=5)
        funding = await wallets.open_session(till.db, till.gateway, till.settings, open_one.id)
    assert funding.state == "PROCESSING"
    assert funding.session_id
    till.sandbox.pay(funding.session_id)
    await till.deliver_all()
    assert await till.wallet(buyer) == 2500
    assert (await till.funding(funding)).state == "SUCCEEDED"
    # The page behind the stored failure is unknown to all, and its end says nothing about the funding.
    till.sandbox.advance(2 * 3600)
    await till.deliver_all()
    assert await till.wallet(buyer) == 2500
    assert (await till.funding(funding)).state == "SUCCEEDED"
    await till.whole()
