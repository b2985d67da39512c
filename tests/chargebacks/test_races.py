"""Chargebacks beside everything else: purchases, refunds on their way, releases, currencies; every order of
the events."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from fondaco import chargebacks, wallets
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.viewer import Viewer
from fondaco.ledger import buyer_receivable_of, wallet_hold_of, wallet_of
from fondaco.orders import place_with_card
from fondaco.orders.combiner import Combiner
from fondaco.wallets import RefundTooLarge, WalletAtRisk
from tests.chargebacks.test_liability import release
from tests.chargebacks.test_money import (
    buy,
    chargebacks_types,
    dispute,
    even,
    held,
    owed,
    resolve,
    reveal_all,
    standing,
    the_one,
)
from tests.support.money import Till, amount_on, make_buyer
from tests.support.shop import make_shop, purchase, states


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def test_a_purchase_waits_for_the_flag_and_is_refused(till: Till, buyer: Viewer) -> None:
    """It asked before the flag was committed, and does not slip by."""
    shop = await make_shop(till.db, price=1000, stock=3)
    await till.paid_top_up(buyer, 5000)
    async with till.db.transaction(SYSTEM) as conn:
        await wallets.stand(conn, buyer.user(), "WALLET_AT_RISK")
        late = asyncio.create_task(buy(till, buyer, shop))
        while not await till.db.fetchval(SYSTEM, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not late.done()
            await asyncio.sleep(0.01)
    with pytest.raises(WalletAtRisk):
        await late
    assert await till.wallet(buyer) == 5000


async def test_purchases_at_the_moment_of_the_dispute(till: Till, buyer: Viewer, owner: Any) -> None:
    shop = await make_shop(till.db, price=500, stock=12)
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding)
    facts = await till.gateway.retrieve_dispute(found)

    async def note(conn: Connection) -> bool:
        return await chargebacks.note_dispute(conn, facts)

    tries = await asyncio.gather(
        *(buy(till, buyer, shop) for _ in range(4)),
        till.db.run(SYSTEM, note),
        *(buy(till, buyer, shop) for _ in range(4)),
        return_exceptions=True,
    )
    assert [t for t in tries if isinstance(t, BaseException) and not isinstance(t, WalletAtRisk)] == []
    with pytest.raises(WalletAtRisk):
        await buy(till, buyer, shop)
    assert await held(till, buyer) == 5000, "what nobody had seen came back first"
    await even(till)


async def test_a_disputed_payment_is_not_refunded(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    await dispute(till, funding)
    await till.deliver_all()

    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, funding.id, 1, reason="test", actor="system", even_at_risk=True)

    with pytest.raises(RefundTooLarge):
        await till.db.run(SYSTEM, work)


@pytest.mark.parametrize("sent", [False, True])
async def test_a_dispute_that_meets_a_refund(till: Till, buyer: Viewer, sent: bool) -> None:
    """The refund was requested here, and it reached the provider or came too late; then the dispute."""
    funding = await till.paid_top_up(buyer, 5000)

    async def work(conn: Connection) -> Any:
        return await wallets.request_refund(conn, funding.id, 2000, reason="test", actor="system")

    refund_id = await till.db.run(SYSTEM, work)
    if sent:
        await wallets.send_refund(till.db, till.gateway, refund_id)
    found = await dispute(till, funding)
    await till.deliver_all()
    assert (await held(till, buyer)) >= 3000
    await even_but_for_flight(till)
    await wallets.send_refund(till.db, till.gateway, refund_id)
    await wallets.sweep_refunds(till.db, till.gateway)
    await till.deliver_all()
    state = await till.db.fetchval(SYSTEM, "SELECT state FROM wallets.refund WHERE id = $1", refund_id)
    assert state == ("SUCCEEDED" if sent else "FAILED"), "the provider refunds nothing that is disputed"
    await resolve(till, found, "won")
    await till.deliver_all()
    assert await till.wallet(buyer) == (3000 if sent else 5000)
    assert await standing(till, buyer) == "OK"
    await even(till)


async def even_but_for_flight(till: Till) -> None:
    assert await till.psp() == await till.provider_balance()


@pytest.mark.parametrize("when", ["before spending", "after spending", "after release"])
@pytest.mark.parametrize("outcome", ["won", "lost", "lost then won"])
async def test_whenever_it_comes_the_seller_keeps_what_was_delivered(
    till: Till, buyer: Viewer, owner: Any, when: str, outcome: str
) -> None:
    shop = await make_shop(till.db, price=2000, stock=2)
    funding = await till.paid_top_up(buyer, 3000)
    group = None
    if when != "before spending":
        group = await buy(till, buyer, shop)
        await reveal_all(till, owner)
    if when == "after release":
        line = await till.db.fetchval(SYSTEM, "SELECT id FROM orders.order_line")
        await release(till, line)
    before = await sellers(till)
    found = await dispute(till, funding)
    await till.deliver_all()
    for step in outcome.split(" then "):
        await resolve(till, found, step)
        await till.deliver_all()
    assert await sellers(till) == before
    if group:
        delivered = {("DELIVERED", "DELIVERED", "HELD" if when == "after spending" else "RELEASED")}
        assert {(a, b, c) for a, b, c in await states(till.db, group)} == delivered or when == "after release"
    spent = 0 if when == "before spending" else 2000
    if outcome == "lost":
        assert (await owed(till, buyer), await till.wallet(buyer)) == (spent, 0)
    else:
        assert (await owed(till, buyer), await till.wallet(buyer)) == (0, 3000 - spent)
    await even(till)


async def sellers(till: Till) -> list[tuple[str, int]]:
    """Everything on accounts of sellers and in escrow."""
    rows = await till.db.fetch(
        SYSTEM,
        """SELECT a.kind, sum(b.amount)::bigint AS n FROM ledger.account a
           JOIN ledger.balance b ON b.account_id = a.id
           WHERE a.kind LIKE 'seller%' OR a.kind IN ('escrow', 'commission', 'tax_payable')
           GROUP BY 1 ORDER BY 1""",
    )
    return [(r["kind"], r["n"]) for r in rows if r["n"]]


@pytest.mark.parametrize(("currency", "amount", "price"), [("JPY", 5000, 2000), ("KWD", 50_000, 20_000)])
async def test_currencies_with_other_decimals(
    till: Till, owner: Any, currency: str, amount: int, price: int
) -> None:
    buyer = await make_buyer(till.db)
    settings = till.settings.model_copy(update={"currency": currency, "top_up_max": 10**6})
    there = replace(till, settings=settings)
    shop = await make_shop(till.db, price=price, stock=1, currency=currency)
    funding = await there.paid_top_up(buyer, amount)
    await Combiner(till.db).buy(purchase(buyer, shop.wish(), currency=currency))
    await reveal_all(there, owner)
    found = await dispute(there, funding)
    await there.deliver_all()
    user = buyer.user()
    assert await amount_on(till.db, wallet_hold_of(user, currency)) == amount - price
    await resolve(there, found, "lost")
    await there.deliver_all()
    assert await amount_on(till.db, buyer_receivable_of(user, currency)) == price
    row = await the_one(there)
    assert (row["currency"], row["owed"], row["taken"]) == (currency, price, 0)
    await resolve(there, found, "won")
    await there.deliver_all()
    assert await amount_on(till.db, wallet_of(user, currency)) == amount - price


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_every_order_of_the_events_ends_in_the_same_books(
    till: Till, buyer: Viewer, owner: Any, outcome: str
) -> None:
    """What each event finds at the provider is what stood there when it was made: as if handled late, early,
    twice. The books end the same in every order."""
    shop = await make_shop(till.db, price=2000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    stood = [await till.gateway.retrieve_dispute(found)]
    await resolve(till, found, outcome)
    stood.append(await till.gateway.retrieve_dispute(found))
    assert await till.events(*chargebacks_types())
    ends = set[tuple[Any, ...]]()
    for order in itertools.permutations([*stood, stood[0]]):
        said = [*order, stood[-1]]  # the last to be asked finds how it stands now

        async def work(conn: Connection, said: Any = said) -> None:
            for facts in said:
                await chargebacks.note_dispute(conn, facts)
            rows = await conn.fetch(
                """SELECT a.kind, sum(b.amount)::bigint AS n FROM ledger.account a
                   JOIN ledger.balance b ON b.account_id = a.id GROUP BY 1 ORDER BY 1"""
            )
            state = await conn.fetchval("SELECT state FROM chargebacks.chargeback")
            walls = await conn.fetchval("SELECT state FROM wallets.standing") or "OK"
            ends.add((state, walls, *((r["kind"], r["n"]) for r in rows if r["n"])))
            raise _Undo()

        with pytest.raises(_Undo):
            async with till.db.transaction(SYSTEM) as conn:
                await work(conn)
    assert len(ends) == 1, ends
    assert next(iter(ends))[0] == outcome.upper()


class _Undo(Exception):
    """Everything is taken back, to be tried in another order."""


async def test_a_late_payment_of_a_blocked_buyer_goes_back_to_its_card(till: Till, buyer: Viewer) -> None:
    shop = await make_shop(till.db, price=2000, stock=1)
    first = await till.paid_top_up(buyer, 3000)
    asked = purchase(buyer, shop.wish())
    placed = await place_with_card(till.db, till.gateway, till.settings, asked)
    row = await till.db.fetchrow(
        SYSTEM, "SELECT id, session_id FROM wallets.funding WHERE group_id = $1", placed.group_id
    )
    assert row
    given_up = "SELECT orders.give_up($1, 'CANCELLED', 'test', 'system')"
    assert await till.db.fetchval(SYSTEM, given_up, placed.group_id) == "done"
    await dispute(till, first)
    await till.deliver_all(*chargebacks_types())
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    till.sandbox.pay(row["session_id"])
    await till.deliver_all()
    state = await till.db.fetchval(SYSTEM, "SELECT state FROM wallets.funding WHERE id = $1", row["id"])
    assert (state, await till.wallet(buyer), await held(till, buyer)) == ("REFUNDED", 0, 3000)
    await even(till)
