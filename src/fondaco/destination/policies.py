"""Deciding how a store is paid: the owner asks and finance approves, or an administrator sets it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fondaco import approvals, audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.destination.model import FUNDING_POLICIES, AccountNotReady, FundingPolicy, SameAlready

KIND = "store.funding"
_POLICY = """SELECT coalesce(p.policy, 'standard') AS policy, coalesce(p.version, 0) AS version, p.decided_at,
    coalesce((SELECT r.payload->>'policy' FROM approvals.request r WHERE r.kind = 'store.funding'
              AND r.ref = 'seller:' || s.id AND r.state = 'OPEN'), '') AS asked_for,
    destination.account_of(s.id) IS NOT NULL AS account_ready
  FROM sellers.seller s LEFT JOIN LATERAL (
    SELECT * FROM destination.policy p WHERE p.seller_id = s.id ORDER BY p.version DESC LIMIT 1) p ON true
  WHERE s.id = $1"""


async def own_policy(db: Database, viewer: Viewer) -> FundingPolicy:
    """How the viewer's store is paid."""
    return _policy(await db.fetchrow(SYSTEM, _POLICY, viewer.seller()))  # what waits is kept for staff


async def store_policy(db: Database, viewer: Viewer, seller_id: UUID) -> FundingPolicy:
    """How a store is paid. For staff. Raises NotFound."""
    return _policy(await db.fetchrow(viewer.as_staff, _POLICY, seller_id))


def _policy(row: Record | None) -> FundingPolicy:
    if row is None:
        raise NotFound()
    return FundingPolicy(**dict(row))


async def ask_for(db: Database, viewer: Viewer, policy: str, reason: str) -> UUID:
    """The owner of a store asks that it be paid by `policy`; finance decides. Returns the request's id.

    Raises Invalid, SameAlready, AccountNotReady, approvals.AlreadyAsked.
    """

    async def work(conn: Connection) -> UUID:
        return await _ask(conn, viewer, viewer.seller(), policy, reason)

    return await db.run(SYSTEM, work)


async def set_policy(db: Database, viewer: Viewer, seller_id: UUID, policy: str, reason: str) -> bool:
    """A desk decides: an administrator alone; finance asks a second person, and then it is False.

    Raises NotFound, Invalid, SameAlready, AccountNotReady, approvals.AlreadyAsked.
    """
    words = approvals.said(reason, "reason", least=3)

    async def work(conn: Connection) -> bool:
        if viewer.staff_role == "admin":
            await _decide(conn, seller_id, policy, words, viewer.actor)
            return True
        await _ask(conn, viewer, seller_id, policy, words)
        return False

    return await db.run(viewer.as_staff, work)


async def _ask(conn: Connection, viewer: Viewer, seller_id: UUID, policy: str, reason: str) -> UUID:
    await _may_be(conn, seller_id, policy)
    name = await conn.fetchval("SELECT name FROM sellers.seller WHERE id = $1", seller_id)
    payload = {"seller_id": str(seller_id), "policy": policy, "name": name}
    return await approvals.ask(conn, KIND, f"seller:{seller_id}", payload, reason, viewer)


async def _may_be(conn: Connection, seller_id: UUID, policy: str) -> int:
    """The store's newest version; locks the store. Raises what keeps the policy from being set."""
    if policy not in FUNDING_POLICIES:
        raise Invalid(fields={"policy": "Choose how the store is paid."})
    row = await conn.fetchrow(
        """SELECT at_sale, destination.account_of(id) IS NOT NULL AS ready,
             (SELECT coalesce(max(p.version), 0) FROM destination.policy p
              WHERE p.seller_id = s.id) AS version
           FROM sellers.seller s WHERE id = $1 FOR NO KEY UPDATE""",
        seller_id,
    )
    if row is None:
        raise NotFound()
    if row["at_sale"] == (policy == "destination"):
        raise SameAlready()
    if policy == "destination" and not row["ready"]:
        raise AccountNotReady()
    version: int = row["version"]
    return version


async def _decide(conn: Connection, seller_id: UUID, policy: str, reason: str, actor: str) -> None:
    version = await _may_be(conn, seller_id, policy) + 1
    await conn.execute(
        """INSERT INTO destination.policy (seller_id, version, policy, reason, decided_by)
           VALUES ($1, $2, $3, $4, $5)""",
        seller_id,
        version,
        policy,
        reason,
        actor,
    )
    await conn.execute(
        "UPDATE sellers.seller SET at_sale = $2, version = version + 1 WHERE id = $1",
        seller_id,
        policy == "destination",
    )
    data = {"policy": policy, "version": version, "reason": reason}
    await audit.record(conn, "store.funding_set", f"seller:{seller_id}", actor, data)


def _words(payload: Mapping[str, Any]) -> str:
    return f"{payload['name']} from now on: {FUNDING_POLICIES[payload['policy']]}"


@approvals.verb(KIND, permission="console.commission", words=_words)
async def approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """What the owner asked for and finance approved."""
    await _decide(conn, UUID(payload["seller_id"]), payload["policy"], request.reason, request.actor)
