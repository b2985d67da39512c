"""Delivery: entitlements (the right to a delivered thing) and the reveal of secrets.

One unit is one entitlement, for ever; one copy of an article is one as well. Only its buyer sees it; the
secret itself is opened by an explicit reveal, which is limited, written down first and kept. A unit that was
revealed can never be sold again. Of an article the buyer opens the newest content or the one bought.
"""

from fondaco.delivery.actions import entitlement, library, reveal
from fondaco.delivery.model import Entitlement, EntitlementPage, LibraryPage, Reveal

__all__ = ["Entitlement", "EntitlementPage", "LibraryPage", "Reveal", "entitlement", "library", "reveal"]
