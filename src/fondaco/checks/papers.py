"""Papers and their numbers: none is missing, none is not what was issued, each says what the books say."""

from fondaco.core.checking import Check

PAPERS: tuple[Check, ...] = (
    Check(
        "I37",
        "series {name}",
        "has given {last} numbers, {papers} of them stand on a paper",
        """SELECT s.name, s.last, count(p.id) AS papers FROM statements.series s
           LEFT JOIN statements.paper p ON p.series = s.name AND p.seq BETWEEN 1 AND s.last
           GROUP BY s.name, s.last HAVING count(p.id) <> s.last""",
    ),
    Check(
        "I37",
        "paper {number}",
        "is not what was issued: its content, its hash and its row do not agree",
        """SELECT number FROM statements.paper WHERE hash <> sha256(convert_to(content, 'UTF8'))
             OR content::jsonb->>'number' <> number OR content::jsonb->>'kind' <> kind
             OR content::jsonb->>'currency' <> currency
             OR (content::jsonb->'totals'->-1->'amounts'->>-1)::bigint <> total""",
    ),
    Check(
        "I37",
        "paper {number}",
        "is the invoice of an order that cost {total}, and says {said}",
        """SELECT p.number, o.total, p.total AS said FROM statements.paper p
           JOIN orders.orders o ON o.id = p.order_id
           WHERE p.kind = 'invoice' AND (o.total, o.currency) <> (p.total, p.currency)""",
    ),
    Check(
        "I37",
        "refund {id}",
        "gave back {amount}, its credit note {number} says {said}",
        """SELECT r.id, r.amount, p.number, p.total AS said FROM refunds.refund r
           JOIN statements.paper p ON p.kind = 'credit_note' AND p.ref = 'line_refund:' || r.id
           WHERE (r.amount, r.currency) <> (p.total, p.currency)""",
    ),
    Check(
        "I37",
        "payout {id}",
        "sent {amount}, its statement {number} says {said}",
        """SELECT o.id, o.amount, p.number, p.total AS said FROM payouts.payout o
           JOIN statements.paper p ON p.kind = 'payout_statement' AND p.ref = 'payout:' || o.id
           WHERE (o.amount, o.currency) <> (p.total, p.currency)""",
    ),
)
