"""Chargebacks against the ledger: what the network has, what is held, what is owed; and blocked wallets."""

from fondaco.core.checking import Check

_OPEN = "('WARNING_NEEDS_RESPONSE', 'WARNING_UNDER_REVIEW', 'NEEDS_RESPONSE', 'UNDER_REVIEW')"


def _owned(kind: str, column: str) -> str:
    """A user's account against the sum of a column of their chargebacks."""
    return f"""SELECT coalesce(c.owner, a.owner) AS owner, coalesce(c.currency, a.currency) AS currency,
        coalesce(c.amount, 0) AS amount, coalesce(a.amount, 0) AS booked
      FROM (SELECT 'user:' || user_id AS owner, currency, sum({column})::bigint AS amount
            FROM chargebacks.chargeback GROUP BY 1, 2) c
      FULL JOIN (SELECT a.owner, a.currency, sum(b.amount)::bigint AS amount FROM ledger.account a
                 JOIN ledger.balance b ON b.account_id = a.id WHERE a.kind = '{kind}' GROUP BY 1, 2) a
        ON a.owner = c.owner AND a.currency = c.currency
      WHERE coalesce(c.amount, 0) <> coalesce(a.amount, 0)"""


CHARGEBACKS: tuple[Check, ...] = (
    Check(
        "I38",
        "chargeback {id}",
        "says the network has {taken}, the ledger says {booked}",
        """SELECT c.id, c.taken, coalesce(b.amount, 0) AS booked FROM chargebacks.chargeback c
           LEFT JOIN ledger.account a ON a.kind = 'chargeback_held' AND a.owner = 'chargeback:' || c.id
             AND a.currency = c.currency
           LEFT JOIN ledger.balance b ON b.account_id = a.id
           WHERE c.taken <> coalesce(b.amount, 0)""",
    ),
    Check(
        "I38",
        "wallet of {owner}",
        "holds {booked} {currency} for chargebacks, they say {amount}",
        _owned("wallet_hold", "held"),
    ),
    Check(
        "I38",
        "{owner}",
        "owes {booked} {currency} in the ledger, the chargebacks say {amount}",
        _owned("buyer_receivable", "owed"),
    ),
    Check(
        "I38",
        "chargeback {id}",
        "is {state}, and still has {taken} of ours and {held} of the wallet",
        """SELECT id, state, taken, held FROM chargebacks.chargeback
           WHERE ended_at IS NOT NULL AND taken + held > 0""",
    ),
    Check(
        "I38",
        "chargeback {id}",
        "says stores bore {borne}, its lines make {lines}",
        """SELECT c.id, c.borne, coalesce(l.borne, 0) AS lines FROM chargebacks.chargeback c LEFT JOIN (
             SELECT chargeback_id, sum(borne)::bigint AS borne FROM chargebacks.line GROUP BY 1) l
             ON l.chargeback_id = c.id WHERE c.borne <> coalesce(l.borne, 0)""",
    ),
    Check(
        "I38",
        "user {user_id}",
        "has chargebacks that make the wallet {wanted}; it is {state}",
        f"""SELECT * FROM (
             SELECT t.user_id, coalesce(s.state, 'OK') AS state, CASE
               WHEN t.owes THEN 'LOCKED' WHEN t.risk THEN 'WALLET_AT_RISK' ELSE 'OK' END AS wanted
             FROM (SELECT user_id, bool_or(owes) AS owes, bool_or(risk) AS risk FROM (
                 SELECT user_id, owed > 0 AS owes, state IN {_OPEN} OR state = 'LOST' AND cleared_at IS NULL
                   AS risk FROM chargebacks.chargeback
                 UNION ALL SELECT user_id, false, blocks FROM chargebacks.warning
                 UNION ALL SELECT user_id, false, false FROM wallets.standing) u GROUP BY 1) t
             LEFT JOIN wallets.standing s ON s.user_id = t.user_id) x
           WHERE state <> wanted""",
    ),
    Check(
        "I38",
        "chargeback {provider_id}",
        "had its evidence {state} when the bank's time was over on {due_by}",
        f"""SELECT c.provider_id, e.state, c.due_by FROM chargebacks.evidence e
            JOIN chargebacks.chargeback c ON c.id = e.chargeback_id
            WHERE e.state IN ('CONFIRMED', 'SENDING', 'UNKNOWN') AND c.due_by < now() - interval '1 hour'
              AND c.state IN {_OPEN}""",
        cheap=True,
    ),
    Check(
        "I15",
        "funding {id}",
        "of {amount} has {refunded} refunded, {refund_pending} pending and {disputed} disputed",
        """SELECT id, amount, refunded, refund_pending, disputed FROM wallets.funding
           WHERE refunded + refund_pending + disputed > amount OR disputed < 0""",
    ),
    Check(
        "I15",
        "funding {id}",
        "is {state}, its chargebacks say {wanted}",
        f"""SELECT * FROM (
              SELECT f.id, f.state,
                CASE WHEN c.open THEN 'DISPUTED' WHEN c.lost THEN 'CHARGED_BACK' END AS wanted
              FROM wallets.funding f LEFT JOIN (
                SELECT funding_id, bool_or(state IN {_OPEN}) AS open, bool_or(state = 'LOST') AS lost
                FROM chargebacks.chargeback GROUP BY 1) c ON c.funding_id = f.id) t
            WHERE wanted <> state OR wanted IS NULL AND state IN ('DISPUTED', 'CHARGED_BACK')""",
    ),
    Check(
        "I07",
        "journal {idem}",
        "is of a chargeback, and moves {kind} of {owner}",
        """SELECT j.idem, a.kind, a.owner FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
           JOIN ledger.account a ON a.id = e.account_id
           WHERE j.kind LIKE 'chargeback\\_%' AND a.kind LIKE 'seller\\_%'""",
    ),
)
