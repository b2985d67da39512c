"""Whether a user's wallets may be spent from."""

from uuid import UUID

from fondaco.core.db import Connection, Database
from fondaco.core.viewer import Viewer


async def is_blocked(conn: Connection, user_id: UUID) -> bool:
    """Whether a chargeback blocks them."""
    blocked: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT 1 FROM wallets.standing WHERE user_id = $1 AND state <> 'OK')", user_id
    )
    return blocked


async def own_standing(db: Database, viewer: Viewer) -> str:
    """How the viewer's own wallets stand: OK, WALLET_AT_RISK or LOCKED."""
    state: str | None = await db.fetchval(
        viewer.as_user, "SELECT state FROM wallets.standing WHERE user_id = $1", viewer.user()
    )
    return state or "OK"


async def stand(conn: Connection, user_id: UUID, state: str) -> str:
    """Say how a user's wallets stand: OK, WALLET_AT_RISK or LOCKED; answers how they stood before. Their
    balances are locked until the caller's transaction is over, so that no purchase slips by."""
    before: str = await conn.fetchval("SELECT wallets.stand($1, $2)", user_id, state)
    return before
