"""Orders and payments against the ledger, and what the provider told us against both."""

from fondaco.checks.goods import GRACE, NEW_LINES
from fondaco.core.checking import Check
from fondaco.settings import Settings

PAID = "('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED', 'CHARGED_BACK')"
"""States of a funding whose money came in."""
_ESCROW = """SELECT l.id, l.escrow_state, l.total, l.refunded, coalesce(b.amount, 0) AS held
  FROM orders.order_line l LEFT JOIN ledger.account_balance b
    ON b.kind = 'escrow' AND b.owner = 'line:' || l.id AND b.currency = l.currency"""

MIRRORS: tuple[Check, ...] = (
    Check(
        "I13",
        "line {id}",
        "is {escrow_state} with {held} in escrow, which should hold its total of {total} less {refunded}",
        f"""SELECT * FROM ({_ESCROW}) e WHERE held <> CASE
            WHEN escrow_state IN ('HELD', 'FROZEN') THEN total - refunded ELSE 0 END""",
        lately=f"""SELECT l.id, l.escrow_state, l.total, l.refunded, b.held FROM {NEW_LINES} l
            CROSS JOIN LATERAL (
              SELECT coalesce(sum(b.amount), 0)::bigint AS held FROM ledger.account a
              JOIN ledger.balance b ON b.account_id = a.id
              WHERE a.kind = 'escrow' AND a.owner = 'line:' || l.id AND a.currency = l.currency) b
            WHERE b.held <> CASE WHEN l.escrow_state IN ('HELD', 'FROZEN') THEN l.total - l.refunded
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
             WHEN 'DELIVERED' THEN l.escrow_state IN ('HELD', 'FROZEN', 'RELEASED', 'SPLIT', 'REFUNDED')
             WHEN 'COMPLETED' THEN l.escrow_state IN ('RELEASED', 'SPLIT', 'REFUNDED', 'DIRECT')
             ELSE l.escrow_state IN ('RELEASED', 'SPLIT', 'REFUNDED') AND l.delivery_state = 'REFUNDED' END
             OR (l.delivery_state = 'REFUNDED') <> (l.refunded = l.total)
             OR (l.escrow_state = 'REFUNDED') <> (l.refunded = l.total AND l.released_at IS NULL)
             OR (l.frozen_at IS NOT NULL) <> (l.escrow_state = 'FROZEN')""",
    ),
    Check(
        "I14",
        "line {id}",
        "is released but there is no journal release:{id}, or the other way round",
        """SELECT l.id FROM orders.order_line l WHERE (l.escrow_state IN ('RELEASED', 'SPLIT')) <> EXISTS (
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
        lately="""SELECT * FROM (
            SELECT f.id, f.amount, f.refunded, f.refund_pending,
              coalesce(sum(r.amount) FILTER (WHERE r.state = 'SUCCEEDED'), 0) AS done,
              coalesce(sum(r.amount) FILTER (WHERE r.state IN
                ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING')), 0) AS open
            FROM (SELECT DISTINCT funding_id FROM (
                    SELECT funding_id FROM wallets.refund ORDER BY id DESC LIMIT 300) newest) n
            CROSS JOIN LATERAL (SELECT * FROM wallets.funding f WHERE f.id = n.funding_id OFFSET 0) f
            JOIN wallets.refund r ON r.funding_id = f.id
            GROUP BY f.id, f.amount, f.refunded, f.refund_pending) t
            WHERE refunded <> done OR refund_pending <> open""",
    ),
    Check(
        "I15",
        "funding {id}",
        "is {state}, which does not agree with {refunded} of {amount} refunded",
        """SELECT id, state, refunded, amount FROM wallets.funding WHERE state <> CASE
             WHEN state IN ('DISPUTED', 'CHARGED_BACK') THEN state
             WHEN refunded = amount THEN 'REFUNDED' WHEN refunded > 0 THEN 'PARTIALLY_REFUNDED'
             WHEN state IN ('PARTIALLY_REFUNDED', 'REFUNDED') THEN 'SUCCEEDED' ELSE state END""",
    ),
    Check(
        "I16",
        "funding {id}",
        "is {state} but its money ({amount}) is not in the ledger as topup:{intent_id}",
        f"""SELECT f.id, f.state, f.amount, f.intent_id FROM wallets.funding f
           WHERE f.state IN {PAID} AND f.account IS NULL AND NOT EXISTS (
             SELECT 1 FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
             WHERE j.idem = 'topup:' || f.intent_id AND j.ref = 'funding:' || f.id
               AND e.amount = f.amount AND e.currency = f.currency)""",
    ),
    Check(
        "I16",
        "journal {idem}",
        "brought money in for a funding that is not paid",
        f"""SELECT j.idem FROM ledger.journal j WHERE j.kind = 'top_up' AND j.ref LIKE 'funding:%'
           AND NOT EXISTS (SELECT 1 FROM wallets.funding f WHERE 'funding:' || f.id = j.ref
             AND 'topup:' || f.intent_id = j.idem
             AND f.state IN {PAID})""",
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
        "I16",
        "refund {id}",
        "is {state}, but the journals that should tell so make {done} done, {failed} failed, {late} returned",
        """SELECT * FROM (
             SELECT r.id, r.state, r.amount,
               coalesce(sum(e.amount) FILTER (WHERE j.kind = 'refund_done'), 0) AS done,
               coalesce(sum(e.amount) FILTER (WHERE j.kind = 'refund_failed'), 0) AS failed,
               coalesce(sum(e.amount) FILTER (WHERE j.kind = 'refund_late_failure'), 0) AS late
             FROM wallets.refund r
             LEFT JOIN ledger.journal j ON j.ref = 'refund:' || r.id
               AND j.kind IN ('refund_done', 'refund_failed', 'refund_late_failure')
             LEFT JOIN ledger.entry e ON e.journal_id = j.id AND e.amount > 0 GROUP BY r.id) t
           WHERE (done, failed, late) NOT IN ((0, 0, 0), (amount, 0, 0), (0, amount, 0), (amount, 0, amount))
             OR (done - late <> CASE state WHEN 'SUCCEEDED' THEN amount ELSE 0 END)""",
    ),
    Check(
        "I17",
        "{currency}",
        "the provider's account got {got} and gave {gave}; payments make {paid}, refunds {refunded}",
        f"""SELECT currency, sum(got) AS got, sum(gave) AS gave, sum(paid) AS paid, sum(refunded) AS refunded
           FROM (
             SELECT e.currency,
               sum(e.amount) FILTER (WHERE j.kind IN ('top_up', 'destination_charge')) AS got,
               -sum(e.amount) FILTER (WHERE j.kind IN ('refund_done', 'refund_late_failure')) AS gave,
               0 AS paid, 0 AS refunded
             FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id AND a.kind = 'psp_clearing'
             JOIN ledger.journal j ON j.id = e.journal_id
             WHERE j.ref LIKE 'funding:%' OR j.ref LIKE 'refund:%' GROUP BY 1
             UNION ALL
             SELECT currency, 0, 0, sum(amount), 0 FROM wallets.funding
             WHERE state IN {PAID} GROUP BY 1
             UNION ALL
             SELECT currency, 0, 0, 0, sum(amount) FROM wallets.refund WHERE state = 'SUCCEEDED' GROUP BY 1) t
           GROUP BY currency
           HAVING coalesce(sum(got), 0) <> sum(paid) OR coalesce(sum(gave), 0) <> sum(refunded)""",
    ),
    Check(
        "I34",
        "{currency}",
        "released lines carry {commission} commission and {tax} tax; the books have {booked} and {taxed}",
        """SELECT coalesce(l.currency, b.currency) AS currency, coalesce(l.commission, 0) AS commission,
             coalesce(l.tax, 0) AS tax, coalesce(b.booked, 0) AS booked, coalesce(b.taxed, 0) AS taxed
           FROM (SELECT currency, sum(commission - refunded_commission) AS commission,
                   sum(tax - refunded_tax + commission_tax - refunded_commission_tax) AS tax
                 FROM orders.order_line
                 WHERE escrow_state IN ('RELEASED', 'SPLIT', 'DIRECT') GROUP BY 1) l
           FULL JOIN (SELECT currency, sum(amount) FILTER (WHERE kind = 'commission') AS booked,
                        sum(amount) FILTER (WHERE kind = 'tax_payable') AS taxed FROM ledger.account_balance
                      WHERE kind IN ('commission', 'tax_payable') GROUP BY 1) b USING (currency)
           WHERE (coalesce(l.commission, 0), coalesce(l.tax, 0))
             <> (coalesce(b.booked, 0), coalesce(b.taxed, 0))""",
    ),
    Check(
        "I22",
        "refund {id}",
        "has been {state} since {created_at}",
        """SELECT id, state, created_at FROM wallets.refund WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN')
           AND created_at < now() - interval '1 day'""",
        cheap=True,
    ),
    Check(
        "I22",
        "fee {key}",
        "of {amount} {currency} for {ref} has waited to be booked since {noted_at}",
        """SELECT key, ref, amount, currency, noted_at FROM wallets.fee_due
           WHERE noted_at < now() - interval '10 minutes'""",
    ),
    Check(
        "I22",
        "account of {owner}",
        "holds {amount} {currency} in flight for a refund that does not exist",
        """SELECT b.owner, b.amount, b.currency FROM ledger.account_balance b
           WHERE b.kind = 'refund_in_flight' AND b.amount <> 0
             AND NOT EXISTS (SELECT 1 FROM wallets.refund r WHERE 'refund:' || r.id = b.owner)""",
    ),
    Check(
        "I22",
        "suspense in {currency}",
        "has held {amount} that match nothing for over a week; somebody must look",
        """SELECT currency, sum(amount)::bigint AS amount FROM ledger.account_balance b
           WHERE kind = 'suspense' AND EXISTS (
             SELECT 1 FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
             WHERE e.account_id = b.account_id AND j.posted_at < now() - interval '7 days')
           GROUP BY currency HAVING sum(amount) <> 0""",
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
        cheap=True,
    ),
    Check(
        "I23",
        "event {event_id}",
        "is dead and waits for somebody: {failure}",
        "SELECT event_id, failure FROM inbox.event WHERE state = 'DEAD'",
        cheap=True,
    ),
)


def other_mode(settings: Settings) -> Check:
    """Nothing of the provider's other mode (test or live) may have had an effect here."""
    live = "true" if settings.production else "false"
    return Check(
        "I23",
        "event {event_id}",
        "had an effect though it is of the other mode",
        f"""SELECT event_id FROM inbox.event WHERE state = 'PROCESSED' AND livemode AND NOT {live}""",
    )
