"""Mails about chargebacks: to the buyer whose wallet is blocked, to stores, to finance."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from fondaco.chargebacks import reason_words
from fondaco.core.money import Money
from fondaco.identity.permissions import PERMISSIONS
from fondaco.notifications.actions import Recipient
from fondaco.notifications.letters import moment

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_STORE_ROLES = ["owner", "manager", "fulfilment"]
_MONEY_ROLES = ["owner", "manager", "finance"]
_WALLET: dict[str, tuple[str, list[str]]] = {
    "wallet.at_risk": (
        "Your wallet is blocked",
        [
            "A bank disputes one of your card payments, or warns that it may be fraud. Until that is settled "
            "you can buy nothing here, and what is in your wallet may be held.",
            "If you did not mean to dispute it, ask your bank to withdraw the dispute. Your wallet's page "
            "says how it stands.",
        ],
    ),
    "wallet.locked": (
        "Your wallet is locked",
        [
            "Your bank took back a payment that you had spent here, and a part of it is still to be paid.",
            "Put that into your wallet: it is paid at once. Then write to us, and it is opened again.",
        ],
    ),
    "wallet.freed": (
        "Your wallet can be used again",
        ["What blocked it is settled. What was held of it and is yours is in your wallet again."],
    ),
}


async def _wallet(post: "Post") -> None:
    heading, words = _WALLET[post.event.kind]
    to = await post.conn.fetchrow(
        "SELECT id, email FROM identity.users WHERE id = $1 AND banned_at IS NULL", post.id
    )
    if to:
        await _write(
            post,
            [Recipient(to["id"], to["email"])],
            heading,
            words,
            "/wallet",
            "it is about your wallet",
        )


async def _drafted(post: "Post") -> None:
    """To the stores whose goods the money had paid for, and to those who confirm it."""
    row = await post.conn.fetchrow(
        """SELECT c.*, e.window_ends FROM chargebacks.chargeback c JOIN chargebacks.evidence e
             ON e.chargeback_id = c.id AND e.stage = $2 WHERE c.id = $1""",
        post.id,
        post.event.data["stage"],
    )
    if row is None:
        raise LookupError("no such evidence")
    why = f"{reason_words(row['reason'])}."
    for seller in post.event.data["stores"]:
        policy = await post.conn.fetchval(
            """SELECT bool_or(policy <> 'platform' AND bps > 0) FROM chargebacks.line
               WHERE chargeback_id = $1 AND seller_id = $2""",
            row["id"],
            UUID(seller),
        )
        untouched = "Nothing is taken from your store now."
        if not policy:
            untouched = "Your money is untouched, however the bank decides."
        await _write(
            post,
            await _team(post, UUID(seller), _STORE_ROLES),
            "A payment for your goods is disputed",
            [
                f"{why} {untouched}",
                f"If you know something that helps, add it until {moment(row['window_ends'])}.",
            ],
            f"/seller/chargebacks/{row['id']}",
            "you look after the orders of a store",
        )
    until = f" Evidence counts until {moment(row['due_by'])}." if row["due_by"] else ""
    await _write(
        post,
        await _staff(post),
        f"Chargeback of {Money(row['amount'], row['currency']).words()}: evidence to send",
        [f"{why}{until}", "A draft is ready. Somebody of finance sends it."],
        f"/console/chargebacks/{row['id']}",
        "you work on chargebacks",
    )


async def _share(post: "Post") -> None:
    """A store bore its share, or got it back."""
    data = post.event.data
    amount = Money(data["amount"], data["currency"]).words()
    heading = f"{amount} of a lost chargeback are yours to bear"
    words = "It was lost, and the buyer could not pay. The terms of the sale make your store bear a share."
    if post.event.kind == "line.chargeback_share_back":
        heading = f"{amount} of a chargeback came back to you"
        words = "The bank reversed its decision, so your store has its share again."
    await _write(
        post,
        await _team(post, UUID(data["seller_id"]), _MONEY_ROLES),
        heading,
        [words],
        f"/seller/chargebacks/{data['chargeback_id']}",
        "you look after the money of a store",
    )


async def _warned(post: "Post") -> None:
    data = post.event.data
    amount = Money(data["amount"], data["currency"]).words()
    await _write(
        post,
        await _staff(post),
        "A card network warns of fraud",
        [
            f"It is about a payment of {amount}. What is unspent goes back "
            "to the card by itself up to your limit; what was spent blocks the wallet until somebody looks."
        ],
        f"/console/fundings/{post.id}",
        "you work on chargebacks",
    )


async def _refused(post: "Post") -> None:
    await _write(
        post,
        await _staff(post),
        "Evidence was not taken",
        ["The payment provider would not take the evidence of a chargeback. Look at it there."],
        f"/console/chargebacks/{post.id}",
        "you work on chargebacks",
    )


async def _write(  # noqa: PLR0917 - in the order they are read
    post: "Post", to: Sequence[Recipient], heading: str, words: list[str], path: str, because: str
) -> None:
    for one in to:
        await post.write(
            "chargeback_turn",
            one,
            cause=f"event:{post.event.id}:{path}",
            heading=heading,
            words=words,
            path=path,
            because=because,
        )


async def _team(post: "Post", seller_id: UUID, roles: list[str]) -> list[Recipient]:
    rows = await post.conn.fetch(
        """SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id
           WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL ORDER BY u.id""",
        seller_id,
        roles,
    )
    return [Recipient(r["id"], r["email"]) for r in rows]


async def _staff(post: "Post") -> list[Recipient]:
    roles = [r.removeprefix("staff.") for r in PERMISSIONS["console.chargeback_submit"]]
    rows = await post.conn.fetch(
        """SELECT id, email FROM identity.users WHERE staff_role = ANY ($1) AND banned_at IS NULL
           ORDER BY id LIMIT 50""",
        roles,
    )
    return [Recipient(r["id"], r["email"]) for r in rows]


CHARGEBACK_CAUSES: dict[str, Callable[["Post"], Awaitable[None]]] = {
    **dict.fromkeys(_WALLET, _wallet),
    "chargeback.evidence_drafted": _drafted,
    "chargeback.evidence_refused": _refused,
    "line.chargeback_share": _share,
    "line.chargeback_share_back": _share,
    "funding.warned": _warned,
}
