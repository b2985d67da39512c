"""Our account at the provider: compared lately, its differences explained, each movement and its journal of
the same amount."""

from fondaco.core.checking import Check

_BOOKED = """SELECT sum(e.amount)::bigint AS amount FROM ledger.entry e
  JOIN ledger.account a ON a.id = e.account_id AND a.kind = 'psp_clearing' AND a.currency = m.currency
  WHERE e.journal_id = """

RECONCILED: tuple[Check, ...] = (
    Check(
        "I16",
        "movement {id}",
        "of {amount} {currency} is paired with journal {journal_id}, which moved {booked}",
        f"""SELECT m.id, m.amount, m.currency, m.journal_id, b.amount AS booked FROM reconciliation.movement m
            CROSS JOIN LATERAL ({_BOOKED} m.journal_id) b
            WHERE m.journal_id IS NOT NULL AND b.amount IS DISTINCT FROM m.amount""",
    ),
    Check(
        "I16",
        "movement {id}",
        "with a fee of {fee} {currency} is paired with journal {fee_journal_id}, which moved {booked}",
        f"""SELECT m.id, m.fee, m.currency, m.fee_journal_id, b.amount AS booked
            FROM reconciliation.movement m CROSS JOIN LATERAL ({_BOOKED} m.fee_journal_id) b
            WHERE m.fee_journal_id IS NOT NULL AND b.amount IS DISTINCT FROM -m.fee""",
    ),
    Check(
        "I16",
        "journal {journal_id}",
        "is paired with the movements {one} and {other}",
        """SELECT m.journal_id, m.id AS one, o.id AS other FROM reconciliation.movement m
           JOIN reconciliation.movement o ON o.fee_journal_id = m.journal_id""",
    ),
    Check(
        "I17",
        "{currency}",
        "the movements kept make {kept} in {n}, the sum over them says {net} in {counted}",
        """SELECT coalesce(t.currency, m.currency) AS currency, m.kept, m.n, t.net, t.n AS counted
           FROM (SELECT currency, sum(net)::bigint AS kept, count(*) AS n FROM reconciliation.movement
                 GROUP BY currency) m
           FULL JOIN reconciliation.total t USING (currency)
           WHERE (m.kept, m.n) IS DISTINCT FROM (t.net, t.n)""",
    ),
    Check(
        "I17",
        "break {id}",
        "{words} ({amount} {currency}): nobody has explained it",
        "SELECT id, words, amount, currency FROM reconciliation.break WHERE state = 'OPEN'",
        cheap=True,
    ),
    Check(
        "I17",
        "the provider's account",
        "was last compared with the books {ended_at}: more than 26 hours ago",
        """SELECT max(ended_at) AS ended_at FROM reconciliation.run WHERE state = 'DONE'
           HAVING max(ended_at) < now() - interval '26 hours'""",
        cheap=True,
    ),
)
