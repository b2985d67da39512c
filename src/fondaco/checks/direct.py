"""Stores that are paid at the sale: what went to their own accounts and what comes back of it."""

from fondaco.checks.payments import PAID
from fondaco.core.checking import Check

DIRECT: tuple[Check, ...] = (
    Check(
        "I16",
        "funding {id}",
        "to a store's own account is {state}, but no journal dc:{charge_id} passes {passed_on} on",
        f"""SELECT f.id, f.state, f.charge_id, f.passed_on FROM wallets.funding f
           WHERE f.account IS NOT NULL AND f.state IN {PAID} AND NOT EXISTS (
             SELECT 1 FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
               JOIN ledger.account a ON a.id = e.account_id
             WHERE j.idem = 'dc:' || f.charge_id AND j.ref = 'funding:' || f.id AND e.currency = f.currency
               AND a.kind = 'dest_clearing' AND a.owner = 'seller:' || f.seller_id
               AND e.amount = -f.passed_on)""",
    ),
    Check(
        "I16",
        "journal {idem}",
        "brought money to a store's own account for a funding that is not paid",
        f"""SELECT j.idem FROM ledger.journal j WHERE j.kind = 'destination_charge' AND NOT EXISTS (
             SELECT 1 FROM wallets.funding f WHERE 'funding:' || f.id = j.ref
               AND 'dc:' || f.charge_id = j.idem AND f.account IS NOT NULL AND f.state IN {PAID})""",
    ),
    Check(
        "I40",
        "seller {seller_id} in {currency}",
        "has {held} passing to or from its own account, which should be {open} that is being taken back",
        f"""SELECT * FROM (
             SELECT t.seller_id, t.currency, sum(t.open)::bigint AS open, sum(t.held)::bigint AS held FROM (
               SELECT r.seller_id::text, r.currency, r.amount AS open, 0 AS held FROM destination.reversal r
               WHERE r.state IN ('REQUESTED', 'SENDING', 'UNKNOWN')
               UNION ALL SELECT f.seller_id::text, f.currency, -f.passed_on, 0 FROM wallets.funding f
               WHERE f.account IS NOT NULL AND f.transfer_id IS NULL AND f.state IN {PAID}
               UNION ALL SELECT substr(b.owner, 8), b.currency, 0, b.amount FROM ledger.account_balance b
               WHERE b.kind = 'dest_clearing') t
             GROUP BY 1, 2) s WHERE open <> held""",
    ),
    Check(
        "I40",
        "order {number}",
        "is paid to a store's own account, and its lines, its sale and its payment do not say the same",
        f"""SELECT o.number FROM orders.order_group g JOIN orders.orders o ON o.group_id = g.id
           LEFT JOIN destination.sale s ON s.order_id = o.id
           LEFT JOIN wallets.funding f ON f.group_id = g.id
           WHERE g.funding_policy = 'destination'
             AND ((s.account, s.seller_id, s.amount, s.passed_on, s.currency)
               IS DISTINCT FROM (f.account, f.seller_id, f.amount, f.passed_on, f.currency)
               OR (s.seller_id, s.amount) IS DISTINCT FROM (o.seller_id, o.total)
               OR o.paid_at IS NOT NULL AND f.state NOT IN {PAID}
               OR s.passed_on IS DISTINCT FROM (SELECT
                 sum(l.total - l.commission - l.tax - l.commission_tax)
                 FROM orders.order_line l WHERE l.order_id = o.id))""",
    ),
    Check(
        "I40",
        "line {id}",
        "is {escrow_state}, and its order was paid by {funding_policy}: these do not go together",
        """SELECT l.id, l.escrow_state, g.funding_policy FROM orders.order_line l
           JOIN orders.orders o ON o.id = l.order_id JOIN orders.order_group g ON g.id = o.group_id
           WHERE CASE g.funding_policy
             WHEN 'destination' THEN l.escrow_state IN ('EMPTY', 'DIRECT', 'REFUNDED')
             ELSE l.escrow_state <> 'DIRECT' END IS NOT true""",
    ),
    Check(
        "I40",
        "reversal {id}",
        "is {state}, and its journal does not say the same",
        """SELECT r.id, r.state FROM destination.reversal r LEFT JOIN ledger.journal j
             ON j.idem = CASE r.state WHEN 'DONE' THEN 'trr:' || r.provider_id
               WHEN 'OWED' THEN 'dcdebt:' || r.id END
           LEFT JOIN LATERAL (SELECT sum(e.amount) AS n FROM ledger.entry e
             JOIN ledger.account a ON a.id = e.account_id
             WHERE e.journal_id = j.id AND a.kind = 'dest_clearing' AND a.owner = 'seller:' || r.seller_id
               AND a.currency = r.currency) e ON true
           WHERE r.state IN ('DONE', 'OWED') AND e.n IS DISTINCT FROM -r.amount""",
    ),
    Check(
        "I40",
        "refund {id}",
        "of what was paid to a store's own account takes back {back} from there instead of {from_account}",
        """SELECT r.id, r.from_account, coalesce(v.amount, 0) AS back FROM refunds.refund r
           LEFT JOIN destination.reversal v ON v.cause = 'refund:' || r.id
           WHERE r.direct AND r.from_account <> coalesce(v.amount, 0)""",
    ),
    Check(
        "I22",
        "reversal {id}",
        "of money of a store's own account has been {state} since {created_at}",
        """SELECT id, state, created_at FROM destination.reversal
           WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN') AND created_at < now() - interval '1 day'""",
        cheap=True,
    ),
    Check(
        "I22",
        "funding {id}",
        "to a store's own account was paid at {succeeded_at}, and its transfer is still not known",
        f"""SELECT id, succeeded_at FROM wallets.funding WHERE account IS NOT NULL AND transfer_id IS NULL
           AND state IN {PAID} AND succeeded_at < now() - interval '1 day'""",
    ),
)
