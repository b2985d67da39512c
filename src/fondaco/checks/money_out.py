"""Payouts against the ledger, their lines and their deadlines, and money that is held too long."""

from fondaco.core.checking import Check
from fondaco.settings import Settings

_SENT = "('SENT', 'PAID', 'BANK_FAILED', 'REVERSED')"

MONEY_OUT: tuple[Check, ...] = (
    Check(
        "I18",
        "payout {id}",
        "is {state} but its money ({amount}) did not leave in the ledger as tr:{transfer_id}",
        f"""SELECT p.id, p.state, p.amount, p.transfer_id FROM payouts.payout p
            WHERE p.state IN {_SENT} AND NOT EXISTS (
              SELECT 1 FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
              JOIN ledger.account a ON a.id = e.account_id AND a.kind = 'psp_clearing'
              WHERE j.idem = 'tr:' || p.transfer_id AND j.ref = 'payout:' || p.id AND e.amount = -p.amount
                AND e.currency = p.currency)""",
    ),
    Check(
        "I18",
        "journal {idem}",
        "sent money out for a payout that was not sent",
        f"""SELECT j.idem FROM ledger.journal j WHERE j.kind = 'payout_sent' AND NOT EXISTS (
              SELECT 1 FROM payouts.payout p WHERE 'payout:' || p.id = j.ref AND p.state IN {_SENT}
                AND 'tr:' || p.transfer_id = j.idem)""",
    ),
    Check(
        "I18",
        "payout {id}",
        "has two transfers at the provider, {transfer_id} and {second_id}: somebody must look",
        "SELECT id, transfer_id, second_id FROM payouts.payout WHERE second_id IS NOT NULL",
        cheap=True,
    ),
    Check(
        "I18",
        "payout {id}",
        "says {reversed} were taken back, the ledger says {booked}",
        """SELECT p.id, p.reversed, coalesce(j.booked, 0) AS booked FROM payouts.payout p LEFT JOIN (
             SELECT j.ref, sum(e.amount)::bigint AS booked FROM ledger.journal j
             JOIN ledger.entry e ON e.journal_id = j.id AND e.amount > 0
             WHERE j.kind = 'payout_reversed' GROUP BY j.ref) j ON j.ref = 'payout:' || p.id
           WHERE p.reversed <> coalesce(j.booked, 0)""",
    ),
    Check(
        "I19",
        "payout {id}",
        "of {amount} pays {items}",
        """SELECT p.id, p.amount, coalesce(sum(i.amount), 0) AS items FROM payouts.payout p
           LEFT JOIN payouts.item i ON i.payout_id = p.id GROUP BY p.id
           HAVING p.amount <> coalesce(sum(i.amount), 0)""",
        lately="""SELECT * FROM (
            SELECT p.id, p.amount, (SELECT coalesce(sum(i.amount), 0) FROM payouts.item i
              WHERE i.payout_id = p.id) AS items
            FROM (SELECT id, amount FROM payouts.payout ORDER BY created_at DESC, id DESC LIMIT 200) p) t
            WHERE amount <> items""",
    ),
    Check(
        "I19",
        "payout {id}",
        "is {state}, but {returned} of {amount} are to be paid again",
        """SELECT p.id, p.state, p.amount, sum(i.returned) AS returned FROM payouts.payout p
           JOIN payouts.item i ON i.payout_id = p.id GROUP BY p.id
           HAVING sum(i.returned) <> CASE WHEN p.state IN ('FAILED', 'CANCELLED') THEN p.amount
             ELSE p.reversed END""",
    ),
    Check(
        "I19",
        "line {line_id}",
        "counts {paid} of {net} as paid out, its payouts make {items}",
        """SELECT y.line_id, y.paid, y.net, coalesce(i.items, 0) AS items FROM payouts.payable y LEFT JOIN (
             SELECT line_id, sum(amount - returned)::bigint AS items FROM payouts.item
             WHERE line_id IS NOT NULL GROUP BY line_id) i ON i.line_id = y.line_id
           WHERE y.paid <> coalesce(i.items, 0)""",
    ),
    Check(
        "I19",
        "payout {payout_id}",
        "pays line {line_id}, which is of another seller, or has not matured",
        """SELECT i.payout_id, i.line_id FROM payouts.item i JOIN payouts.payout p ON p.id = i.payout_id
           WHERE i.line_id IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM orders.order_line l JOIN payouts.payable y ON y.line_id = l.id
             WHERE l.id = i.line_id AND l.seller_id = p.seller_id AND l.currency = p.currency
               AND l.matured_at IS NOT NULL)""",
    ),
    Check(
        "I19",
        "line {id}",
        "has matured, but is not among what is payable",
        """SELECT l.id FROM orders.order_line l WHERE l.matured_at IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM payouts.payable y WHERE y.line_id = l.id)""",
    ),
    Check(
        "I20",
        "payout {id}",
        "was sent though a gate was closed, or without looking",
        f"""SELECT p.id FROM payouts.payout p WHERE p.state IN {_SENT} AND (
              p.gates->>'account' IS DISTINCT FROM 'ACTIVE' OR NOT EXISTS (
                SELECT 1 FROM payouts.attempt t WHERE t.payout_id = p.id AND t.gates = '{{}}'))""",
    ),
    Check(
        "I21",
        "seller {seller_id}",
        "has {n} daily payouts in {currency} of {batch_date}",
        """SELECT seller_id, currency, batch_date, count(*) AS n FROM payouts.payout WHERE kind = 'daily'
           GROUP BY seller_id, currency, batch_date HAVING count(*) > 1""",
    ),
    Check(
        "I22",
        "payout {id}",
        "has been {state} since {created_at}",
        """SELECT id, state, created_at FROM payouts.payout
           WHERE state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN') AND created_at < now() -
             CASE state WHEN 'HELD' THEN interval '7 days' WHEN 'UNKNOWN' THEN interval '4 hours'
               ELSE interval '2 hours' END""",
        cheap=True,
    ),
    Check(
        "I22",
        "payout {id}",
        "is {state} with {held} of its {amount} in flight",
        """SELECT p.id, p.state, p.amount, coalesce(b.amount, 0) AS held FROM payouts.payout p
           LEFT JOIN ledger.account_balance b ON b.kind = 'payout_in_flight' AND b.owner = 'payout:' || p.id
             AND b.currency = p.currency
           WHERE coalesce(b.amount, 0) <> CASE WHEN p.state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN')
             THEN p.amount ELSE 0 END""",
    ),
    Check(
        "I22",
        "account of {owner}",
        "holds {amount} {currency} in flight for a payout that does not exist",
        """SELECT b.owner, b.amount, b.currency FROM ledger.account_balance b
           WHERE b.kind = 'payout_in_flight' AND b.amount <> 0
             AND NOT EXISTS (SELECT 1 FROM payouts.payout p WHERE 'payout:' || p.id = b.owner)""",
    ),
    Check(
        "I22",
        "payout run of {batch_date}",
        "began {started_at} and has not moved since {beat_at}",
        """SELECT batch_date, started_at, beat_at FROM payouts.run
           WHERE ended_at IS NULL AND beat_at < now() - interval '10 minutes'""",
        cheap=True,
    ),
)


def held_too_long(settings: Settings) -> tuple[Check, ...]:
    """Nobody's money is held longer than the marketplace may hold it (`hold_days`)."""
    days = f"now() - interval '{settings.hold_days:d} days'"
    return (
        Check(
            "I22",
            "line {id}",
            "has been paid since {paid_at} and its money is still held",
            f"""SELECT l.id, o.paid_at FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
                WHERE l.escrow_state IN ('HELD', 'FROZEN') AND o.paid_at < {days}""",
        ),
        Check(
            "I22",
            "line {line_id}",
            "has been payable since {matured_at} and {left} of it were never paid out",
            f"""SELECT line_id, matured_at, net - paid AS left FROM payouts.payable
                WHERE paid < net AND matured_at < {days}""",
        ),
        Check(
            "I22",
            "reserve {id}",
            "of {amount} {currency} has been kept back since {held_at}",
            f"""SELECT id, amount, currency, held_at FROM payouts.reserve
                WHERE freed_at IS NULL AND held_at < least({days}, now() - interval
                  '{settings.reserve_days + 1:d} days')""",
        ),
    )
