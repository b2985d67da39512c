"""What everything stands on: the queue, the audit log, the states, the database's own guards and keys."""

from collections.abc import Sequence

from fondaco import audit
from fondaco.core.checking import Check, Fault, Findings, patient
from fondaco.core.db import Connection
from fondaco.settings import Settings

QUEUE: tuple[Check, ...] = (
    Check(
        "I24",
        "job {id} ({task_name})",
        "has been running without a living worker for over a minute",
        """SELECT j.id, j.task_name FROM public.procrastinate_jobs j
           LEFT JOIN public.procrastinate_workers w ON w.id = j.worker_id
           WHERE j.status = 'doing' AND coalesce(w.last_heartbeat, (SELECT max(e.at)
             FROM public.procrastinate_events e WHERE e.job_id = j.id)) < now() - interval '1 minute'""",
        cheap=True,
    ),
    Check(
        "I24",
        "job {id} ({task_name})",
        "has been due since {due}; no worker takes it",
        """SELECT j.id, j.task_name, due.at AS due FROM (
             SELECT id, task_name, scheduled_at FROM public.procrastinate_jobs WHERE status = 'todo'
               AND (scheduled_at IS NULL OR scheduled_at < now()) ORDER BY priority DESC, id LIMIT 200) j
           CROSS JOIN LATERAL (SELECT coalesce(j.scheduled_at, (SELECT max(e.at)
             FROM public.procrastinate_events e WHERE e.job_id = j.id)) AS at) due
           WHERE due.at < now() - interval '5 minutes'""",
        cheap=True,
    ),
    Check(
        "I24",
        "job {id} ({task_name})",
        "was given up after {attempts} tries; somebody must look",
        """SELECT j.id, j.task_name, j.attempts FROM public.procrastinate_jobs j WHERE j.status = 'failed'
           ORDER BY j.id DESC LIMIT 100""",
        cheap=True,
    ),
    Check(
        "I24",
        "mail {id}",
        "has been due since {next_at}; nobody sends it",
        """SELECT id, next_at FROM notifications.mail WHERE state IN ('QUEUED', 'FAILED')
           AND next_at < now() - interval '10 minutes' LIMIT 20""",
        cheap=True,
    ),
    Check(
        "I24",
        "consumer {consumer}",
        "has not read the events since {at}",
        """SELECT p.consumer, e.at FROM audit.place p CROSS JOIN LATERAL (
             SELECT e.at FROM audit.event e WHERE (e.xid, e.id) > (p.xid, p.id)
               AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.id LIMIT 1) e
           WHERE e.at < now() - interval '5 minutes'""",
        cheap=True,
    ),
)

AUDIT: tuple[Check, ...] = (
    Check(
        "I25",
        "audit block {number}",
        "does not follow the block before it",
        """SELECT b.number FROM audit.block b LEFT JOIN audit.block p ON p.number = b.number - 1
           WHERE b.previous <> coalesce(p.hash, decode(repeat('00', 32), 'hex'))
             OR (p.number IS NULL AND b.number > 1)""",
        lately="""SELECT b.number FROM audit.block b LEFT JOIN audit.block p ON p.number = b.number - 1
                  WHERE (b.previous <> coalesce(p.hash, decode(repeat('00', 32), 'hex'))
                    OR (p.number IS NULL AND b.number > 1))
                    AND b.number > (SELECT coalesce(max(number), 0) - 100 FROM audit.block)""",
    ),
    Check(
        "I25",
        "audit log",
        "has not been sealed since {at}",
        """SELECT e.at FROM (SELECT last_xid, last_id FROM (
               SELECT last_xid, last_id, number FROM audit.block ORDER BY number DESC LIMIT 1) newest
             UNION ALL SELECT '0'::xid8, 0 WHERE (SELECT max(number) FROM audit.block) IS NULL) b
           CROSS JOIN LATERAL (
             SELECT e.at FROM audit.event e WHERE (e.xid, e.id) > (b.last_xid, b.last_id)
               AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.id LIMIT 1) e
           WHERE e.at < now() - interval '5 minutes'""",
        cheap=True,
    ),
)


def _told(where: str, kind: str, rows: str, lately: str = "") -> Check:
    """Each of the rows (columns id, ref) has its event of this kind."""
    exists = f"SELECT 1 FROM audit.event e WHERE e.ref = t.ref AND e.kind = '{kind}'"
    return Check(
        "I26",
        where,
        f"has no event {kind} in the audit log",
        f"SELECT t.id FROM ({rows}) t WHERE NOT EXISTS ({exists})",
        # One look by the thing's name for each; the planner might read the whole log instead.
        lately=f"SELECT t.id FROM ({rows} {lately}) t WHERE ({exists} LIMIT 1) IS NULL" if lately else "",
    )


_NEWEST = "ORDER BY id DESC LIMIT 300"  # an id says when it was made
EVENTS_OF_CHANGES: tuple[Check, ...] = (
    _told(
        "order {id}",
        "order.delivered",
        "SELECT id, 'order:' || id AS ref FROM orders.orders WHERE delivered_at IS NOT NULL",
        "ORDER BY created_at DESC, id DESC LIMIT 300",
    ),
    _told(
        "order {id}",
        "order.completed",
        "SELECT id, 'order:' || id AS ref FROM orders.orders WHERE state = 'COMPLETED'",
    ),
    _told(
        "order {id}",
        "order.expired",
        "SELECT id, 'order:' || id AS ref FROM orders.orders WHERE state = 'EXPIRED'",
    ),
    _told(
        "order of line {id}",
        "line.released",
        "SELECT id, 'order:' || order_id AS ref FROM orders.order_line WHERE escrow_state = 'RELEASED'",
    ),
    _told(
        "entitlement {id}",
        "secret.revealed",
        "SELECT id, 'entitlement:' || id AS ref FROM delivery.entitlement WHERE revealed_at IS NOT NULL",
    ),
    _told(
        "funding {id}",
        "funding.succeeded",
        "SELECT id, 'funding:' || id AS ref FROM wallets.funding WHERE succeeded_at IS NOT NULL",
        _NEWEST,
    ),
    _told(
        "refund {id}",
        "refund.requested",
        "SELECT id, 'refund:' || id AS ref FROM wallets.refund WHERE true",
        _NEWEST,
    ),
    _told(
        "refund {id}",
        "refund.succeeded",
        "SELECT id, 'refund:' || id AS ref FROM wallets.refund WHERE state = 'SUCCEEDED'",
    ),
)

GUARDS: tuple[Check, ...] = (
    Check(
        "I35",
        "trigger {tgname} of {name}",
        "is switched off: what it refuses is not refused any more",
        """SELECT t.tgname, t.tgrelid::regclass::text AS name FROM pg_trigger t
           JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE t.tgenabled = 'D' AND n.nspname NOT IN ('pg_catalog', 'information_schema')""",
        cheap=True,
    ),
    Check(
        "I35",
        "index {name}",
        "is not valid: what it keeps unique may be there twice",
        """SELECT i.indexrelid::regclass::text AS name FROM pg_index i WHERE NOT i.indisvalid
           AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p
             WHERE p.index_relid = i.indexrelid)""",
        cheap=True,
    ),
    Check(
        "I35",
        "table {name}",
        "has a wall between its owners, but it is switched off",
        """SELECT DISTINCT p.polrelid::regclass::text AS name FROM pg_policy p
           JOIN pg_class c ON c.oid = p.polrelid WHERE NOT c.relrowsecurity""",
        cheap=True,
    ),
)

_STATES = {
    "order": ("orders.orders", "state"),
    "line_delivery": ("orders.order_line", "delivery_state"),
    "escrow": ("orders.order_line", "escrow_state"),
    "stock_unit": ("inventory.stock_unit", "state"),
    "stock_batch": ("inventory.stock_batch", "state"),
    "listing": ("catalog.listing", "state"),
    "seller": ("sellers.seller", "state"),
    "payment": ("wallets.funding", "state"),
    "refund": ("wallets.refund", "state"),
    "inbox_event": ("inbox.event", "state"),
    "mail": ("notifications.mail", "state"),
}
STATES: tuple[Check, ...] = tuple(
    Check(
        "I27",
        f"{column} of {table} {{id}}",
        "is {state}, which is no state of its machine",
        f"""SELECT id, {column} AS state FROM {table} t WHERE NOT EXISTS (
              SELECT 1 FROM core.edge e WHERE e.machine = '{machine}' AND e.target = t.{column})""",
    )
    for machine, (table, column) in _STATES.items()
)


# Columns that say whose a row is, by what they mean; a row and the row it points to must say the same.
OWNERS: dict[str, tuple[str, ...]] = {
    "buyer": ("buyer_id", "user_id"),
    "seller": ("seller_id",),
}
_KEYS = """
SELECT k.conrelid::regclass::text AS child, k.confrelid::regclass::text AS parent,
  (SELECT array_agg(a.attname::text ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS columns,
  (SELECT array_agg(a.attname::text ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(num, n)
   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num) AS keys,
  (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum > 0
     AND NOT a.attisdropped) AS child_columns,
  (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum > 0
     AND NOT a.attisdropped) AS parent_columns
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE k.contype = 'f' AND n.nspname NOT IN ('public', 'pg_catalog') ORDER BY 1, 2, 3
"""


async def key_checks(conn: Connection) -> list[Check]:
    """For every foreign key between two tables that both say whose their rows are: they say the same."""
    found: list[Check] = []
    for key in await conn.fetch(_KEYS):
        for owner, names in OWNERS.items():
            mine = [n for n in names if n in key["child_columns"] and n not in key["columns"]]
            theirs = [n for n in names if n in key["parent_columns"] and n not in key["keys"]]
            if mine and theirs:
                join = " AND ".join(
                    f"p.{k} = c.{c}" for c, k in zip(key["columns"], key["keys"], strict=True)
                )
                sql = f"""SELECT c.{key["columns"][0]} AS id FROM {key["child"]} c
                          JOIN {key["parent"]} p ON {join} WHERE c.{mine[0]} <> p.{theirs[0]}"""
                words = f"in {key['child']} names another {owner} than what it points to in {key['parent']}"
                found.append(Check("I30", f"{key['columns'][0]} {{id}}", words, sql))
    return found


BLOCKS = "I25 audit block: recomputed"


async def check_blocks(conn: Connection, settings: Settings, findings: Findings) -> None:
    """Every block of the audit log computed again from its events, and its signature tried."""
    findings.tell("I25: audit blocks")
    async with patient(conn, findings, BLOCKS, "I25: audit blocks"):
        for fault in await audit.check_on(conn, settings, lambda n: findings.tell(f"I25: {n} blocks")):
            findings.faults.append(Fault("I25", "audit log", fault, BLOCKS))


async def plaintext(conn: Connection, secrets: Sequence[str]) -> list[Fault]:
    """I31: the columns of any table in which one of these secrets stands open. For tests and drills, with
    secrets made for that; scope system. A secret itself is in no answer."""
    rows = await conn.fetch(
        """SELECT format('%I.%I', n.nspname, c.relname) AS name, a.attname AS column, t.typname AS type
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
           JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
           WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND a.attnum > 0 AND NOT a.attisdropped
             AND t.typname IN ('text', 'varchar', 'bpchar', 'bytea', 'jsonb', 'json')
             AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1, a.attnum"""
    )
    found: list[Fault] = []
    for row in rows:
        name, column = row["name"], f'"{row["column"]}"'
        match = (
            f"position(convert_to(s, 'UTF8') IN {column}) > 0"
            if row["type"] == "bytea"
            else f"position(s IN {column}::text) > 0"
        )
        n = await conn.fetchval(
            f"SELECT count(*) FROM {name} WHERE EXISTS (SELECT 1 FROM unnest($1::text[]) s WHERE {match})",
            list(secrets),
        )
        if n:
            words = f"{n} rows hold a secret in plain text"
            found.append(Fault("I31", f"column {column} of {name}", words, "I31"))
    return found
