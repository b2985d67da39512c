"""Credit against the books: what buyers owe, what was given up, what nobody may owe."""

from fondaco.core.checking import Check

CREDIT: tuple[Check, ...] = (
    Check(
        "I39",
        "{owner}",
        "owes {booked} {currency} for goods on credit in the ledger, the purchases on credit say {amount}",
        """SELECT coalesce(c.owner, a.owner) AS owner, coalesce(c.currency, a.currency) AS currency,
             coalesce(c.amount, 0) AS amount, coalesce(a.amount, 0) AS booked
           FROM (SELECT 'user:' || user_id AS owner, currency, sum(owed)::bigint AS amount
                 FROM credit.credit GROUP BY 1, 2) c
           FULL JOIN (SELECT a.owner, a.currency, sum(b.amount)::bigint AS amount
                      FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
                      WHERE a.kind = 'credit_out' GROUP BY 1, 2) a
             ON a.owner = c.owner AND a.currency = c.currency
           WHERE coalesce(c.amount, 0) <> coalesce(a.amount, 0)""",
    ),
    Check(
        "I39",
        "user {user_id}",
        "says {owed} {currency} owed and {lost} given up; the purchases on credit say {c_owed} and {c_lost}",
        """SELECT b.user_id, b.currency, b.owed, b.lost, coalesce(c.owed, 0) AS c_owed,
             coalesce(c.lost, 0) AS c_lost
           FROM credit.buyer b LEFT JOIN (
             SELECT user_id, currency, sum(owed)::bigint AS owed, sum(written_off - recovered)::bigint AS lost
             FROM credit.credit GROUP BY 1, 2) c ON c.user_id = b.user_id AND c.currency = b.currency
           WHERE (b.owed, b.lost) IS DISTINCT FROM (coalesce(c.owed, 0), coalesce(c.lost, 0))""",
    ),
    Check(
        "I39",
        "credit in {currency}",
        "says all buyers together owe {owed}; they owe {n}",
        """SELECT t.currency, t.owed, coalesce(b.n, 0) AS n FROM credit.total t LEFT JOIN (
             SELECT currency, sum(owed)::bigint AS n FROM credit.buyer GROUP BY 1) b
             ON b.currency = t.currency WHERE t.owed <> coalesce(b.n, 0)""",
        cheap=True,
    ),
    Check(
        "I39",
        "credit in {currency}",
        "has {owed} owed; no policy ever allowed more than {cap}",
        """SELECT t.currency, t.owed, p.cap FROM credit.total t JOIN (
             SELECT currency, max(total_cap) AS cap FROM credit.policy GROUP BY 1) p
             ON p.currency = t.currency
           WHERE t.owed > p.cap""",
        cheap=True,
    ),
    Check(
        "I39",
        "user {user_id}",
        "owes {owed} {currency}; no policy ever allowed one buyer more than {cap}",
        """SELECT b.user_id, b.currency, b.owed, p.cap FROM credit.buyer b JOIN (
             SELECT currency, max(cap) AS cap FROM credit.policy GROUP BY 1) p ON p.currency = b.currency
           WHERE b.owed > p.cap""",
    ),
    Check(
        "I39",
        "purchase {number}",
        "was made on credit; no line of credit stands for its {total} {currency}",
        """SELECT g.number, g.total, g.currency FROM orders.order_group g
           LEFT JOIN credit.credit c ON c.group_id = g.id AND c.user_id = g.buyer_id
             AND c.amount = g.total AND c.currency = g.currency
           WHERE g.funding_policy = 'instant_credit' AND c.group_id IS NULL""",
    ),
    Check(
        "I39",
        "credit {group_id}",
        "says {paid} paid, and {recovered} came back of what was given up; it was {j_paid} and {r_back}",
        """SELECT c.group_id, c.paid, c.recovered, coalesce(j.n, 0) AS j_paid, coalesce(r.n, 0) AS r_back
           FROM credit.credit c
           LEFT JOIN LATERAL (SELECT sum(e.amount)::bigint AS n FROM ledger.journal j
             JOIN ledger.entry e ON e.journal_id = j.id JOIN ledger.account a ON a.id = e.account_id
             WHERE j.ref = 'group:' || c.group_id AND j.kind = 'credit_paid' AND a.kind = 'wallet') j ON true
           LEFT JOIN LATERAL (SELECT sum(r.recovered)::bigint AS n FROM refunds.refund r
             JOIN orders.orders o ON o.id = r.order_id WHERE o.group_id = c.group_id) r ON true
           WHERE c.paid <> coalesce(j.n, 0) OR c.recovered <> coalesce(r.n, 0)""",
    ),
    Check(
        "I39",
        "journal {idem}",
        "lent money for a line that is not delivered",
        """SELECT j.idem FROM ledger.journal j WHERE j.kind = 'credit_sale' AND NOT EXISTS (
             SELECT 1 FROM orders.order_line l WHERE 'credit:' || l.id = j.idem
               AND l.delivery_state IN ('DELIVERED', 'REFUNDED', 'REPLACED'))""",
    ),
    Check(
        "I39",
        "credit {group_id}",
        "of {owed} {currency} should have been given up on {at}",
        """SELECT * FROM (
             SELECT c.group_id, c.owed, c.currency,
               c.due_at + make_interval(days => p.write_off_days + 3) AS at
             FROM credit.credit c JOIN credit.policy p ON p.id = c.policy_id WHERE c.state = 'OWED'
               AND NOT EXISTS (SELECT 1 FROM orders.orders o JOIN orders.order_line i ON i.order_id = o.id
                 LEFT JOIN cases.case_line k ON k.line_id = i.id AND k.open
                 WHERE o.group_id = c.group_id AND (i.escrow_state = 'FROZEN' OR k.line_id IS NOT NULL))) t
           WHERE t.at < now()""",
    ),
)
