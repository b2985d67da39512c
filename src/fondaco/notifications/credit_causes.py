"""Mails about credit, to the buyer who owes: soon due, overdue, paid, given up."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from fondaco.core.money import Money
from fondaco.notifications.actions import Recipient
from fondaco.notifications.letters import moment

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_PAY = "Put it into your wallet: it is paid by itself at once."


async def _told(post: "Post") -> None:
    row = await post.conn.fetchrow(
        """SELECT g.number, u.id, u.email FROM orders.order_group g
           JOIN identity.users u ON u.id = g.buyer_id WHERE g.id = $1 AND u.banned_at IS NULL""",
        post.id,
    )
    if row is None:
        return
    heading, words = _words(post, row["number"])
    if heading:
        await post.write(
            "credit_turn",
            Recipient(row["id"], row["email"]),
            cause=f"event:{post.event.id}",
            heading=heading,
            words=words,
            path="/wallet",
        )


def _words(post: "Post", number: str) -> tuple[str, list[str]]:
    """Heading and paragraphs; an empty heading when there is nothing to say."""
    data = post.event.data
    amount = Money(data["amount"], data["currency"]).words()
    if post.event.kind == "credit.due_soon":
        until = moment(datetime.fromisoformat(data["due_at"]))
        return f"{amount} are to be paid until {until}", [
            f"You bought {number} on credit, and {amount} of it are still to be paid.",
            _PAY,
        ]
    if post.event.kind == "credit.overdue":
        until = moment(datetime.fromisoformat(data["ends_at"]))
        return f"{amount} are overdue", [
            f"You bought {number} on credit, and {amount} of it were to be paid by now. Until you pay, "
            "nothing more can be bought on credit.",
            _PAY,
            f"What is not paid until {until} is given up: then what you have not opened is taken back, and "
            "you get no credit here again.",
        ]
    if post.event.kind == "credit.written_off":
        taken = " What you had not opened was taken back." if data.get("taken_back") else ""
        return f"{amount} were never paid", [
            f"You bought {number} on credit, and {amount} of it were never paid. We gave them up.{taken}",
            "You can still buy from your wallet or by card; there is no more credit.",
        ]
    if data["still_owed"]:
        return "", []
    return f"{number} is paid", [f"What you owed for {number} is paid. Nothing more is due for it."]


CREDIT_CAUSES: dict[str, Callable[["Post"], Awaitable[None]]] = dict.fromkeys(
    ("credit.due_soon", "credit.overdue", "credit.written_off", "credit.paid"), _told
)
