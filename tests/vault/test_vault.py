"""Sealed secrets open for their own row only, and rotation changes nothing that is seen."""

import asyncio
import pickle
import traceback
import uuid

import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.embedded import Endpoints
from fondaco.vault import Vault, VaultKeyMissing, VaultSealBroken
from tests.conftest import key, make_settings

CODE = b"AAAAA-BBBBB-CANARY"


@pytest.fixture
def old_and_new(endpoints: Endpoints) -> tuple[Vault, Vault, Vault]:
    """The same house before, during and after a change of the key-encryption key."""
    first, second, mark = f"k1:{key()}", f"k2:{key()}", key()
    made = [
        Vault(make_settings(endpoints, vault_keys=keys, fingerprint_key=mark))
        for keys in (first, f"{second},{first}", second)
    ]
    return made[0], made[1], made[2]


@pytest.fixture
def vault(endpoints: Endpoints) -> Vault:
    return Vault(make_settings(endpoints))


async def test_what_is_sealed_opens_for_its_row_only(db: Database, vault: Vault) -> None:
    async with db.transaction(SYSTEM) as conn:
        data_key = await vault.new_key(conn, "stock")
        other = await vault.new_key(conn, "upload")
        sealed = vault.seal(data_key, CODE, "unit:1")
        assert CODE not in sealed
        assert sealed != vault.seal(data_key, CODE, "unit:1"), "the nonce must be random"
        assert (await vault.open(conn, data_key.id, sealed, "unit:1")).reveal() == CODE
        with pytest.raises(VaultSealBroken):
            await vault.open(conn, data_key.id, sealed, "unit:2")
        with pytest.raises(VaultSealBroken):
            await vault.open(conn, other.id, sealed, "unit:1")
        for place in (0, 13, len(sealed) - 1):
            spoilt = bytearray(sealed)
            spoilt[place] ^= 1
            with pytest.raises(VaultSealBroken):
                await vault.open(conn, data_key.id, bytes(spoilt), "unit:1")
        for short in (b"", sealed[:5], sealed[:20]):
            with pytest.raises(VaultSealBroken):
                await vault.open(conn, data_key.id, short, "unit:1")


async def test_two_ciphertexts_swapped_in_sql_do_not_open(db: Database, vault: Vault) -> None:
    users = [uuid7(), uuid7()]
    async with db.transaction(SYSTEM) as conn:
        data_key = await vault.new_key(conn, "totp")
        for n, user in enumerate(users):
            await conn.execute(
                "INSERT INTO identity.users (id, email, name, password_hash, totp_key, totp_sealed) "
                "VALUES ($1, $2, 'x', 'x', $3, $4)",
                user,
                f"u{n}@example.com",
                data_key.id,
                vault.seal(data_key, b"secret %d" % n, f"user:{user}"),
            )
    await db.execute(
        SYSTEM,
        "UPDATE identity.users a SET totp_sealed = b.totp_sealed FROM identity.users b WHERE a.id <> b.id",
    )
    async with db.transaction(SYSTEM) as conn:
        for user in users:
            sealed = await conn.fetchval("SELECT totp_sealed FROM identity.users WHERE id = $1", user)
            with pytest.raises(VaultSealBroken):
                await vault.open(conn, data_key.id, sealed, f"user:{user}")


async def test_wrapped_keys_swapped_in_sql_do_not_open(db: Database, endpoints: Endpoints) -> None:
    settings = make_settings(endpoints)
    vault, cold = Vault(settings), Vault(settings)
    async with db.transaction(SYSTEM) as conn:
        a, b = await vault.new_key(conn, "stock"), await vault.new_key(conn, "stock")
        wrapped = await conn.fetchval("SELECT wrapped FROM vault.data_key WHERE id = $1", a.id)
        assert a.key not in wrapped
        await conn.execute("UPDATE vault.data_key SET wrapped = $2 WHERE id = $1", b.id, wrapped)
        sealed = vault.seal(a, CODE, "unit:1")
        assert (await cold.open(conn, a.id, sealed, "unit:1")).reveal() == CODE
        with pytest.raises(VaultSealBroken):
            await cold.open(conn, b.id, sealed, "unit:1")
        await conn.execute("UPDATE vault.data_key SET purpose = 'upload' WHERE id = $1", a.id)
        with pytest.raises(VaultSealBroken):
            await Vault(settings).open(conn, a.id, sealed, "unit:1")
        with pytest.raises(VaultKeyMissing):
            await vault.open(conn, uuid.uuid4(), sealed, "unit:1")


async def test_secrets_do_not_show(db: Database, vault: Vault) -> None:
    async with db.transaction(SYSTEM) as conn:
        data_key = await vault.new_key(conn, "stock")
    secret = vault.unseal(data_key, vault.seal(data_key, CODE, "u"), "u")
    for text in (repr(secret), str(secret), f"{secret}", repr(data_key), repr(vault)):
        assert "CANARY" not in text
        assert repr(data_key.key)[2:12] not in text
    for thing in (secret, data_key):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    sealed = b"CANARY" * 5
    with pytest.raises(VaultSealBroken) as caught:
        vault.unseal(data_key, sealed, "u")
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in str(caught.value.body())


async def test_rotation_while_opening(db: Database, old_and_new: tuple[Vault, Vault, Vault]) -> None:
    old, between, new = old_and_new
    sealed: list[tuple[uuid.UUID, bytes, str]] = []
    async with db.transaction(SYSTEM) as conn:
        for n in range(60):
            data_key = await old.new_key(conn, "stock")
            sealed.append((data_key.id, old.seal(data_key, b"code %d" % n, f"unit:{n}"), f"unit:{n}"))

    async def open_all() -> None:
        async with db.transaction(SYSTEM) as conn:
            reader = Vault.__new__(Vault)
            reader.__dict__.update(between.__dict__ | {"_opened": type(between._opened)()})
            for n, (key_id, box, bound) in enumerate(sealed):
                assert (await reader.open(conn, key_id, box, bound)).reveal() == b"code %d" % n

    told: list[int] = []
    done, *_ = await asyncio.gather(between.rotate(db, 7, told.append), open_all(), open_all())
    assert done == 60
    assert told == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert await between.rotate(db) == 0
    async with db.transaction(SYSTEM) as conn:
        for n, (key_id, box, bound) in enumerate(sealed):
            assert (await new.open(conn, key_id, box, bound)).reveal() == b"code %d" % n
        old._opened.clear()
        with pytest.raises(VaultKeyMissing):
            await old.open(conn, *sealed[0])


async def test_two_rotations_at_once_rewrap_each_key_once(
    db: Database, old_and_new: tuple[Vault, Vault, Vault]
) -> None:
    old, between, new = old_and_new
    async with db.transaction(SYSTEM) as conn:
        for _ in range(30):
            await old.new_key(conn, "stock")
    done = await asyncio.gather(between.rotate(db, 4), between.rotate(db, 4))
    assert sum(done) == 30
    assert await new.faults(db) == []


async def test_missing_and_wrong_keys_are_named(
    db: Database, endpoints: Endpoints, old_and_new: tuple[Vault, Vault, Vault]
) -> None:
    old, between, new = old_and_new
    async with db.transaction(SYSTEM) as conn:
        await old.new_key(conn, "stock")
    assert await old.faults(db) == [] == await between.faults(db)
    assert ["lacks the key named 'k1'" in f for f in await new.faults(db)] == [True]
    stranger = Vault(make_settings(endpoints, vault_keys=f"k1:{key()}"))
    assert ["another key under the name 'k1'" in f for f in await stranger.faults(db)] == [True]
    with pytest.raises(VaultKeyMissing):
        await new.rotate(db)


def test_fingerprints_know_the_code_however_it_is_typed(endpoints: Endpoints) -> None:
    one, other = Vault(make_settings(endpoints)), Vault(make_settings(endpoints))
    mark = one.fingerprint("ABCD  EFGH-1234")
    assert len(mark) == 32
    for same in (" abcd efgh-1234\n", "ＡＢＣＤ EFGH-1234", "ABCD\t EFGH-1234"):
        assert one.fingerprint(same) == mark
    assert one.fingerprint("ABCD EFGH-1235") != mark
    assert other.fingerprint("ABCD EFGH-1234") != mark
