"""The mail about a month's statement, to a store's owners and finance."""

from datetime import date
from typing import TYPE_CHECKING

from fondaco.notifications.actions import Recipient

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_ROLES = ["owner", "finance"]


async def statement_ready(post: "Post") -> None:
    """A month's statement was issued. Papers of payouts and orders go without: those have a mail already."""
    if post.event.data.get("kind") != "statement":
        return
    row = await post.conn.fetchrow(
        """SELECT p.id, p.number, p.currency::text AS currency, p.period, p.total AS closing, p.seller_id,
             s.name AS store, (c.content #>> '{opening,0,amounts,-1}')::bigint AS opening,
             jsonb_array_length(c.content -> 'lines') AS entries
           FROM statements.paper p JOIN sellers.seller s ON s.id = p.seller_id
           CROSS JOIN LATERAL (SELECT p.content::jsonb AS content) c WHERE p.id = $1""",
        post.id,
    )
    if row is None:
        raise LookupError("no such paper")
    members = await post.conn.fetch(
        "SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id "
        "WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL",
        row["seller_id"],
        _ROLES,
    )
    year, month = map(int, row["period"].split("-"))
    for member in members:
        await post.write(
            "statement_ready",
            Recipient(member["id"], member["email"]),
            ref=f"paper:{row['id']}",
            cause=f"event:{post.event.id}",
            paper_id=row["id"],
            store=row["store"],
            month=f"{date(year, month, 1):%B %Y}",
            number=row["number"],
            opening=row["opening"],
            closing=row["closing"],
            entries=row["entries"],
            currency=row["currency"],
        )


PAPER_CAUSES = {"paper.issued": statement_ready}
