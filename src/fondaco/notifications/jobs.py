"""What the clock brings: mails made from events, sent, and their old links wiped."""

from collections.abc import Awaitable, Callable

from fondaco.audit import AuditEvent, consume
from fondaco.core import failpoints
from fondaco.core.db import Connection, Database
from fondaco.core.web import Parts
from fondaco.notifications.actions import forget_links
from fondaco.notifications.causes import make_mails
from fondaco.notifications.sending import send_due
from fondaco.settings import Settings
from fondaco.vault import Vault

CONSUMER = "notifications"
BATCH = 100


async def read_events(parts: Parts) -> int:
    """Make the mails of all events since the last time; returns how many events were read."""
    settings, vault = parts.get(Settings), parts.get(Vault)

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        await make_mails(conn, settings, vault, events)
        if failpoints.armed:
            await failpoints.reached("delivery.after_row_before_mail", conn)

    read = 0
    while count := await consume(parts.get(Database), CONSUMER, BATCH, handle):
        read += count
    return read


async def wipe_links(parts: Parts) -> None:
    """Wipe sealed links that have ended."""
    await forget_links(parts.get(Database))


periodic: list[tuple[str, float, Callable[[Parts], Awaitable[object]]]] = [
    ("notifications.read_events", 0.5, read_events),
    ("notifications.send_due", 1.0, send_due),
    ("notifications.wipe_links", 3600.0, wipe_links),
]
