"""Vault: data keys, opened secrets, and what can be wrong with them."""

from dataclasses import dataclass, field
from typing import Never
from uuid import UUID

from fondaco.core.problem import Problem, Unavailable


class VaultSealBroken(Problem):
    """This secret cannot be opened: what is stored was changed or is not its own. Please write to support."""

    status = 500
    code = "vault_seal_broken"


class VaultKeyMissing(Unavailable):
    """This secret cannot be opened now: its key-encryption key is not configured here (vault_keys). Nothing
    is lost; try again in a moment."""

    code = "vault_key_missing"


@dataclass(frozen=True, slots=True)
class DataKey:
    """An unwrapped data key: 32 bytes that `repr` never shows."""

    id: UUID
    purpose: str
    key: bytes = field(repr=False)

    def __reduce__(self) -> Never:
        raise TypeError("a data key is not written down")


class Secret:
    """An opened secret. Only `reveal` gives it away; printing, logging and pickling do not."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The plain bytes."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not written down")
