"""Papers for tests that walk over all routes: invoices of what was bought, statements of a store."""

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.statements import Draft, Kind, PaperLine, issue
from fondaco.statements.jobs import read_events


async def some_papers(parts: Parts, seller: Viewer, n: int) -> None:
    """The invoices of everything that was bought, and so many statements of the store."""
    await read_events(parts)

    async def work(conn: Connection) -> None:
        await issue(conn, [statement(seller) for _ in range(n)])

    await parts.get(Database).run(SYSTEM, work)


def statement(seller: Viewer) -> Draft:
    """A statement without an entry."""
    return Draft(
        kind=Kind.STATEMENT,
        ref=f"seller:{seller.seller()}:EUR:{uuid7()}",
        owner=seller.seller(),
        to_seller=True,
        issuer="fondaco",
        receiver="A store",
        currency="EUR",
        columns=["Balance"],
        lines=[],
        totals=[PaperLine("Carried forward", "", [0])],
    )
