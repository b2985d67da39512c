"""`fondaco risk explain`: where somebody stands and every decision about them, replayed."""

from rich.console import Console
from rich.table import Table

from fondaco.core.db import SYSTEM, Connection
from fondaco.core.problem import NotFound
from fondaco.risk import Replayed


async def explain(who: str) -> int:
    """`who`: user:<id>, seller:<id>, a mail address, a store's slug, or a decision's number. Exit code 0 when
    every replay says the same, 1 when one does not, or nothing is known by that name."""
    from fondaco import risk
    from fondaco.core.db import Database
    from fondaco.risk.words import forbids
    from fondaco.settings import load

    out = Console()
    db = await Database(load().direct_dsn, size=2).open()
    try:
        async with db.transaction(SYSTEM) as conn:
            try:
                if who.isascii() and who.isdigit() and len(who) < 19:
                    replayed = [await risk.explain(conn, int(who))]
                    party = replayed[0].decision.party
                else:
                    party = await _party(conn, who)
                    replayed = [await risk.explain(conn, d.id) for d in await risk.decisions_of(conn, party)]
            except NotFound:
                out.print(f"Nobody and nothing is known as {who}.", style="bold red", markup=False)
                return 1
            found = await risk.forecast(conn, party)
    finally:
        await db.close()
    points = found.standing.score // 1000
    out.print(f"{party}: {found.standing.tier}, {points} points by {found.standing.rules}", markup=False)
    for words in forbids(party.partition(":")[0], risk.Tier(found.standing.tier), to_staff=True):
        out.print(f"  {words}", markup=False)
    facts = Table("Fact", "When", "Points", title="What counts today")
    for one in found.counted:
        facts.add_row(one.words, f"{one.at:%Y-%m-%d}", f"{one.milli // 1000}")
    out.print(facts)
    for one in replayed:
        _tell(out, one)
    return 0 if all(one.same for one in replayed) else 1


def _tell(out: Console, one: Replayed) -> None:
    made = one.decision
    signals = ", ".join(map(str, made.signals)) or "none"
    out.print(
        f"Decision {made.id}, {made.at:%Y-%m-%d %H:%M} UTC, by {made.actor}: {made.before} to {made.after} "
        "at "
        f"{made.score // 1000} points ({made.rules}), from signals {signals}",
        markup=False,
    )
    for words in (*made.reasons, made.note):
        if words:
            out.print(f"  {words}", markup=False)
    if one.same:
        out.print("  Replayed: the same.", style="green")
    else:
        out.print(f"  Replayed: {one.again} at {one.score // 1000} points. It differs.", style="bold red")


async def _party(conn: Connection, who: str) -> str:
    from fondaco.risk import known

    if who.partition(":")[0] in ("user", "seller"):
        await known(conn, who)
        return who
    row = await conn.fetchrow(
        """SELECT 'user:' || id AS party FROM identity.users WHERE email = lower($1)
           UNION ALL SELECT 'seller:' || id FROM sellers.seller WHERE slug = lower($1)""",
        who,
    )
    if row is None:
        raise NotFound()
    party: str = row["party"]
    return party
