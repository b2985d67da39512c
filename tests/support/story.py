"""A whole purchase by card as it happens: paid at the sandbox, told by its events, delivered, revealed,
confirmed, mails written, the log sealed."""

from dataclasses import dataclass
from uuid import UUID

from fondaco import audit, delivery, orders
from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.orders import OrderGroup
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing
from tests.support.money import Till, make_buyer
from tests.support.people import make_seller

KEYS = ("STORY-KEY-ALPHA-0001", "STORY-KEY-BRAVO-0002", "STORY-KEY-CHARLIE-0003")
ADDRESS = "203.0.113.77"


@dataclass(frozen=True)
class Story:
    """The purchase of two of three keys."""

    buyer: Viewer
    seller: Viewer
    listing_id: UUID
    title: str
    group: OrderGroup
    order_id: UUID
    parts: Parts


async def tell(till: Till, title: str = "The Long Story") -> Story:
    """From listing to confirmed delivery; one of the two keys is revealed."""
    db, vault = till.db, Vault(till.settings)
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=1999, title=title)
    await add_keys(db, vault, seller, listing, KEYS)
    buyer = await make_buyer(db, ip=ADDRESS, user_agent="test")
    purchase = orders.purchase_of(
        buyer,
        orders.policy_of(till.settings),
        [orders.Wish(listing.id, 2, price=1999)],
        currency="EUR",
        idem="story",
    )
    placed = await orders.place_with_card(db, till.gateway, till.settings, purchase)
    session = await db.fetchval(
        SYSTEM, "SELECT session_id FROM wallets.funding WHERE group_id = $1", placed.group_id
    )
    till.sandbox.pay(session)
    await till.deliver_all()
    group = await orders.own_order_group(db, buyer, placed.group_id)
    await delivery.reveal(db, vault, buyer, group.orders[0].lines[0].entitlements[0])
    await orders.confirm_delivery(db, buyer, placed.group_id)
    parts = Parts(db, till.settings, till.gateway, vault)
    await read_events(parts)
    await audit.seal(db, till.settings)
    group = await orders.own_order_group(db, buyer, placed.group_id)
    return Story(buyer, seller, listing.id, title, group, group.orders[0].id, parts)
