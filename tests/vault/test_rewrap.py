"""The clock's part in changing a key-encryption key: what the old one wraps is wrapped by the new one."""

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.vault import Vault
from fondaco.vault.jobs import periodic
from tests.conftest import key, make_settings


async def test_after_the_job_the_old_key_may_go(db: Database, endpoints: Endpoints) -> None:
    first, second = f"k1:{key()}", f"k2:{key()}"
    old, both, new = (
        Vault(make_settings(endpoints, vault_keys=keys)) for keys in (first, f"{second},{first}", second)
    )
    async with db.transaction(SYSTEM) as conn:
        data_key = await old.new_key(conn, "stock")
        sealed = old.seal(data_key, b"code", "unit:1")
    ((_, _, rewrap),) = periodic
    assert await both.under_older_keys(db) == 1
    assert await rewrap(Parts(db, both)) == 1
    assert await both.under_older_keys(db) == 0
    assert await rewrap(Parts(db, both)) == 0
    async with db.transaction(SYSTEM) as conn:
        assert (await new.open(conn, data_key.id, sealed, "unit:1")).reveal() == b"code"
