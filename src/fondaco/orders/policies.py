"""Release and refund policies: named, versioned, and frozen in each line's terms when it is bought.

A policy's text of a version is never edited: another text is another version, so that what a buyer was told
can be read for ever from the terms of the line.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fondaco.settings import Settings

RELEASE_VERSION = 1
REFUND_VERSION = 1
LIABILITY_VERSION = 1
RELEASE_POLICIES: tuple[str, ...] = ("delivered_days", "revealed_hours", "confirmed")

# (policy, version) -> what the buyer is told; filled with the numbers of the terms.
RELEASE_TEXTS: dict[tuple[str, int], str] = {
    (
        "delivered_days",
        1,
    ): "Your money is held until you confirm, and {days} after the delivery at the "
    "latest. Then it goes to the seller.",
    ("revealed_hours", 1): "Your money is held until you confirm, or until {hours} after you have opened "
    "everything, and {days} after the delivery at the latest. Then it goes to the seller.",
    ("confirmed", 1): "Your money is held until you say that all is well. If you say nothing, it goes to the "
    "seller {days} after the delivery.",
}
AT_SALE_TEXT = (
    "This is sold and paid directly to the store. Your money is not held: the store gets it with the payment."
)
REFUND_TEXTS: dict[int, str] = {
    1: "What you have not opened you can give back by yourself within {days} after the delivery, as long as "
    "your money is held; the money is in your wallet at once. What you have opened counts as used: if it "
    "does not work, report it, and the seller replaces it or gives your money back.",
}
AT_SALE_LIABILITY = (
    "You were paid directly. When a bank takes the buyer's payment back and the chargeback is lost, your "
    "part comes back from your own account, or is owed."
)
# (policy, version) -> what the seller of a line is told; filled with its share in percent.
LIABILITY_TEXTS: dict[tuple[str, int], str] = {
    ("platform", 1): "When a bank takes the buyer's payment back, the marketplace bears it. What you have "
    "delivered stays paid.",
    ("seller", 1): "When a bank takes the buyer's payment back, the chargeback is lost and the buyer cannot "
    "pay, you bear what you got for this sale.",
    ("shared", 1): "When a bank takes the buyer's payment back, the chargeback is lost and the buyer cannot "
    "pay, you bear {share} % of what you got for this sale.",
}


def release_terms(settings: Settings) -> dict[str, Any]:
    """The marketplace's release policy as a line's terms keep it. `days`: after delivery, at the latest."""
    hours = settings.release_hours if settings.release_policy == "revealed_hours" else None
    return {
        "policy": settings.release_policy,
        "version": RELEASE_VERSION,
        "days": settings.protection_days,
        "hours": hours,
    }


def refund_terms(settings: Settings) -> dict[str, Any]:
    """The marketplace's refund policy as a line's terms keep it, with who bears what a lost chargeback leaves
    owed: `bps` is the seller's part of what it got for the line."""
    bps = {"platform": 0, "seller": 10_000}.get(settings.chargeback_liability, settings.chargeback_share)
    liability = {"policy": settings.chargeback_liability, "version": LIABILITY_VERSION, "bps": bps}
    return {"version": REFUND_VERSION, "days": settings.refund_days, "liability": liability}


def at_sale(terms: Mapping[str, Any]) -> bool:
    """Whether a line was paid directly to its store."""
    return terms.get("funding") == "destination"


def release_policy(terms: Mapping[str, Any]) -> str:
    """The name of the release policy a line was bought under."""
    kept: Mapping[str, Any] = terms.get("release") or {}
    return str(kept.get("policy", "delivered_days"))


def release_words(terms: Mapping[str, Any]) -> str:
    """What the buyer of a line was told about when the seller is paid."""
    if at_sale(terms):
        return AT_SALE_TEXT
    kept: Mapping[str, Any] = terms.get("release") or {}
    days = kept.get("days") or terms["protection_days"]
    text = RELEASE_TEXTS[kept.get("policy", "delivered_days"), kept.get("version", 1)]
    return text.format(days=_many(days, "day"), hours=_many(kept.get("hours") or 0, "hour"))


def refund_words(terms: Mapping[str, Any]) -> str:
    """What the buyer of a line was told about giving it back; '' for lines from before there was a policy."""
    kept = None if at_sale(terms) else terms.get("refund")
    return REFUND_TEXTS[kept["version"]].format(days=_many(kept["days"], "day")) if kept else ""


def liability_words(terms: Mapping[str, Any]) -> str:
    """What the seller of a line was told about chargebacks. Lines from before there was a policy are the
    marketplace's."""
    if at_sale(terms):
        return AT_SALE_LIABILITY
    refund: Mapping[str, Any] = terms.get("refund") or {}
    kept: Mapping[str, Any] = refund.get("liability") or {}
    text = LIABILITY_TEXTS[kept.get("policy", "platform"), kept.get("version", 1)]
    whole, rest = divmod(int(kept.get("bps", 0)), 100)
    return text.format(share=f"{whole}.{rest:02d}".rstrip("0").rstrip("."))


def refund_until(terms: Mapping[str, Any], delivered_at: datetime | None) -> datetime | None:
    """Until when a buyer may give back by themselves what they have not opened; None: not at all."""
    kept = None if at_sale(terms) else terms.get("refund")
    if not kept or not kept["days"] or delivered_at is None:
        return None
    return delivered_at + timedelta(days=kept["days"])


def _many(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
