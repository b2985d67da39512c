"""Mails about where somebody stands: what changed, why, what it means, the way back; answers to appeals."""

from typing import TYPE_CHECKING
from uuid import UUID

from babel.dates import format_date

from fondaco import risk
from fondaco.notifications.actions import Recipient
from fondaco.notifications.letters import LOCALE
from fondaco.risk import Forecast, Tier
from fondaco.risk.words import TIER_WORDS

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_ROLES = ["owner", "manager"]


async def tier_changed(post: "Post") -> None:
    """To whom it is about: a buyer, or a store's owners and managers."""
    before, after = Tier(post.event.data["before"]), Tier(post.event.data["after"])
    whose = "Your store's" if post.event.ref.startswith("seller:") else "Your"
    words = f"{whose} standing was {TIER_WORDS[before].lower()} and is now: {TIER_WORDS[after].lower()}."
    await _tell(post, f"{whose} standing has changed", words)


async def appeal_decided(post: "Post") -> None:
    """To whom it is about: what became of the appeal."""
    granted = bool(post.event.data["granted"])
    words = (
        "We looked at your appeal and granted it."
        if granted
        else "We looked at your appeal. It stays as it is."
    )
    answer = await post.conn.fetchval(
        "SELECT answer FROM risk.appeal WHERE id = $1", UUID(post.event.data["appeal_id"])
    )
    await _tell(post, "Your appeal is answered", words, note=answer or "")


async def appeal_asked(post: "Post") -> None:
    """To whom it is about: somebody of us wrote in the appeal."""
    text = await post.conn.fetchval(
        """SELECT text FROM risk.appeal_word WHERE appeal_id = $1 AND by_staff AND at <= $2
           ORDER BY id DESC LIMIT 1""",
        UUID(post.event.data["appeal_id"]),
        post.event.at,
    )
    words = "Somebody of us looks at your appeal and wrote to you. You can answer on your standing page."
    await _tell(post, "A word about your appeal", words, note=text or "")


async def appealed(post: "Post") -> None:
    """To the operator: an appeal waits."""
    await post.write(
        "standing_changed",
        Recipient(None, post.settings.support_email),
        cause=f"event:{post.event.id}",
        heading="An appeal waits for an answer",
        words="Somebody appealed against where they stand. The nearest deadline comes first.",
        note="",
        reasons=[],
        forbids=[],
        way_back="",
        path="/console/risk",
    )


async def _tell(post: "Post", heading: str, words: str, note: str = "") -> None:
    found = await risk.forecast(post.conn, post.event.ref)
    store = post.event.ref.startswith("seller:")
    for to in await _people(post, store):
        await post.write(
            "standing_changed",
            to,
            cause=f"event:{post.event.id}",
            heading=heading,
            words=words,
            note=note or found.note,
            reasons=found.standing.reasons,
            forbids=found.forbids,
            way_back=_way_back(found),
            path="/seller/standing" if store else "/account/standing",
        )


def _way_back(found: Forecast) -> str:
    if found.standing.tier == Tier.NORMAL:
        return "There is nothing you have to do."
    if found.lower_on:
        day = format_date(found.lower_on, "d MMM y", locale=LOCALE)
        return f"If nothing new happens, it gets better on {day}. You can appeal on your standing page."
    return "You can appeal on your standing page."


async def _people(post: "Post", store: bool) -> list[Recipient]:
    if store:
        rows = await post.conn.fetch(
            "SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id "
            "WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL",
            post.id,
            _ROLES,
        )
    else:
        rows = await post.conn.fetch(
            "SELECT id, email FROM identity.users WHERE id = $1 AND banned_at IS NULL", post.id
        )
    return [Recipient(r["id"], r["email"]) for r in rows]


RISK_CAUSES = {
    "risk.tier_changed": tier_changed,
    "risk.appeal_decided": appeal_decided,
    "risk.appealed": appealed,
    "risk.appeal_asked": appeal_asked,
}
