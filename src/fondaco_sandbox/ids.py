"""Ids and secrets that look like Stripe's."""

import hashlib
import secrets
import string

_LETTERS = string.ascii_letters + string.digits


def letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def new_id(prefix: str) -> str:
    """An id such as "ch_1S8..." (24 random letters)."""
    return f"{prefix}_1S{letters(22)}"


def session_id() -> str:
    return f"cs_test_a1{letters(56)}"


def request_id() -> str:
    return f"req_{letters(14)}"


def webhook_secret() -> str:
    return f"whsec_{letters(32)}"


def mark(text: str) -> str:
    """A short mark that is the same for the same text, such as a card's fingerprint."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
