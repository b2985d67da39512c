"""Mails about the books and the payment provider: to those who explain what differs."""

from typing import TYPE_CHECKING, Any

from fondaco.identity.permissions import PERMISSIONS
from fondaco.notifications.actions import Recipient

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post


async def _compared(post: "Post") -> None:
    """A run found what no run before it had found."""
    if not post.event.data.get("new"):
        return
    rows = await post.conn.fetch(
        """SELECT id, words, amount, currency::text FROM reconciliation.break WHERE state = 'OPEN'
           ORDER BY opened_at DESC, id LIMIT 10"""
    )
    await _to_finance(
        post,
        new=post.event.data["new"],
        open=post.event.data["breaks"],
        breaks=[dict(row) for row in rows],
        why="",
    )


async def _broken_off(post: "Post") -> None:
    """A run could not be ended."""
    await _to_finance(post, new=0, open=0, breaks=[], why=str(post.event.data["why"]))


async def _to_finance(post: "Post", **values: Any) -> None:
    roles = [r.removeprefix("staff.") for r in PERMISSIONS["console.resolve_break"]]
    people = await post.conn.fetch(
        "SELECT id, email FROM identity.users WHERE staff_role = ANY ($1) AND banned_at IS NULL", roles
    )
    for one in people:
        to = Recipient(one["id"], one["email"])
        await post.write("books_differ", to, cause=f"event:{post.event.id}", **values)


BOOKS_CAUSES = {"reconciliation.done": _compared, "reconciliation.broken_off": _broken_off}
