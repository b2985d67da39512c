"""Refunds of lines against the lines, their journals and the payments that carry them."""

from fondaco.core.checking import Check

REFUNDS: tuple[Check, ...] = (
    Check(
        "I16",
        "{kind} {id}",
        "of {amount} is not what its journal says",
        """SELECT d.id, d.kind, d.amount FROM refunds.adjustment d
           LEFT JOIN ledger.journal j ON j.id = d.journal_id
           LEFT JOIN LATERAL (SELECT -sum(e.amount) AS n FROM ledger.entry e
             JOIN ledger.account a ON a.id = e.account_id
             WHERE e.journal_id = j.id AND e.currency = d.currency
               AND a.owner = coalesce('user:' || d.user_id, 'seller:' || d.seller_id)) e ON true
           WHERE (j.kind, j.idem) IS DISTINCT FROM (d.kind, d.kind || ':' || d.id)
             OR e.n IS DISTINCT FROM d.amount""",
    ),
    Check(
        "I14",
        "line {id}",
        "says {refunded} refunded ({commission} commission, {tax} tax); its refunds make {n}, {c} and {t}",
        """SELECT l.id, l.refunded, l.refunded_commission AS commission,
             l.refunded_tax + l.refunded_commission_tax AS tax,
             coalesce(r.n, 0) AS n, coalesce(r.c, 0) AS c, coalesce(r.t, 0) AS t
           FROM (SELECT * FROM orders.order_line WHERE refunded > 0) l
           FULL JOIN (SELECT line_id, sum(amount) AS n, sum(commission) AS c, sum(tax + commission_tax) AS t
                      FROM refunds.refund GROUP BY line_id) r ON r.line_id = l.id
           WHERE (l.refunded, l.refunded_commission, l.refunded_tax + l.refunded_commission_tax)
             IS DISTINCT FROM (r.n, r.c, r.t)""",
    ),
    Check(
        "I16",
        "refund {id}",
        "of {amount} is not what its journal refund:{id} says",
        """SELECT r.id, r.amount FROM refunds.refund r LEFT JOIN ledger.journal j ON j.id = r.journal_id
           LEFT JOIN LATERAL (SELECT -sum(e.amount) AS n FROM ledger.entry e
             JOIN ledger.account a ON a.id = e.account_id
             WHERE e.journal_id = j.id AND e.currency = r.currency
               AND a.owner = 'user:' || r.buyer_id) e ON true
           WHERE j.idem IS DISTINCT FROM 'refund:' || r.id OR j.ref <> 'order:' || r.order_id
             OR j.kind <> CASE WHEN r.direct THEN 'destination_refund'
                  WHEN r.after_release THEN 'refund_released' ELSE 'refund_line' END
             OR coalesce(e.n, 0) <> r.amount - r.recovered""",
    ),
    Check(
        "I16",
        "journal {idem}",
        "gave money of a line back, and there is no such refund",
        """SELECT j.idem FROM ledger.journal j WHERE j.kind IN ('refund_line', 'refund_released')
           AND NOT EXISTS (SELECT 1 FROM refunds.refund r WHERE r.journal_id = j.id)""",
    ),
    Check(
        "I16",
        "refund {id}",
        "to the source has no refund of a payment that carries it",
        """SELECT id FROM refunds.refund WHERE destination = 'source' AND source_refund IS NULL
             AND amount > promo + credit + recovered""",
    ),
)
