"""Buying, paying, giving up, confirming: the verbs of orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import wallets
from fondaco.core import failpoints
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record, Scope
from fondaco.core.problem import Conflict, Invalid, NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.integrations.stripe import CheckoutLine, StripeGateway
from fondaco.orders.combiner import Combiner, verdict_of
from fondaco.orders.model import (
    Bought,
    NotDelivered,
    NotPayable,
    NotWaiting,
    PaymentUnderWay,
    PayOutcome,
    Policy,
    Purchase,
    PurchaseKeyReused,
    Wish,
)
from fondaco.orders.on_credit import buy_on_credit
from fondaco.orders.policies import refund_terms, release_terms
from fondaco.orders.quoting import confirmed, fingerprint_of, merge, present
from fondaco.settings import Settings

# A checkout page must live a full half hour from the moment the provider makes it.
_SLACK = timedelta(minutes=2)


def policy_of(settings: Settings) -> Policy:
    """The marketplace's present terms."""
    return Policy(
        settings.commission_bps,
        settings.protection_days,
        release=release_terms(settings),
        refund=refund_terms(settings),
    )


def purchase_of(
    viewer: Viewer,
    policy: Policy,
    wishes: Sequence[Wish],
    *,
    currency: str,
    idem: str,
    from_cart: bool = False,
) -> Purchase:
    """What the viewer asks for. Raises Invalid for bad quantities, keys, or lines without a seen price."""
    if not wishes:
        raise Invalid(fields={"lines": "Say what to buy."})
    if not 1 <= len(idem) <= 255 or not idem.isprintable():
        raise Invalid(fields={"idem": "Must be 1 to 255 printable characters."})
    for i, w in enumerate(wishes):
        if w.price is None and w.price_version is None:
            raise Invalid(fields={f"lines.{i}.price": "Say the price you saw, or confirm a quote."})
    return Purchase(
        buyer_id=viewer.user(),
        country=viewer.country,
        actor=viewer.actor,
        idem=idem,
        currency=currency,
        wishes=tuple(merge(wishes)),
        policy=policy,
        from_cart=from_cart,
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """An order group that stands. `checkout_url`: where to pay one that awaits its card payment; None when
    the provider could not be reached just now: the payment can be started again from the order's page.
    `again`: it was made before with the same key."""

    group_id: UUID
    checkout_url: str | None
    again: bool = False


async def checkout(
    parts: Parts,
    viewer: Viewer,
    *,
    pay_with: str,
    idem: str,
    wishes: Sequence[Wish] | None = None,
    fingerprint: str | None = None,
    currency: str | None = None,
    store: str | None = None,
) -> Placed:
    """Buy: `wishes`, or the viewer's cart when None; from the 'wallet', by 'card' or on 'instant_credit'.

    `fingerprint` is that of the quote the viewer confirmed. Without it every wish must carry the price or
    price version the viewer saw. The same `idem` again answers the first purchase, or PurchaseKeyReused when
    it was of something else. Raises PriceChanged or QuoteChanged with the differences, or why it cannot be
    bought; then nothing was charged. `store`: which purchase of a cart that takes several, as in `present`.
    """
    settings, db = parts.get(Settings), parts.get(Database)
    if pay_with not in ("wallet", "card", "instant_credit"):
        raise Invalid(fields={"pay_with": "Must be wallet, card or instant_credit."})
    if wishes is None and fingerprint is None:
        raise Invalid(fields={"quote": "Send the fingerprint of the quote you confirm."})
    if fingerprint is not None:
        viewer.user()
        shown, before = await present(db, viewer, wishes or None, idem=idem, store=store)
        if before:
            if not await _is_of(db, viewer, before, wishes, fingerprint):
                raise PurchaseKeyReused()
            return await _resume(parts, viewer, before)
        asked, currency = confirmed(shown, fingerprint), shown.currency
    else:
        asked = tuple(wishes or ())
    purchase = purchase_of(
        viewer,
        policy_of(settings),
        asked,
        currency=currency or settings.currency,
        idem=idem,
        from_cart=wishes is None,
    )
    if pay_with == "card":
        return await place_with_card(db, parts.get(StripeGateway), settings, purchase)
    if pay_with == "instant_credit":
        bought = await buy_on_credit(db, purchase)
        return Placed(bought.group_id, None, bought.again)
    bought = await parts.get(Combiner).buy(purchase)
    if failpoints.armed:
        await failpoints.reached("web.checkout.after_commit_before_answer")
    return Placed(bought.group_id, None, bought.again)


async def bought_before(db: Database, viewer: Viewer, idem: str) -> UUID | None:
    """The group the viewer bought with this purchase key, if any."""
    group_id: UUID | None = await db.fetchval(
        viewer.as_user,
        "SELECT id FROM orders.order_group WHERE buyer_id = $1 AND idem = $2",
        viewer.user(),
        idem,
    )
    return group_id


async def _is_of(
    db: Database, viewer: Viewer, group_id: UUID, wishes: Sequence[Wish] | None, fingerprint: str
) -> bool:
    """Whether the viewer's group is a purchase of what that quote showed."""
    rows = await db.fetch(
        viewer.as_user,
        """SELECT l.listing_id, l.quantity, l.unit_price, (l.terms->>'price_version')::int AS price_version,
             g.currency
           FROM orders.order_group g JOIN orders.orders o ON o.group_id = g.id
           JOIN orders.order_line l ON l.order_id = o.id WHERE g.id = $1 AND g.buyer_id = $2""",
        group_id,
        viewer.user(),
    )
    if wishes is not None and {(r["listing_id"], r["quantity"]) for r in rows} != {
        (w.listing_id, w.quantity) for w in merge(wishes)
    }:
        return False
    bought = [(r["listing_id"], r["quantity"], r["unit_price"], r["price_version"]) for r in rows]
    return fingerprint == fingerprint_of(bought, rows[0]["currency"])


async def _resume(parts: Parts, viewer: Viewer, group_id: UUID) -> Placed:
    db, gateway, settings = parts.get(Database), parts.get(StripeGateway), parts.get(Settings)
    return Placed(group_id, await checkout_url(db, gateway, settings, viewer.user(), group_id), again=True)


async def buy_with_wallet(combiner: Combiner, purchase: Purchase) -> Bought:
    """Pay from the wallet; everything is delivered when this returns. Raises why not; then nothing was
    charged. The same purchase key again answers the first purchase."""
    return await combiner.buy(purchase)


async def place_with_card(
    db: Database, gateway: StripeGateway, settings: Settings, purchase: Purchase
) -> Placed:
    """Reserve everything for a while, then open the payment page for exactly the total.

    The order rows, the reservation and the funding are one transaction; the provider is called after it.
    Raises why not; then nothing was charged. The same purchase key again answers the first one's page.
    """
    until = now() + timedelta(minutes=settings.reservation_minutes) + _SLACK
    for attempt in (1, 2):
        try:
            bought, funding_id = await reserve(db, purchase, until)
            break
        except asyncpg.UniqueViolationError:  # the same key at the same moment: the other one stands
            if attempt == 2:
                raise Conflict() from None
    else:
        raise AssertionError("unreachable")
    if failpoints.armed:
        await failpoints.reached("web.checkout.after_reserve")
    if funding_id is None:
        url = await checkout_url(db, gateway, settings, purchase.buyer_id, bought.group_id)
        return Placed(bought.group_id, url)
    return Placed(bought.group_id, await _open(db, gateway, settings, bought.group_id, funding_id))


async def reserve(db: Database, purchase: Purchase, until: datetime) -> tuple[Bought, UUID | None]:
    """The first half of a card checkout, without the provider: rows, reservation and funding in one
    transaction. Answers the funding to open, None when the purchase was made before."""
    buyer = Viewer(user_id=purchase.buyer_id)

    async def work(conn: Connection) -> tuple[Bought, UUID | None]:
        row, at_sale = await _placed(conn, purchase, until)
        verdict = verdict_of(row["verdict"], row["group_id"], row["data"])
        if isinstance(verdict, Problem):
            raise verdict
        if verdict.again:
            return verdict, None
        route = await _route(conn, verdict.group_id) if at_sale else None
        lines = await conn.fetch(
            """SELECT l.terms->>'title' AS title, l.quantity, l.unit_price FROM orders.orders o
               JOIN orders.order_line l ON l.order_id = o.id WHERE o.group_id = $1 ORDER BY l.id""",
            verdict.group_id,
        )
        shown = [CheckoutLine(r["title"], r["quantity"], r["unit_price"]) for r in lines]
        funding_id = await wallets.start_order_funding(
            conn, buyer, verdict.group_id, row["data"]["total"], purchase.currency, until, shown, route
        )
        if failpoints.armed:
            await failpoints.reached("web.checkout.after_debit_before_commit", conn)
        return verdict, funding_id

    return await db.run(buyer.as_user, work)


async def _placed(conn: Connection, purchase: Purchase, until: datetime) -> tuple[Record, bool]:
    """The verdict about a purchase by card, and whether it goes to one store's own account: when everything
    asked for is of stores that are paid at the sale."""
    sql = "SELECT * FROM orders.place($1::jsonb)"
    row = await conn.fetchrow(sql, purchase.wire("card", until))
    assert row
    if row["verdict"] != "at_sale":
        return row, False
    told: list[dict[str, Any]] = row["data"]["lines"]
    if {line["fault"] for line in told} != {"at_sale"} or len(told) < len(purchase.wishes):
        return row, False
    row = await conn.fetchrow(sql, {**purchase.wire("card", until), "pay": "destination"})
    assert row
    return row, True


async def _route(conn: Connection, group_id: UUID) -> wallets.Route:
    row = await conn.fetchrow("SELECT * FROM destination.place($1) WHERE group_id IS NOT NULL", group_id)
    if row is None:
        raise NotPayable()
    return wallets.Route(row["seller_id"], row["account"], row["passed_on"], row["kept"])


async def checkout_url(
    db: Database, gateway: StripeGateway, settings: Settings, buyer_id: UUID, group_id: UUID
) -> str | None:
    """The payment page of a group that awaits its payment (opened again if need be); None otherwise, or
    when the provider does not answer. Raises PaymentRefused."""
    row = await db.fetchrow(
        Scope("user", user=buyer_id),
        """SELECT f.id, f.session_url FROM wallets.funding f
           WHERE f.group_id = $1 AND f.user_id = $2 AND f.state IN ('CREATED', 'PROCESSING')
             AND EXISTS (SELECT 1 FROM orders.orders o WHERE o.group_id = f.group_id
                         AND o.state = 'PENDING_PAYMENT')
           ORDER BY f.created_at DESC LIMIT 1""",
        group_id,
        buyer_id,
    )
    if row is None:
        return None
    return row["session_url"] or await _open(db, gateway, settings, group_id, row["id"])


async def _open(
    db: Database, gateway: StripeGateway, settings: Settings, group_id: UUID, funding_id: UUID
) -> str | None:
    try:
        return (await wallets.open_session(db, gateway, settings, funding_id)).session_url
    except wallets.PaymentUnavailable:
        return None  # asked again from the order's page, and by the sweeper
    except wallets.PaymentRefused:
        await give_up(db, group_id, "CANCELLED", "the payment could not be opened", "system")
        raise


async def pay_group(conn: Connection, group_id: UUID, funding_id: UUID) -> PayOutcome:
    """The funding's money is in the buyer's wallet, in this same transaction: pay the group and deliver it.

    One statement. Safe to repeat. SOLD_OUT and CANCELLED leave the money in the wallet; the caller sends it
    back to its source in the same transaction. BLOCKED leaves it there for what the bank disputes.
    """
    outcome = await conn.fetchval("SELECT orders.pay_group($1, $2)", group_id, funding_id)
    return PayOutcome(outcome)


async def cancel_order(
    db: Database, gateway: StripeGateway, settings: Settings, viewer: Viewer, order_id: UUID
) -> UUID:
    """The buyer gives up before paying: the whole order group (one payment) is cancelled, its units go back
    to stock, its payment page is closed. `order_id`: of the group or of one of its orders.

    Returns the group's id. Raises NotFound, NotWaiting, PaymentUnderWay. A payment that slips through is
    sent back.
    """
    group_id = await own_group(db, viewer, order_id)
    await cancel_group(db, gateway, settings, group_id, because="cancelled by the buyer", actor=viewer.actor)
    return group_id


async def cancel_for_staff(
    db: Database, gateway: StripeGateway, settings: Settings, viewer: Viewer, order_id: UUID, *, because: str
) -> UUID:
    """As `cancel_order`, for a desk with that permission and with a reason that the buyer reads."""
    reason = because.strip()
    if not 3 <= len(reason) <= 200 or "\x00" in reason:
        raise Invalid(fields={"because": "Say why in 3 to 200 characters; the buyer reads it."})
    group_id = await db.fetchval(
        viewer.as_staff, "SELECT group_id FROM orders.orders WHERE id = $1 OR group_id = $1 LIMIT 1", order_id
    )
    if group_id is None:
        raise NotFound()
    await cancel_group(db, gateway, settings, group_id, because=reason, actor=viewer.actor)
    return group_id


async def cancel_group(
    db: Database, gateway: StripeGateway, settings: Settings, group_id: UUID, *, because: str, actor: str
) -> None:
    """Cancel, then close the payment page. Raises NotWaiting, PaymentUnderWay."""
    answer = await give_up(db, group_id, "CANCELLED", because, actor)
    if answer == "under_way":
        raise PaymentUnderWay()
    if answer != "done":
        raise NotWaiting()
    for funding_id in await open_fundings(db, group_id):
        await wallets.close_funding(db, gateway, settings, funding_id)


async def give_up(db: Database, group_id: UUID, state: str, because: str, actor: str) -> str:
    """`orders.give_up` in a transaction of its own: done, not_waiting, not_yet, under_way or paid."""

    async def work(conn: Connection) -> str:
        answer: str = await conn.fetchval(
            "SELECT orders.give_up($1, $2, $3, $4)", group_id, state, because, actor
        )
        return answer

    return await db.run(SYSTEM, work)


async def open_fundings(db: Database, group_id: UUID) -> list[UUID]:
    """Fundings of a group whose outcome is open."""
    rows = await db.fetch(
        SYSTEM,
        "SELECT id FROM wallets.funding WHERE group_id = $1 AND state IN ('CREATED', 'PROCESSING')",
        group_id,
    )
    return [r["id"] for r in rows]


async def confirm_delivery(db: Database, viewer: Viewer, order_id: UUID) -> UUID:
    """The buyer has what they paid for: the money of the order (or of all orders of the group) goes to the
    seller now. Returns the group's id. Raises NotFound, NotDelivered; confirming twice changes nothing."""
    group_id = await own_group(db, viewer, order_id)

    async def work(conn: Connection) -> None:
        lines: list[Any] = await conn.fetch(
            """SELECT l.id, o.state FROM orders.orders o JOIN orders.order_line l ON l.order_id = o.id
               WHERE o.buyer_id = $1 AND (o.id = $2 OR o.group_id = $2)""",
            viewer.user(),
            order_id,
        )
        if any(r["state"] not in ("DELIVERED", "COMPLETED") for r in lines):
            raise NotDelivered()
        await conn.execute("SELECT orders.release($1, $2)", [r["id"] for r in lines], viewer.actor)

    await db.run(viewer.as_user, work)
    return group_id


async def freeze(conn: Connection, line_ids: Sequence[UUID], actor: str) -> list[UUID]:
    """A case begins: the held money of these lines stays where it is and their release clock stands still.
    Returns the lines that are frozen now; one that was released meanwhile is not among them."""
    frozen: list[UUID] = await conn.fetchval("SELECT orders.freeze($1, $2)", list(line_ids), actor)
    return frozen


async def thaw(conn: Connection, line_ids: Sequence[UUID], actor: str) -> list[UUID]:
    """A case ended without a decision about the money: protection goes on for as long as was left of it.
    Returns the lines that are held again."""
    thawed: list[UUID] = await conn.fetchval("SELECT orders.thaw($1, $2)", list(line_ids), actor)
    return thawed


async def release_lines(
    conn: Connection, line_ids: Sequence[UUID], actor: str, *, even_frozen: bool = True
) -> int:
    """What is left of these lines' held (and frozen) money goes to the seller and the marketplace;
    returns how many lines that were."""
    released: int = await conn.fetchval(
        "SELECT orders.release($1, $2, $3)", list(line_ids), actor, even_frozen
    )
    return released


async def own_group(db: Database, viewer: Viewer, order_id: UUID) -> UUID:
    """The group of the viewer's order (or the group itself). Raises NotFound."""
    group_id = await db.fetchval(
        viewer.as_user,
        "SELECT group_id FROM orders.orders WHERE buyer_id = $1 AND (id = $2 OR group_id = $2) LIMIT 1",
        viewer.user(),
        order_id,
    )
    if group_id is None:
        raise NotFound()
    return group_id
