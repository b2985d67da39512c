"""What events about sellers' accounts and transfers cause: the provider is asked first, then it is noted."""

from collections.abc import Awaitable, Callable

from fondaco.core.db import Connection
from fondaco.core.ids import parse_uuid
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import ProviderRefused
from fondaco.payouts.accounts import GONE, close_account, note_account
from fondaco.payouts.sending import note_transfer
from fondaco.payouts.taking_back import note_bank_payout

Note = Callable[[Connection], Awaitable[bool]]
"""Writes down what was asked; False when it is none of ours."""


async def ask_account(gateway: StripeGateway, account_id: str) -> Note:
    """How an account stands now; one that is gone, or whose owner disconnected the marketplace, is closed."""
    try:
        facts = await gateway.retrieve_account(account_id)
    except ProviderRefused as error:
        if error.code not in GONE:
            raise
        return lambda conn: close_account(conn, account_id, "closed, or disconnected from the marketplace")
    return lambda conn: note_account(conn, facts)


async def ask_transfer(gateway: StripeGateway, transfer_id: str) -> tuple[Note, bool]:
    """How a transfer stands now, and whether it says that it is a payout of ours."""
    facts = await gateway.retrieve_transfer(transfer_id)
    return (lambda conn: note_transfer(conn, facts)), parse_uuid(facts.payout_ref) is not None


async def ask_bank_payout(gateway: StripeGateway, account_id: str, payout_id: str) -> Note:
    """How a payout from a seller's account to their bank stands now."""
    facts = await gateway.retrieve_bank_payout(payout_id, account_id)
    return lambda conn: note_bank_payout(conn, facts)
