"""What moved on Stripe balances: our own and those of connected accounts. Amounts are minor units."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from fondaco.integrations.stripe_client import StripeCalls
from fondaco.integrations.stripe_facts import Json, id_of, part, text, whole


class BalanceTransactionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of a balance. `amount` before the fee, negative when money left; net = amount - fee.

    `created` and `available_on`: Unix seconds. `source_id`: what it is of (a charge, a refund, a
    dispute, a transfer...).
    """

    id: str
    type: str
    reporting_category: str
    amount: int
    fee: int
    net: int
    currency: str
    source_id: str | None
    created: int
    available_on: int
    description: str = ""


class BankPayoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A payout from a Stripe balance to a bank. `account_id`: of which connected account; "" for our own."""

    id: str
    account_id: str
    status: str
    """pending, in_transit, paid, failed or canceled; a paid one can still fail days later."""
    amount: int
    currency: str
    automatic: bool
    arrival: int
    created: int
    failure_code: str = ""
    failure: str = ""


class BalanceCalls(StripeCalls):
    """Reading balances and what moved on them."""

    def list_balance_transactions(
        self,
        since: int,
        until: int,
        *,
        after: str = "",
        account: str | None = None,
        source: str = "",
        payout: str = "",
    ) -> AsyncIterator[BalanceTransactionFacts]:
        """Movements with since <= created < until (Unix seconds), newest first, read page by page.

        `after`: read on behind the movement of this id. `account`: those of a connected account. `source`:
        only of this object. `payout`: only those that went out with this automatic payout. Raises
        ProviderRefused, ProviderUnknown while it is read.
        """
        return self._movements(since, until, after, account, {"source": source, "payout": payout})

    async def _movements(
        self, since: int, until: int, after: str, account: str | None, only: dict[str, str]
    ) -> AsyncIterator[BalanceTransactionFacts]:
        query = f"&created[gte]={since}&created[lt]={until}"
        query += "".join(f"&{name}={quote(value, safe='')}" for name, value in only.items() if value)
        pages = self._pages("/v1/balance_transactions", query, after=after, account=account)
        async for found in pages:
            yield balance_transaction_facts(found)

    async def retrieve_balance_transaction(self, transaction_id: str) -> BalanceTransactionFacts:
        """One movement of our own balance."""
        found = await self._retrieve(f"/v1/balance_transactions/{quote(transaction_id, safe='')}")
        return balance_transaction_facts(found)

    async def intent_of_charge(self, charge_id: str) -> str | None:
        """The payment intent a charge is of; None when it is of none."""
        found = await self._retrieve(f"/v1/charges/{quote(charge_id, safe='')}")
        return id_of(found.get("payment_intent"))

    async def available(self, account: str | None = None) -> dict[str, int]:
        """What can be transferred or paid out now, by currency."""
        found = await self._ask("/v1/balance", account)
        return {each["currency"].upper(): each["amount"] for each in found["available"]}

    async def whole_balance(self, account: str | None = None) -> dict[str, int]:
        """Everything on a balance by currency, available or still pending."""
        found = await self._ask("/v1/balance", account)
        total: dict[str, int] = {}
        for each in (*found["available"], *found["pending"]):
            currency = each["currency"].upper()
            total[currency] = total.get(currency, 0) + each["amount"]
        return total

    async def list_bank_payouts(self, account_id: str, since: int) -> list[BankPayoutFacts]:
        """Payouts to the bank made at `since` (Unix seconds) or later, newest first; "" for our own."""
        pages = self._pages("/v1/payouts", f"&created[gte]={since}", account=account_id or None)
        return [bank_payout_facts(found, account_id) async for found in pages]

    async def retrieve_bank_payout(self, payout_id: str, account_id: str = "") -> BankPayoutFacts:
        """A payout to the bank as it stands now."""
        found = await self._ask(f"/v1/payouts/{quote(payout_id, safe='')}", account_id or None)
        return bank_payout_facts(found, account_id)


def balance_transaction_facts(found: Json) -> BalanceTransactionFacts:
    """Facts from a BalanceTransaction."""
    return BalanceTransactionFacts(
        id=text(found.get("id")),
        type=text(found.get("type")),
        reporting_category=text(found.get("reporting_category")),
        amount=whole(found.get("amount")),
        fee=whole(found.get("fee")),
        net=whole(found.get("net")),
        currency=text(found.get("currency")).upper(),
        source_id=id_of(found.get("source")),
        created=whole(found.get("created")),
        available_on=whole(found.get("available_on")),
        description=text(found.get("description")),
    )


def bank_payout_facts(found: Json, account_id: str) -> BankPayoutFacts:
    """Facts from a Payout; `account_id` is in the event that brought it, not in the object."""
    return BankPayoutFacts(
        id=text(found.get("id")),
        account_id=account_id,
        status=text(found.get("status")),
        amount=whole(found.get("amount")),
        currency=text(found.get("currency")).upper(),
        automatic=found.get("automatic") is True,
        arrival=whole(found.get("arrival_date")),
        created=whole(found.get("created")),
        failure_code=text(found.get("failure_code")),
        failure=text(found.get("failure_message")),
    )


def movements_of(found: Sequence[Any] | None) -> list[BalanceTransactionFacts]:
    """Facts of every movement in a list given whole."""
    return [balance_transaction_facts(part(each)) for each in found or []]
