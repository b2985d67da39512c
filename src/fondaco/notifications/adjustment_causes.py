"""Mails about balances that finance changed: to whom they belong."""

from typing import TYPE_CHECKING
from uuid import UUID

from fondaco.notifications.actions import Recipient

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_TO = """SELECT u.id, u.email, NULL AS store FROM refunds.adjustment a
  JOIN identity.users u ON u.id = a.user_id WHERE a.id = $1
  UNION ALL SELECT u.id, u.email, s.name FROM refunds.adjustment a JOIN sellers.seller s ON s.id = a.seller_id
  JOIN identity.membership m ON m.seller_id = s.id AND m.role IN ('owner', 'finance')
  JOIN identity.users u ON u.id = m.user_id AND u.banned_at IS NULL WHERE a.id = $1"""


async def _adjusted(post: "Post") -> None:
    """To the buyer, or to the store's people for money; a banned store's too."""
    data = post.event.data
    for row in await post.conn.fetch(_TO, UUID(data["adjustment_id"])):
        await post.write(
            "money_adjusted",
            Recipient(row["id"], row["email"]),
            cause=f"adjustment:{data['adjustment_id']}",
            given=data["amount"] > 0,
            forfeited=post.event.kind == "money.forfeit_made",
            amount=abs(data["amount"]),
            currency=data["currency"],
            why=data["why"],
            store=row["store"],
        )


ADJUSTMENT_CAUSES = {"money.adjustment_made": _adjusted, "money.forfeit_made": _adjusted}
