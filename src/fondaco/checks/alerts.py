"""Writing to the operator: once about each new fault, once when all is well again."""

from fondaco.core.checking import Fault
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.notifications import Recipient, queue_mail
from fondaco.settings import Settings
from fondaco.vault import Vault

SHOWN = 20  # faults named in one mail; the console has them all
QUIET = "interval '10 minutes'"  # between two mails; what is found meanwhile is gathered


async def tell_operator(db: Database, settings: Settings, vault: Vault) -> None:
    """Queue the mail about faults nobody was told of, or about the end of all that were told."""
    await db.run(SYSTEM, lambda conn: _tell(conn, settings, vault))


async def _tell(conn: Connection, settings: Settings, vault: Vault) -> None:
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('checks.tell'))")
    to = Recipient(None, settings.support_email)
    new = await conn.fetch(
        f"""UPDATE checks.fault SET told_at = now() WHERE gone_at IS NULL AND told_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM checks.fault WHERE told_at > now() - {QUIET})
            RETURNING id, name, place, words"""
    )
    if new:
        faults = [Fault(f["name"], f["place"], f["words"]) for f in sorted(new, key=lambda f: f["id"])]
        # A fault that comes back after an hour is told again, so the moment belongs to the cause.
        cause = await conn.fetchval("SELECT 'faults:' || pg_current_xact_id()::text")
        values = {
            "faults": [{"name": f.check, "where": f.where, "words": f.words} for f in faults[:SHOWN]],
            "count": len(faults),
        }
        await queue_mail(
            conn, settings, vault, "checks_failed", to, ref="checks:faults", values=values, cause=cause
        )
        return
    over = await conn.fetchrow(
        """SELECT max(gone_at) AS at, count(*) AS n FROM checks.fault WHERE told_at IS NOT NULL
           AND told_at > coalesce((SELECT max(created_at) FROM notifications.mail
             WHERE template = 'checks_well' AND ref = 'checks:faults'), '-infinity')
           HAVING NOT EXISTS (SELECT 1 FROM checks.fault WHERE gone_at IS NULL) AND count(*) > 0"""
    )
    if over:
        cause = f"well:{over['at'].isoformat()}"
        await queue_mail(
            conn,
            settings,
            vault,
            "checks_well",
            to,
            ref="checks:faults",
            values={"count": over["n"]},
            cause=cause,
        )
