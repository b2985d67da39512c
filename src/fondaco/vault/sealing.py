"""Sealing and opening: AES-256-GCM with a data key, which AES-256-GCM wraps with a key-encryption key."""

import base64
import hashlib
import hmac
import os
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.settings import Settings
from fondaco.vault.model import DataKey, Secret, VaultKeyMissing, VaultSealBroken

_NONCE = 12
_CACHED_KEYS = 1024


class Vault:
    """Seals, opens, fingerprints and rotates with the keys of the settings.

    The first name in `vault_keys` wraps new data keys; all names open old ones.
    """

    def __init__(self, settings: Settings) -> None:
        self._keks = _parse_keys(settings.vault_keys.get_secret_value())
        self.active = next(iter(self._keks))
        self._fingerprint_key = base64.b64decode(settings.fingerprint_key.get_secret_value())
        self._opened: OrderedDict[UUID, DataKey] = OrderedDict()

    def __repr__(self) -> str:
        return f"Vault(keys={list(self._keks)})"

    async def new_key(self, conn: Connection, purpose: str) -> DataKey:
        """A fresh data key for `purpose`, stored wrapped in the caller's transaction."""
        made = DataKey(uuid7(), purpose, os.urandom(32))
        await conn.execute(
            "INSERT INTO vault.data_key (id, purpose, kek, wrapped) VALUES ($1, $2, $3, $4)",
            made.id,
            purpose,
            self.active,
            _encrypt(self._keks[self.active], made.key, _wrap_binding(made.id, purpose)),
        )
        return made

    async def key(self, conn: Connection, key_id: UUID) -> DataKey:
        """The data key of that id, unwrapped (kept in memory, the least used forgotten first).

        Raises VaultKeyMissing when no such data key or no key-encryption key for it is there, VaultSealBroken
        when its row was tampered with.
        """
        if found := self.key_at_hand(key_id):
            return found
        row = await conn.fetchrow(
            "SELECT id, purpose, kek, wrapped FROM vault.data_key WHERE id = $1", key_id
        )
        if row is None:
            raise VaultKeyMissing()
        key = DataKey(row["id"], row["purpose"], self._unwrap(row))
        self._opened[key_id] = key
        while len(self._opened) > _CACHED_KEYS:
            self._opened.popitem(last=False)
        return key

    def key_at_hand(self, key_id: UUID) -> DataKey | None:
        """The data key of that id when it is kept unwrapped: `key` without a look into the database."""
        if found := self._opened.get(key_id):
            self._opened.move_to_end(key_id)
        return found

    def seal(self, key: DataKey, plaintext: bytes, bound_to: str) -> bytes:
        """`plaintext` encrypted with a random nonce; it opens only with the same key and `bound_to`."""
        return _encrypt(key.key, plaintext, _seal_binding(key, bound_to))

    def unseal(self, key: DataKey, sealed: bytes, bound_to: str) -> Secret:
        """What `seal` sealed, with a key already at hand; raises VaultSealBroken."""
        return Secret(_decrypt(key.key, sealed, _seal_binding(key, bound_to)))

    async def open(self, conn: Connection, key_id: UUID, sealed: bytes, bound_to: str) -> Secret:
        """What `seal` sealed. Raises VaultSealBroken when it was changed or moved from another row,
        VaultKeyMissing when its key is not there."""
        return self.unseal(await self.key(conn, key_id), sealed, bound_to)

    def fingerprint(self, text: str) -> bytes:
        """32 bytes that are equal for equal codes and say nothing about the code without our key.

        Spaces around and repeated inside, letter case and Unicode's compatible forms do not count.
        """
        plain = " ".join(unicodedata.normalize("NFKC", text).split()).upper()
        return hmac.digest(self._fingerprint_key, plain.encode(), hashlib.sha256)

    async def rotate(
        self, db: Database, batch: int = 500, progress: Callable[[int], None] | None = None
    ) -> int:
        """Re-wrap every data key that an older key-encryption key wraps; returns how many.

        Runs beside everything else and can be stopped and started again; `progress` gets the count so far.
        Secrets stay as they are. When it returns, the older keys may leave the configuration once all
        processes run with the new one. Raises VaultKeyMissing, VaultSealBroken.
        """
        done = 0
        while count := await db.run(SYSTEM, lambda conn: self._rotate_batch(conn, batch)):
            done += count
            if progress:
                progress(done)
        return done

    async def _rotate_batch(self, conn: Connection, batch: int) -> int:
        # NO KEY UPDATE: inserts that refer to these keys go on meanwhile.
        rows = await conn.fetch(
            "SELECT id, purpose, kek, wrapped FROM vault.data_key WHERE kek <> $1 "
            "ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
            self.active,
            batch,
        )
        kek = self._keks[self.active]
        await conn.executemany(
            "UPDATE vault.data_key SET kek = $2, wrapped = $3, rotated_at = now() WHERE id = $1",
            [
                (r["id"], self.active, _encrypt(kek, self._unwrap(r), _wrap_binding(r["id"], r["purpose"])))
                for r in rows
            ],
        )
        if failpoints.armed:
            await failpoints.reached("keyrotate.mid_batch", conn)
        return len(rows)

    async def faults(self, db: Database) -> list[str]:
        """What is wrong between the configured keys and the stored data keys, as sentences: key names in use
        that are not configured, and names whose configured key is not the one that was used."""
        rows = await db.fetch(
            SYSTEM, "SELECT DISTINCT ON (kek) id, purpose, kek, wrapped FROM vault.data_key ORDER BY kek, id"
        )
        found: list[str] = []
        for row in rows:
            try:
                self._unwrap(row)
            except VaultKeyMissing:
                found.append(f"vault_keys lacks the key named {row['kek']!r}, which secrets still need")
            except VaultSealBroken:
                found.append(f"vault_keys has another key under the name {row['kek']!r} than was used before")
        return found

    async def under_older_keys(self, db: Database) -> int:
        """How many data keys are not yet wrapped by the active key-encryption key."""
        count: int = await db.fetchval(
            SYSTEM, "SELECT count(*) FROM vault.data_key WHERE kek <> $1", self.active
        )
        return count

    def _unwrap(self, row: Record) -> bytes:
        kek = self._keks.get(row["kek"])
        if kek is None:
            raise VaultKeyMissing()
        return _decrypt(kek, row["wrapped"], _wrap_binding(row["id"], row["purpose"]))


def _parse_keys(text: str) -> dict[str, bytes]:
    pairs = (part.strip().partition(":") for part in text.split(","))
    return {name: base64.b64decode(encoded) for name, _, encoded in pairs}


def _wrap_binding(key_id: UUID, purpose: str) -> bytes:
    return f"data_key|{key_id}|{purpose}".encode()


def _seal_binding(key: DataKey, bound_to: str) -> bytes:
    return f"{key.purpose}|{bound_to}".encode()


def _encrypt(key: bytes, plaintext: bytes, binding: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, binding)


def _decrypt(key: bytes, sealed: bytes, binding: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], binding)
    except (InvalidTag, ValueError) as error:
        raise VaultSealBroken() from error
