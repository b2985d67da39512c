"""What only many facts together say: how many of a store's lines end in a case."""

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.risk.actions import signal

DAYS = 30
LEAST_LINES = 50
MOST_PERCENT = 2
# Cases that were withdrawn or decided for the seller do not count. The cases are those of the very lines that
# are counted: a store that is hidden and sells nothing does not get worse by that.
_RATES = """
WITH moment AS (SELECT $1::timestamptz - make_interval(days => $2) AS since),
suspects AS (
  SELECT DISTINCT c.seller_id FROM cases.case c, moment WHERE c.opened_at > since
    AND NOT EXISTS (SELECT 1 FROM risk.signal g WHERE g.party = 'seller:' || c.seller_id
                    AND g.kind = 'rate.cases' AND g.at > since))
SELECT s.seller_id, sold.lines, sold.cases FROM suspects s CROSS JOIN moment CROSS JOIN LATERAL (
  SELECT count(*)::int AS lines, (count(*) FILTER (WHERE EXISTS (
      SELECT 1 FROM cases.case_line x JOIN cases.case c ON c.id = x.case_id
      WHERE x.line_id = l.id AND coalesce(c.outcome, '') NOT IN ('SELLER', 'WITHDRAWN'))))::int AS cases
  FROM orders.order_line l WHERE l.seller_id = s.seller_id AND l.delivered_at > since) sold
WHERE sold.lines >= $3 AND sold.cases * 100 > sold.lines * $4 ORDER BY s.seller_id
"""


async def note_rates(db: Database) -> int:
    """A fact about each store of whose lines of 30 days, 50 at least, more than 2 % ended in a case: at most
    one in 30 days. Returns how many."""
    moment = now()
    rows = await db.fetch(SYSTEM, _RATES, moment, DAYS, LEAST_LINES, MOST_PERCENT)
    noted = 0
    for row in rows:
        party, data = f"seller:{row['seller_id']}", {"lines": row["lines"], "cases": row["cases"]}

        async def work(conn: Connection, party: str = party, data: dict[str, int] = data) -> bool:
            return await signal(conn, party, "rate.cases", f"cases:{moment:%Y-%m-%d}", data)

        noted += await db.run(SYSTEM, work)
    return noted
