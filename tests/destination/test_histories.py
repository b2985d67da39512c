"""Random histories of a store that is paid at the sale, against a plain count: sold, given back in parts, its
account emptied in between. After each step the books, the provider and the count agree, to the unit."""

import random

import pytest

from fondaco.core.problem import Problem
from fondaco.ledger import platform
from tests.support.direct import direct
from tests.support.money import Till, amount_on

CURRENCIES = {"EUR": 2000, "JPY": 1499, "KWD": 12_340}


@pytest.mark.parametrize("seed", range(6))
async def test_a_history(till: Till, seed: int) -> None:
    dice = random.Random(seed)
    currency = dice.choice(sorted(CURRENCIES))
    one = await direct(
        till, price=CURRENCIES[currency] + dice.randrange(100) * 10, stock=30, currency=currency
    )
    left: dict[object, int] = {}
    paid = back = 0
    for _ in range(10):
        step = dice.choice(("sell", "refund", "refund", "rest", "empty"))
        if step == "sell" or not left:
            quantity = dice.randint(1, 3)
            line = await one.line(await one.sell(quantity))
            left[line] = quantity * one.shop.price
            paid += left[line]
        elif step == "empty":
            one.empty()
        else:
            line = dice.choice(list(left))
            amount = left[line] if step == "rest" else dice.randint(1, left[line])
            if amount % 10 and currency == "KWD":
                amount = max(10, amount // 10 * 10)
            await one.refund(line, amount)
            with pytest.raises(Problem):
                await one.refund(line, left[line] - amount + 1)
            left[line] -= amount
            back += amount
            left = {each: rest for each, rest in left.items() if rest}
        await till.work()
        taken = sum(amount for amount, state in await one.reversals() if state == "DONE")
        owed = sum(amount for amount, state in await one.reversals() if state == "OWED")
        assert sum(one.moved("refund.created")) == back
        assert sum(one.moved("transfer.reversed")) == taken
        assert (await one.owed(), await one.passing()) == (owed, 0)
        passed = sum(one.moved("transfer.created"))
        kept = await amount_on(till.db, platform("commission", currency))
        assert kept == paid - passed - back + taken + owed
        await one.whole()
