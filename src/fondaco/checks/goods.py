"""Deliveries and stock: every paid line ends with what was paid for, every unit with one buyer."""

from fondaco.core.checking import Check

GRACE = "interval '5 minutes'"  # what a worker that is away may leave undone
# The newest orders: what a check every minute looks at. Older ones wait for the night.
NEW_ORDERS = "(SELECT * FROM orders.orders ORDER BY created_at DESC, id DESC LIMIT 1000)"
# OFFSET 0 keeps the planner from reading all lines to find theirs.
NEW_LINES = f"""(SELECT l.* FROM {NEW_ORDERS} n CROSS JOIN LATERAL (
              SELECT * FROM orders.order_line l WHERE l.order_id = n.id OFFSET 0) l)"""

DELIVERY: tuple[Check, ...] = (
    Check(
        "I08",
        "order {number}",
        "is paid and delivered but has no moment of payment or delivery",
        """SELECT number FROM orders.orders WHERE state IN ('DELIVERED', 'COMPLETED')
           AND (paid_at IS NULL OR delivered_at IS NULL)""",
        lately=f"""SELECT number FROM {NEW_ORDERS} o WHERE state IN ('DELIVERED', 'COMPLETED')
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
        cheap=True,
    ),
    Check(
        "I09",
        "line {id}",
        "is delivered with {n} of {quantity} units or copies",
        """SELECT l.id, l.quantity - l.taken_back AS quantity, count(e.id) AS n FROM orders.order_line l
           LEFT JOIN delivery.entitlement e ON e.line_id = l.id AND e.revoked_at IS NULL
           WHERE l.delivery_state = 'DELIVERED' GROUP BY l.id
           HAVING count(e.id) <> l.quantity - l.taken_back""",
        lately=f"""SELECT l.id, l.quantity - l.taken_back AS quantity, e.n FROM {NEW_LINES} l
            CROSS JOIN LATERAL (SELECT count(*) AS n FROM delivery.entitlement e
              WHERE e.line_id = l.id AND e.revoked_at IS NULL) e
            WHERE l.delivery_state = 'DELIVERED' AND e.n <> l.quantity - l.taken_back""",
    ),
    Check(
        "I09",
        "line {line_id}",
        "has {n} deliveries though it is {delivery_state}",
        """SELECT l.id AS line_id, l.delivery_state, count(*) AS n FROM orders.order_line l
           JOIN delivery.entitlement e ON e.line_id = l.id
           WHERE l.delivery_state IN ('RESERVED', 'CANCELLED') GROUP BY l.id""",
        lately=f"""SELECT l.id AS line_id, l.delivery_state, e.n FROM {NEW_LINES} l CROSS JOIN LATERAL (
              SELECT count(*) AS n FROM delivery.entitlement e WHERE e.line_id = l.id) e
            WHERE l.delivery_state IN ('RESERVED', 'CANCELLED') AND e.n > 0""",
    ),
    Check(
        "I09",
        "unit {unit_id}",
        "is delivered {n} times",
        """SELECT unit_id, count(*) AS n FROM delivery.entitlement
           WHERE unit_id IS NOT NULL AND back_at IS NULL GROUP BY unit_id HAVING count(*) > 1""",
    ),
    Check(
        "I09",
        "entitlement {id}",
        "its unit belongs to another line, listing or seller, or is not sold (it is {state})",
        """SELECT e.id, u.state FROM delivery.entitlement e JOIN inventory.stock_unit u ON u.id = e.unit_id
           WHERE u.seller_id <> e.seller_id OR u.listing_id <> e.listing_id
             OR e.back_at IS NULL AND (u.line_id IS DISTINCT FROM e.line_id
               OR u.state NOT IN ('SOLD', 'CONSUMED') AND (e.revoked_at IS NULL OR u.state <> 'INVALID'))""",
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
           AND NOT EXISTS (SELECT 1 FROM delivery.entitlement e
             WHERE e.unit_id = u.id AND e.back_at IS NULL)""",
    ),
    Check(
        "I09",
        "unit {id}",
        "was revealed and is {state}; a revealed unit is never for sale again",
        """SELECT u.id, u.state FROM inventory.stock_unit u JOIN delivery.entitlement e ON e.unit_id = u.id
           WHERE u.state NOT IN ('CONSUMED', 'INVALID') AND (e.revealed_at IS NOT NULL
             OR EXISTS (SELECT 1 FROM delivery.reveal r WHERE r.entitlement_id = e.id))""",
    ),
    Check(
        "I10",
        "line {id}",
        "is delivered without its money: there is no journal buy:{id} or credit:{id}",
        """SELECT l.id FROM orders.order_line l WHERE l.delivery_state = 'DELIVERED'
           AND l.escrow_state <> 'DIRECT'
           AND NOT EXISTS (SELECT 1 FROM ledger.journal j WHERE j.idem = 'buy:' || l.id)
           AND NOT EXISTS (SELECT 1 FROM ledger.journal j WHERE j.idem = 'credit:' || l.id)""",
        lately=f"""SELECT l.id FROM {NEW_LINES} l WHERE l.delivery_state = 'DELIVERED'
            AND l.escrow_state <> 'DIRECT'
            AND (SELECT j.id FROM ledger.journal j WHERE j.idem = 'buy:' || l.id) IS NULL
            AND (SELECT j.id FROM ledger.journal j WHERE j.idem = 'credit:' || l.id) IS NULL""",
    ),
    Check(
        "I10",
        "journal {idem}",
        "took money for a line that is not delivered",
        """SELECT j.idem FROM ledger.journal j WHERE j.kind = 'purchase' AND NOT EXISTS (
             SELECT 1 FROM orders.order_line l WHERE 'buy:' || l.id = j.idem
               AND l.delivery_state IN ('DELIVERED', 'REFUNDED', 'REPLACED'))""",
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
        cheap=True,
    ),
    Check(
        "I12",
        "line {id}",
        "waits with {n} of {quantity} units or copies held for it",
        """SELECT l.id, l.quantity, held.n FROM orders.order_line l CROSS JOIN LATERAL (
             SELECT (SELECT count(*) FROM inventory.stock_unit u
                     WHERE u.line_id = l.id AND u.state = 'RESERVED')
               + (SELECT coalesce(sum(h.quantity), 0) FROM inventory.hold h WHERE h.line_id = l.id) AS n) held
           WHERE l.delivery_state = 'RESERVED' AND held.n <> l.quantity""",
        lately=f"""SELECT l.id, l.quantity, held.n FROM {NEW_LINES} l CROSS JOIN LATERAL (
              SELECT (SELECT count(*) FROM inventory.stock_unit u
                      WHERE u.line_id = l.id AND u.state = 'RESERVED')
                + (SELECT coalesce(sum(h.quantity), 0) FROM inventory.hold h WHERE h.line_id = l.id) AS n
            ) held WHERE l.delivery_state = 'RESERVED' AND held.n <> l.quantity""",
    ),
    Check(
        "I12",
        "hold of line {line_id}",
        "keeps copies for an order that is {state}, not waiting for its payment",
        """SELECT h.line_id, coalesce(o.state, 'gone') AS state FROM inventory.hold h
           LEFT JOIN orders.order_line l ON l.id = h.line_id LEFT JOIN orders.orders o ON o.id = l.order_id
           WHERE o.state IS DISTINCT FROM 'PENDING_PAYMENT'""",
        cheap=True,
    ),
    Check(
        "I11",
        "article {listing_id}",
        "has {on_hand} copies on hand, {held} held and {sold} sold; {put_up} were put up",
        """SELECT c.listing_id, c.on_hand, held.n AS held, c.sold, given.n AS put_up FROM inventory.counted c
           CROSS JOIN LATERAL (SELECT coalesce(sum(quantity), 0)::bigint AS n FROM inventory.hold h
             WHERE h.listing_id = c.listing_id) held
           CROSS JOIN LATERAL (SELECT coalesce(sum(change), 0)::bigint AS n FROM inventory.put_up p
             WHERE p.listing_id = c.listing_id) given
           WHERE c.on_hand + held.n + c.sold <> given.n""",
    ),
    Check(
        "I11",
        "article {listing_id}",
        "says {sold} copies are sold, {n} are delivered",
        """SELECT listing_id, c.sold, coalesce(d.n, 0) AS n FROM inventory.counted c
           LEFT JOIN (SELECT listing_id, count(*) AS n FROM delivery.entitlement
                      WHERE unit_id IS NULL AND back_at IS NULL GROUP BY listing_id) d USING (listing_id)
           WHERE c.sold <> coalesce(d.n, 0)""",
    ),
    Check(
        "I11",
        "article {listing_id}",
        "says its newest content is version {content_version}, it is {n}",
        """SELECT listing_id, c.content_version, coalesce(t.n, 0) AS n FROM inventory.counted c
           LEFT JOIN (SELECT listing_id, max(version) AS n FROM inventory.content GROUP BY listing_id) t
             USING (listing_id)
           WHERE c.content_version <> coalesce(t.n, 0)""",
    ),
    Check(
        "I11",
        "listing {id}",
        "says it is {word} stock, which is not so",
        """SELECT l.id, CASE WHEN l.in_stock THEN 'in' ELSE 'out of' END AS word FROM catalog.listing l
           WHERE l.in_stock <> (
             EXISTS (SELECT 1 FROM inventory.stock_unit u WHERE u.listing_id = l.id AND u.state = 'AVAILABLE')
             OR EXISTS (SELECT 1 FROM inventory.counted c WHERE c.listing_id = l.id AND c.on_hand > 0))""",
    ),
)
