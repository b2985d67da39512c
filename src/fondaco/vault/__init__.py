"""Vault: seals and opens secrets with envelope encryption, each bound to its row.

A data key seals many secrets of one purpose (one batch of codes, one user's second factor). It is stored
wrapped by a key-encryption key that only the configuration knows. What is sealed for one row does not open
for another. `Vault.rotate` re-wraps the data keys while everything goes on.
"""

from fondaco.vault.marks import is_mark, mark
from fondaco.vault.model import DataKey, Secret, VaultKeyMissing, VaultSealBroken
from fondaco.vault.sealing import Vault

__all__ = ["DataKey", "Secret", "Vault", "VaultKeyMissing", "VaultSealBroken", "is_mark", "mark"]
