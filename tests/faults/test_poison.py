"""A job and an event that can never be done: given up after their tries, everything else goes on, and the
operator is written to."""

from uuid import uuid4

from fondaco import checks
from fondaco.checks import jobs
from fondaco.core.db import SYSTEM, Database
from fondaco.core.queue import defer
from fondaco.core.web import Parts
from fondaco.inbox.handling import TRIES as EVENT_TRIES
from fondaco.vault import Vault
from fondaco.worker import TRIES
from tests.faults.stack import Processes, until

POISON = "args ? 'poison'"


async def test_what_can_never_be_done_is_given_up_and_told(stack: Processes, db: Database) -> None:
    async with db.transaction(SYSTEM) as conn:
        await defer(conn, "inbox.handle", {"poison": 1}, lock="poison")
        for _ in range(3):
            await defer(conn, "checks.full", {"asked_by": "clock"})
        event = await conn.fetchval(
            """INSERT INTO inbox.event (provider, event_id, type, api_version, livemode, object_id,
                 object_created, body, source, state, attempts, next_at)
               VALUES ('stripe', $1, 'checkout.session.completed', 'x', false, 'cs_none', now(), '{}',
                 'webhook', 'RECEIVED', $2, now() - interval '1 minute') RETURNING id""",
            f"evt_{uuid4().hex}",
            EVENT_TRIES - 1,
        )
        await defer(conn, "inbox.handle", {"event": event})
        await conn.execute(
            f"UPDATE public.procrastinate_jobs SET attempts = $1 WHERE {POISON}",
            TRIES - 1,  # those before took an hour
        )
    stack.worker()

    async def given_up() -> bool:
        return await db.fetchval(
            SYSTEM,
            f"SELECT (SELECT status = 'failed' FROM public.procrastinate_jobs WHERE {POISON}) "
            "AND (SELECT state = 'DEAD' FROM inbox.event) "
            "AND (SELECT count(*) FROM public.procrastinate_jobs "
            "     WHERE task_name = 'checks.full' AND status = 'succeeded') = 3",
        )

    await until(given_up, seconds=20, why="poison held up what is good")
    parts = Parts(db, stack.settings, Vault(stack.settings))
    await until(lambda: _looked(parts), why="nobody was told")
    found = {
        (f.name, f.words.split(" after ")[0].split(":")[0]) for f in await checks.open_faults(db, SYSTEM)
    }
    assert ("I24", "was given up") in found and ("I23", "is dead and waits for somebody") in found, found
    mails = await db.fetch(
        SYSTEM, "SELECT recipient, plain FROM notifications.mail WHERE template = 'checks_failed'"
    )
    assert mails and all(m["recipient"] == stack.settings.support_email for m in mails)
    assert any("given up" in m["plain"] or "dead" in m["plain"] for m in mails)


async def _looked(parts: Parts) -> bool:
    await jobs.every_minute(parts)
    return await parts.get(Database).fetchval(
        SYSTEM, "SELECT count(*) >= 2 FROM checks.fault WHERE name IN ('I23', 'I24') AND gone_at IS NULL"
    )
