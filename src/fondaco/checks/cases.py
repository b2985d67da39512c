"""Cases: open ones hold their money frozen, decided ones moved it once, evidence is as it was kept."""

from fondaco.core.checking import Check

_OPEN = "('OPEN', 'UNDER_REVIEW', 'NEEDS_RESPONSE')"

CASES: tuple[Check, ...] = (
    Check(
        "I36",
        "line {line_id}",
        "is in the open case {number}, and its money is {escrow_state} instead of frozen",
        """SELECT k.line_id, c.number, l.escrow_state FROM cases.case_line k
           JOIN cases.case c ON c.id = k.case_id JOIN orders.order_line l ON l.id = k.line_id
           WHERE k.open AND k.frozen AND l.escrow_state <> 'FROZEN'""",
        cheap=True,
    ),
    Check(
        "I36",
        "line {id}",
        "is frozen, and no open case is about it",
        """SELECT l.id FROM orders.order_line l WHERE l.escrow_state = 'FROZEN'
           AND NOT EXISTS (SELECT 1 FROM cases.case_line k WHERE k.line_id = l.id AND k.open)""",
    ),
    Check(
        "I36",
        "case {number}",
        "is {state}, and its lines say otherwise",
        f"""SELECT DISTINCT c.number, c.state FROM cases.case c JOIN cases.case_line k ON k.case_id = c.id
            WHERE k.open <> (c.state IN {_OPEN}) OR k.open AND k.refund IS NOT NULL""",
    ),
    Check(
        "I36",
        "case {number}",
        "is {state} past its deadline {deadline}",
        """SELECT number, state, deadline FROM cases.case
           WHERE deadline < now() - interval '10 minutes'""",
        cheap=True,
    ),
    Check(
        "I36",
        "case {number}",
        "is at version {version}, and its events say otherwise",
        """SELECT c.number, c.version FROM cases.case c CROSS JOIN LATERAL (
             SELECT count(*) AS n, max(e.version) AS newest FROM cases.event e WHERE e.case_id = c.id) t
           LEFT JOIN cases.event e ON e.case_id = c.id AND e.version = c.version
           WHERE t.n <> c.version OR t.newest <> c.version OR e.target IS DISTINCT FROM c.state
             OR e.deadline IS DISTINCT FROM c.deadline""",
    ),
    Check(
        "I36",
        "case {number}",
        "says line {line_id} got {refund} back, and {n} refunds of {amount} say otherwise",
        """SELECT c.number, k.line_id, coalesce(k.refund, 0) AS refund, r.n, r.amount FROM cases.case_line k
           JOIN cases.case c ON c.id = k.case_id CROSS JOIN LATERAL (
             SELECT count(*) AS n, coalesce(sum(r.amount), 0)::bigint AS amount FROM refunds.refund r
             WHERE r.case_id = c.id AND r.line_id = k.line_id) r
           WHERE r.amount <> coalesce(k.refund, 0) OR r.n <> (coalesce(k.refund, 0) > 0)::int""",
    ),
    Check(
        "I36",
        "case {number}",
        "was decided {outcome}, and the money of line {line_id} did not follow",
        """SELECT c.number, c.outcome, k.line_id FROM cases.case c JOIN cases.case_line k ON k.case_id = c.id
           JOIN orders.order_line l ON l.id = k.line_id
           WHERE c.decided_at IS NOT NULL AND (k.refund IS NULL
             OR k.frozen AND l.released_at IS NULL AND k.refund < k.at_stake
             OR c.outcome = 'SELLER' AND k.refund > 0
             OR c.outcome = 'BUYER' AND l.refunded < l.total)""",
    ),
    Check(
        "I36",
        "snapshot {id}",
        "is not what it was when it was taken",
        "SELECT id FROM cases.snapshot WHERE hash <> sha256(body)",
    ),
    Check(
        "I36",
        "case {number}",
        "has another snapshot than the one its opening was written down with",
        """SELECT c.number FROM cases.case c JOIN cases.event e ON e.case_id = c.id AND e.version = 1
           LEFT JOIN cases.snapshot s ON s.id = c.snapshot_id
           WHERE e.data->>'snapshot' IS DISTINCT FROM encode(s.hash, 'hex')""",
    ),
)
