"""The policy of credit: how much, to whom, for how long. Versioned: one ends, another begins."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from fondaco import audit
from fondaco.core.db import Connection, Database
from fondaco.core.money import MAX_MINOR, Money
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_text

DEFAULT_CAP = 500  # minor units; what the form proposes
Minor = Annotated[int, Meta(ge=1, le=MAX_MINOR, description="Minor units of `currency`.")]


class CreditTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What finance wants. Buyers of tier NORMAL may owe `cap`, of tier WARNING `cap_warning`, of others
    nothing."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    order_max: Annotated[Minor, Meta(description="What one purchase may cost.")]
    cap: Minor
    cap_warning: Annotated[int, Meta(ge=0, le=MAX_MINOR)]
    total_cap: Annotated[Minor, Meta(description="What all buyers together may owe.")]
    days_to_pay: Annotated[int, Meta(ge=1, le=90)]
    remind_days: Annotated[
        int, Meta(ge=0, le=90, description="So many days before it is due a mail goes out.")
    ]
    write_off_days: Annotated[int, Meta(ge=1, le=365, description="So many days after it was due.")]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class CreditPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that is or was in force. Amounts in minor units of `currency`."""

    id: int
    currency: str
    order_max: int
    cap: int
    cap_warning: int
    total_cap: int
    days_to_pay: int
    remind_days: int
    write_off_days: int
    reason: str
    set_at: datetime
    ended_at: datetime | None


_COLUMNS = """id, currency::text, order_max, cap, cap_warning, total_cap, days_to_pay, remind_days,
  write_off_days, reason, set_at, ended_at"""


async def policies(db: Database, viewer: Viewer, *, ended: bool = False) -> list[CreditPolicy]:
    """The policies in force, by currency; with `ended` the last 100 that are over. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_COLUMNS} FROM credit.policy WHERE (ended_at IS NOT NULL) = $1
            ORDER BY CASE WHEN $1 THEN ended_at END DESC, currency, id DESC LIMIT 100""",
        ended,
    )
    return [msgspec.convert(dict(r), CreditPolicy) for r in rows]


async def set_policy(db: Database, viewer: Viewer, terms: CreditTerms) -> int:
    """Give credit on these terms from now on; the ones in force of that currency end. What was bought keeps
    its own. Returns the policy's id. For staff. Raises Invalid."""
    check(terms)

    async def work(conn: Connection) -> int:
        await _end(conn, viewer, terms.currency)
        policy_id: int = await conn.fetchval(
            """INSERT INTO credit.policy (currency, order_max, cap, cap_warning, total_cap, days_to_pay,
                 remind_days, write_off_days, reason, set_by)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id""",
            terms.currency,
            terms.order_max,
            terms.cap,
            terms.cap_warning,
            terms.total_cap,
            terms.days_to_pay,
            terms.remind_days,
            terms.write_off_days,
            terms.reason.strip(),
            viewer.user(),
        )
        data = msgspec.structs.asdict(terms)
        await audit.record(conn, "credit.policy_set", f"credit_policy:{policy_id}", viewer.actor, data)
        return policy_id

    return await db.run(viewer.as_staff, work)


async def end_policy(db: Database, viewer: Viewer, currency: str) -> None:
    """Give no more credit in a currency. What is owed stays owed on its terms. For staff. Raises NotFound."""

    async def work(conn: Connection) -> None:
        policy_id = await _end(conn, viewer, currency)
        if policy_id is None:
            raise NotFound()
        ref = f"credit_policy:{policy_id}"
        await audit.record(conn, "credit.policy_ended", ref, viewer.actor, {"currency": currency})

    await db.run(viewer.as_staff, work)


async def _end(conn: Connection, viewer: Viewer, currency: str) -> int | None:
    """Ends what is in force; two at once wait for each other."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('credit.policy'))")
    ended: int | None = await conn.fetchval(
        """UPDATE credit.policy SET ended_at = now(), ended_by = $2
           WHERE currency = $1 AND ended_at IS NULL RETURNING id""",
        currency,
        viewer.user(),
    )
    return ended


def check(terms: CreditTerms) -> None:
    """Raises Invalid for terms that cannot be."""
    faults: dict[str, str] = {}
    cap = Money(terms.cap, terms.currency).words()
    if terms.order_max > terms.cap:
        faults["order_max"] = f"At most what a buyer may owe, {cap}."
    if terms.cap_warning > terms.cap:
        faults["cap_warning"] = f"At most what others may owe, {cap}."
    if terms.total_cap < terms.cap:
        faults["total_cap"] = f"At least what one buyer may owe, {cap}."
    if terms.remind_days > terms.days_to_pay:
        faults["remind_days"] = "Not more days than there are to pay."
    if not read_text(faults, "reason", terms.reason, 500):
        faults.setdefault("reason", "Say why.")
    if faults:
        raise Invalid(fields=faults)
