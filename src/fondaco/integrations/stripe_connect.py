"""Stripe Connect: sellers' accounts, money sent to them and taken back. Amounts are minor units."""

from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import UUID

import msgspec

from fondaco.integrations.stripe_balance import BankPayoutFacts, bank_payout_facts
from fondaco.integrations.stripe_client import StripeCalls, all_pages, asked, plain
from fondaco.integrations.stripe_facts import Json, id_of, part, text, whole

if TYPE_CHECKING:
    from stripe.params import AccountCreateParams

__all__ = [
    "AccountFacts",
    "BankPayoutFacts",
    "ConnectCalls",
    "ReversalFacts",
    "TransferFacts",
    "account_facts",
    "bank_payout_facts",
    "transfer_facts",
]


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's account at the provider as it stands now. What is due is named in the provider's words."""

    id: str
    seller_ref: str
    """Our seller's id as we wrote it on the account; '' when it carries none."""
    details_submitted: bool
    charges_enabled: bool
    payouts_enabled: bool
    transfers_active: bool
    currently_due: list[str]
    past_due: list[str]
    pending_verification: list[str]
    disabled_reason: str | None
    current_deadline: int | None
    """Unix seconds by which the currently due must be given, else it is past due."""
    country: str
    default_currency: str


class ReversalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Money of a transfer that came back. `created`: Unix seconds."""

    id: str
    transfer_id: str
    amount: int
    currency: str
    created: int
    reversal_ref: str = ""
    """Our reversal's id from its metadata; '' when it is not ours."""


class TransferFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Money sent to a seller's account. `created`: Unix seconds."""

    id: str
    amount: int
    currency: str
    destination: str
    group: str
    payout_ref: str
    """Our payout's id from its metadata; '' when it is not ours."""
    reversed_amount: int
    created: int
    charge_id: str | None = None
    """The charge it belongs to: set on the automatic transfer of a destination charge."""
    transaction_id: str | None = None
    reversals: list[ReversalFacts] = []
    """The last ten at most."""


class ConnectCalls(StripeCalls):
    """Accounts, transfers and reversals."""

    async def create_account(self, seller_id: UUID, *, country: str, email: str, key: str) -> AccountFacts:
        """Open an account whose owner uses the provider's own light dashboard; fees and losses are ours.

        `country`: two capital letters. Raises ProviderRefused, ProviderUnknown.
        """
        params: AccountCreateParams = {
            "country": country,
            "email": email,
            "controller": {
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
                "requirement_collection": "stripe",
                "stripe_dashboard": {"type": "express"},
            },
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"seller_id": str(seller_id)},
        }
        call = self.client.v1.accounts.create_async(params, {"idempotency_key": key})
        return account_facts(plain(await asked(call)))

    async def retrieve_account(self, account_id: str) -> AccountFacts:
        """An account as it stands now; refused with `account_invalid` when it is gone."""
        return account_facts(await self._retrieve(f"/v1/accounts/{quote(account_id, safe='')}"))

    async def create_account_link(self, account_id: str, *, return_url: str, refresh_url: str) -> str:
        """The address where the account's owner answers what is asked; good once, for some minutes."""
        call = self.client.v1.account_links.create_async(
            {
                "account": account_id,
                "type": "account_onboarding",
                "return_url": return_url,
                "refresh_url": refresh_url,
            }
        )
        return text(plain(await asked(call)).get("url"))

    async def create_transfer(
        self, payout_id: UUID, *, attempt: int, amount: int, currency: str, destination: str
    ) -> TransferFacts:
        """Send money to a seller's account: once per payout and attempt, however often it is asked.

        Refused with `balance_insufficient` when our balance is too small, with
        `insufficient_capabilities_for_transfer` or `resource_missing` when the account cannot take it.
        """
        call = self.client.v1.transfers.create_async(
            {
                "amount": amount,
                "currency": currency.lower(),
                "destination": destination,
                "transfer_group": f"payout:{payout_id}",
                "metadata": {"payout_id": str(payout_id)},
            },
            {"idempotency_key": f"payout:{payout_id}:{attempt}"},
        )
        return transfer_facts(plain(await asked(call)))

    async def retrieve_transfer(self, transfer_id: str) -> TransferFacts:
        """A transfer as it stands now, with its last reversals."""
        return transfer_facts(await self._retrieve(f"/v1/transfers/{quote(transfer_id, safe='')}"))

    async def list_transfers(self, group: str) -> list[TransferFacts]:
        """Every transfer of a group such as `payout:<id>`."""
        call = self.client.v1.transfers.list_async({"transfer_group": group, "limit": 100})
        return [transfer_facts(found) async for found in all_pages(call)]

    async def create_reversal(self, transfer_id: str, *, amount: int, key: str) -> ReversalFacts:
        """Take money of a transfer back; refused with `balance_insufficient` when the account has too little.

        Our key is also written on the reversal, so that it can be found again.
        """
        call = self.client.v1.transfers.reversals.create_async(
            transfer_id, {"amount": amount, "metadata": {"reversal_ref": key}}, {"idempotency_key": key}
        )
        return reversal_facts(plain(await asked(call)))

    async def list_reversals(self, transfer_id: str) -> list[ReversalFacts]:
        """Every reversal of a transfer."""
        call = self.client.v1.transfers.reversals.list_async(transfer_id, {"limit": 100})
        return [reversal_facts(found) async for found in all_pages(call)]


def account_facts(account: Json) -> AccountFacts:
    """Facts from an Account."""
    asked_for = part(account.get("requirements"))
    deadline = asked_for.get("current_deadline")
    return AccountFacts(
        id=text(account.get("id")),
        seller_ref=text(part(account.get("metadata")).get("seller_id")),
        details_submitted=account.get("details_submitted") is True,
        charges_enabled=account.get("charges_enabled") is True,
        payouts_enabled=account.get("payouts_enabled") is True,
        transfers_active=part(account.get("capabilities")).get("transfers") == "active",
        currently_due=_names(asked_for.get("currently_due")),
        past_due=_names(asked_for.get("past_due")),
        pending_verification=_names(asked_for.get("pending_verification")),
        disabled_reason=text(asked_for.get("disabled_reason")) or None,
        current_deadline=deadline if isinstance(deadline, int) else None,
        country=text(account.get("country")),
        default_currency=text(account.get("default_currency")).upper(),
    )


def _names(found: object) -> list[str]:
    return [text(name) for name in found] if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType]


def transfer_facts(transfer: Json) -> TransferFacts:
    """Facts from a Transfer."""
    return TransferFacts(
        id=text(transfer.get("id")),
        amount=whole(transfer.get("amount")),
        currency=text(transfer.get("currency")).upper(),
        destination=id_of(transfer.get("destination")) or "",
        group=text(transfer.get("transfer_group")),
        payout_ref=text(part(transfer.get("metadata")).get("payout_id")),
        reversed_amount=whole(transfer.get("amount_reversed")),
        created=whole(transfer.get("created")),
        charge_id=id_of(transfer.get("source_transaction")),
        transaction_id=id_of(transfer.get("balance_transaction")),
        reversals=[reversal_facts(each) for each in part(transfer.get("reversals")).get("data", [])],
    )


def reversal_facts(reversal: Json) -> ReversalFacts:
    """Facts from a TransferReversal."""
    return ReversalFacts(
        id=text(reversal.get("id")),
        transfer_id=id_of(reversal.get("transfer")) or "",
        amount=whole(reversal.get("amount")),
        currency=text(reversal.get("currency")).upper(),
        created=whole(reversal.get("created")),
        reversal_ref=text(part(reversal.get("metadata")).get("reversal_ref")),
    )
