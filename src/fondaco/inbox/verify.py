"""Everything recomputed: the ledger, and that orders, stock, deliveries, payments and events agree with it.

Each check is a query that must return nothing; each row it returns is told in words.
"""

from fondaco import ledger
from fondaco.core.db import Database
from fondaco.ledger.verify import MOST, Check, Fault, Progress, run_checks, snapshot
from fondaco.settings import Settings

GRACE = "interval '5 minutes'"  # what a worker that is away may leave undone

DELIVERY: tuple[Check, ...] = (
    Check(
        "I08",
        "order {number}",
        "is paid and delivered but has no moment of payment or delivery",
        """SELECT number FROM orders.orders WHERE state IN ('DELIVERED', 'COMPLETED')
           AND (paid_at IS NULL OR delivered_at IS NULL)""",
    ),
    Check(
        "I08",
        "order {number}",
        "awaits a payment that was due at {expires_at}; nobody closed it",
        f"""SELECT number, expires_at FROM orders.orders o WHERE state = 'PENDING_PAYMENT'
            AND expires_at < now() - interval '2 hours' AND NOT EXISTS (SELECT 1 FROM wallets.funding f
              WHERE f.group_id = o.group_id AND f.state IN ('CREATED', 'PROCESSING')
                AND f.created_at > now() - {GRACE} - interval '26 hours')""",
    ),
    Check(
        "I09",
        "line {id}",
        "is delivered with {n} of {quantity} units",
        """SELECT l.id, l.quantity, count(e.id) AS n FROM orders.order_line l
           LEFT JOIN delivery.entitlement e ON e.line_id = l.id
           WHERE l.delivery_state = 'DELIVERED' GROUP BY l.id HAVING count(e.id) <> l.quantity""",
    ),
    Check(
        "I09",
        "line {line_id}",
        "has {n} deliveries though it is {delivery_state}",
        """SELECT l.id AS line_id, l.delivery_state, count(*) AS n FROM orders.order_line l
           JOIN delivery.entitlement e ON e.line_id = l.id
           WHERE l.delivery_state IN ('RESERVED', 'CANCELLED') GROUP BY l.id""",
    ),
    Check(
        "I09",
        "unit {unit_id}",
        "is delivered {n} times",
        "SELECT unit_id, count(*) AS n FROM delivery.entitlement GROUP BY unit_id HAVING count(*) > 1",
    ),
    Check(
        "I09",
        "entitlement {id}",
        "its unit belongs to another line, listing or seller, or is not sold (it is {state})",
        """SELECT e.id, u.state FROM delivery.entitlement e JOIN inventory.stock_unit u ON u.id = e.unit_id
           WHERE u.line_id IS DISTINCT FROM e.line_id OR u.seller_id <> e.seller_id
             OR u.listing_id <> e.listing_id OR u.state NOT IN ('SOLD', 'CONSUMED')""",
    ),
    Check(
        "I09",
        "entitlement {id}",
        "belongs to another buyer, seller or order than its line",
        """SELECT e.id FROM delivery.entitlement e JOIN orders.order_line l ON l.id = e.line_id
           WHERE e.buyer_id <> l.buyer_id OR e.seller_id <> l.seller_id OR e.order_id <> l.order_id""",
    ),
    Check(
        "I09",
        "unit {id}",
        "is {state} but was delivered to nobody",
        """SELECT u.id, u.state FROM inventory.stock_unit u WHERE u.state IN ('SOLD', 'CONSUMED')
           AND NOT EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.unit_id = u.id)""",
    ),
    Check(
        "I09",
        "unit {id}",
        "was revealed and is {state}; a revealed unit stays consumed",
        """SELECT u.id, u.state FROM inventory.stock_unit u JOIN delivery.entitlement e ON e.unit_id = u.id
           WHERE u.state <> 'CONSUMED' AND (e.revealed_at IS NOT NULL
             OR EXISTS (SELECT 1 FROM delivery.reveal r WHERE r.entitlement_id = e.id))""",
    ),
    Check(
        "I10",
        "line {id}",
        "is delivered without its money: there is no journal buy:{id}",
        """SELECT l.id FROM orders.order_line l WHERE l.delivery_state = 'DELIVERED'
           AND NOT EXISTS (SELECT 1 FROM ledger.journal j WHERE j.idem = 'buy:' || l.id)""",
    ),
    Check(
        "I10",
        "journal {idem}",
        "took money for a line that is not delivered",
        """SELECT j.idem FROM ledger.journal j WHERE j.kind = 'purchase' AND NOT EXISTS (
             SELECT 1 FROM orders.order_line l WHERE 'buy:' || l.id = j.idem
               AND l.delivery_state IN ('DELIVERED', 'REFUNDED'))""",
    ),
)

STOCK: tuple[Check, ...] = (
    Check(
        "I11",
        "batch {id}",
        "says {imported} units were imported, there are {n}",
        """SELECT b.id, b.imported, count(u.id) AS n FROM inventory.stock_batch b
           LEFT JOIN inventory.stock_unit u ON u.batch_id = b.id
           WHERE b.state IN ('CLOSED', 'FAILED') GROUP BY b.id
           HAVING count(u.id) <> CASE b.state WHEN 'CLOSED' THEN b.imported ELSE 0 END""",
    ),
    Check(
        "I11",
        "unit {id}",
        "belongs to another seller or listing than its batch",
        """SELECT u.id FROM inventory.stock_unit u JOIN inventory.stock_batch b ON b.id = u.batch_id
           WHERE u.seller_id <> b.seller_id OR u.listing_id <> b.listing_id""",
    ),
    Check(
        "I12",
        "unit {id}",
        "is reserved for an order that is {state}, not waiting for its payment",
        """SELECT u.id, coalesce(o.state, 'gone') AS state FROM inventory.stock_unit u
           LEFT JOIN orders.order_line l ON l.id = u.line_id LEFT JOIN orders.orders o ON o.id = l.order_id
           WHERE u.state = 'RESERVED' AND o.state IS DISTINCT FROM 'PENDING_PAYMENT'""",
    ),
    Check(
        "I12",
        "line {id}",
        "waits with {n} of {quantity} units reserved",
        """SELECT l.id, l.quantity, count(u.id) AS n FROM orders.order_line l
           LEFT JOIN inventory.stock_unit u ON u.line_id = l.id AND u.state = 'RESERVED'
           WHERE l.delivery_state = 'RESERVED' GROUP BY l.id HAVING count(u.id) <> l.quantity""",
    ),
)

_ESCROW = """SELECT l.id, l.escrow_state, l.total, l.refunded, coalesce(b.amount, 0) AS held
  FROM orders.order_line l LEFT JOIN ledger.account_balance b
    ON b.kind = 'escrow' AND b.owner = 'line:' || l.id AND b.currency = l.currency"""

MIRRORS: tuple[Check, ...] = (
    Check(
        "I13",
        "line {id}",
        "is {escrow_state} with {held} in escrow, which should hold its total of {total} less {refunded}",
        f"""SELECT * FROM ({_ESCROW}) e WHERE held <> CASE escrow_state WHEN 'HELD' THEN total - refunded
            ELSE 0 END""",
    ),
    Check(
        "I13",
        "account of {owner}",
        "holds {amount} {currency} for a line that does not exist",
        """SELECT b.owner, b.amount, b.currency FROM ledger.account_balance b WHERE b.kind = 'escrow'
           AND b.amount <> 0 AND NOT EXISTS (SELECT 1 FROM orders.order_line l
             WHERE 'line:' || l.id = b.owner AND l.currency = b.currency)""",
    ),
    Check(
        "I14",
        "line {id}",
        "is {escrow_state} and {delivery_state}, and its order {number} {state}: these do not go together",
        """SELECT l.id, l.escrow_state, l.delivery_state, o.number, o.state FROM orders.order_line l
           JOIN orders.orders o ON o.id = l.order_id WHERE NOT CASE o.state
             WHEN 'PENDING_PAYMENT' THEN (l.delivery_state, l.escrow_state) = ('RESERVED', 'EMPTY')
             WHEN 'EXPIRED' THEN (l.delivery_state, l.escrow_state) = ('CANCELLED', 'EMPTY')
             WHEN 'CANCELLED' THEN (l.delivery_state, l.escrow_state) = ('CANCELLED', 'EMPTY')
             WHEN 'DELIVERED' THEN l.escrow_state IN ('HELD', 'RELEASED', 'REFUNDED')
             WHEN 'COMPLETED' THEN l.escrow_state IN ('RELEASED', 'REFUNDED')
             ELSE l.escrow_state IN ('REFUNDED', 'RELEASED') END""",
    ),
    Check(
        "I14",
        "line {id}",
        "is released but there is no journal release:{id}, or the other way round",
        """SELECT l.id FROM orders.order_line l WHERE (l.escrow_state = 'RELEASED') <> EXISTS (
             SELECT 1 FROM ledger.journal j WHERE j.idem = 'release:' || l.id)""",
    ),
    Check(
        "I14",
        "order {number}",
        "has a total of {total}, its lines make {lines}",
        """SELECT o.number, o.total, coalesce(sum(l.total), 0) AS lines FROM orders.orders o
           LEFT JOIN orders.order_line l ON l.order_id = o.id GROUP BY o.id
           HAVING o.total <> coalesce(sum(l.total), 0)""",
    ),
    Check(
        "I14",
        "order group {number}",
        "has a total of {total}, its orders make {orders}",
        """SELECT g.number, g.total, coalesce(sum(o.total), 0) AS orders FROM orders.order_group g
           LEFT JOIN orders.orders o ON o.group_id = g.id GROUP BY g.id
           HAVING g.total <> coalesce(sum(o.total), 0)""",
    ),
)

PAYMENTS: tuple[Check, ...] = (
    Check(
        "I15",
        "funding {id}",
        "of {amount} says {refunded} refunded, {refund_pending} pending; its refunds make {done}, {open}",
        """SELECT f.id, f.amount, f.refunded, f.refund_pending,
             coalesce(sum(r.amount) FILTER (WHERE r.state = 'SUCCEEDED'), 0) AS done,
             coalesce(sum(r.amount) FILTER (WHERE r.state IN
               ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING')), 0) AS open
           FROM wallets.funding f LEFT JOIN wallets.refund r ON r.funding_id = f.id GROUP BY f.id
           HAVING f.refunded <> coalesce(sum(r.amount) FILTER (WHERE r.state = 'SUCCEEDED'), 0)
             OR f.refund_pending <> coalesce(sum(r.amount) FILTER (WHERE r.state IN
               ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING')), 0)
             OR f.refunded + f.refund_pending > f.amount OR least(f.refunded, f.refund_pending) < 0""",
    ),
    Check(
        "I15",
        "funding {id}",
        "is {state}, which does not agree with {refunded} of {amount} refunded",
        """SELECT id, state, refunded, amount FROM wallets.funding WHERE state <> CASE
             WHEN refunded = amount THEN 'REFUNDED' WHEN refunded > 0 THEN 'PARTIALLY_REFUNDED'
             WHEN state IN ('PARTIALLY_REFUNDED', 'REFUNDED') THEN 'SUCCEEDED' ELSE state END""",
    ),
    Check(
        "I16",
        "funding {id}",
        "is {state} but its money ({amount}) is not in the ledger as topup:{intent_id}",
        """SELECT f.id, f.state, f.amount, f.intent_id FROM wallets.funding f
           WHERE f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED') AND NOT EXISTS (
             SELECT 1 FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
             WHERE j.idem = 'topup:' || f.intent_id AND j.ref = 'funding:' || f.id
               AND e.amount = f.amount AND e.currency = f.currency)""",
    ),
    Check(
        "I16",
        "journal {idem}",
        "brought money in for a funding that is not paid",
        """SELECT j.idem FROM ledger.journal j WHERE j.kind = 'top_up' AND j.ref LIKE 'funding:%'
           AND NOT EXISTS (SELECT 1 FROM wallets.funding f WHERE 'funding:' || f.id = j.ref
             AND 'topup:' || f.intent_id = j.idem
             AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED'))""",
    ),
    Check(
        "I16",
        "refund {id}",
        "is {state}, and {held} of its {amount} are in flight",
        """SELECT r.id, r.state, r.amount, coalesce(b.amount, 0) AS held FROM wallets.refund r
           LEFT JOIN ledger.account_balance b ON b.kind = 'refund_in_flight'
             AND b.owner = 'refund:' || r.id AND b.currency = r.currency
           WHERE coalesce(b.amount, 0) <> CASE WHEN r.state IN ('SUCCEEDED', 'FAILED', 'CANCELED') THEN 0
             ELSE r.amount END""",
    ),
    Check(
        "I22",
        "refund {id}",
        "has been {state} since {created_at}",
        """SELECT id, state, created_at FROM wallets.refund WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN')
           AND created_at < now() - interval '1 day'""",
    ),
)

EVENTS: tuple[Check, ...] = (
    Check(
        "I23",
        "event {event_id}",
        "is kept {n} times",
        "SELECT event_id, count(*) AS n FROM inbox.event GROUP BY provider, event_id HAVING count(*) > 1",
    ),
    Check(
        "I23",
        "event {event_id}",
        "is still {state} after {attempts} tries: {failure}",
        f"""SELECT event_id, state, attempts, coalesce(failure, 'never tried') AS failure FROM inbox.event
            WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')
              AND greatest(received_at, next_at) < now() - {GRACE}""",
    ),
    Check(
        "I23",
        "event {event_id}",
        "is dead and waits for somebody: {failure}",
        "SELECT event_id, failure FROM inbox.event WHERE state = 'DEAD'",
    ),
)

_STATES = {
    "order": ("orders.orders", "state"),
    "line_delivery": ("orders.order_line", "delivery_state"),
    "escrow": ("orders.order_line", "escrow_state"),
    "stock_unit": ("inventory.stock_unit", "state"),
    "stock_batch": ("inventory.stock_batch", "state"),
    "listing": ("catalog.listing", "state"),
    "seller": ("sellers.seller", "state"),
    "payment": ("wallets.funding", "state"),
    "refund": ("wallets.refund", "state"),
    "inbox_event": ("inbox.event", "state"),
    "mail": ("notifications.mail", "state"),
}
STATES: tuple[Check, ...] = tuple(
    Check(
        "I27",
        f"{table} {{id}}",
        "is {state}, which is no state of its machine",
        f"""SELECT id, {column} AS state FROM {table} t WHERE NOT EXISTS (
              SELECT 1 FROM core.edge e WHERE e.machine = '{machine}' AND e.target = t.{column})""",
    )
    for machine, (table, column) in _STATES.items()
)


def _other_mode(settings: Settings) -> Check:
    live = "true" if settings.production else "false"
    return Check(
        "I23",
        "event {event_id}",
        "had an effect though it is of the other mode",
        f"""SELECT event_id FROM inbox.event WHERE state = 'PROCESSED' AND livemode AND NOT {live}""",
    )


async def verify_all(db: Database, settings: Settings, progress: Progress | None = None) -> list[Fault]:
    """Everything that is not as it must be, in words; an empty list when all is well.

    `progress` is told what is being looked at. Reads one unchanging view; disturbs nobody.
    """
    faults = await ledger.verify(db, progress)
    tell: Progress = progress or (lambda words: None)
    checks = (*DELIVERY, *STOCK, *MIRRORS, *PAYMENTS, *EVENTS, _other_mode(settings), *STATES)
    async with snapshot(db) as conn:
        faults += await run_checks(conn, checks, tell)
    return faults[:MOST]
