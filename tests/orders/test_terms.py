"""What the terms of a line say in words: who bears a chargeback."""

from typing import Any

import pytest

from fondaco.orders.policies import liability_words


@pytest.mark.parametrize(
    ("liability", "words"),
    [
        (None, "the marketplace bears it"),
        ({"policy": "platform", "version": 1, "bps": 0}, "the marketplace bears it"),
        ({"policy": "seller", "version": 1, "bps": 10_000}, "you bear what you got"),
        ({"policy": "shared", "version": 1, "bps": 5_000}, "you bear 50 % of what you got"),
        ({"policy": "shared", "version": 1, "bps": 1_250}, "you bear 12.5 % of what you got"),
    ],
)
def test_who_bears_a_chargeback_is_said(liability: dict[str, Any] | None, words: str) -> None:
    terms = {"refund": {"liability": liability}} if liability else {}
    assert words in liability_words(terms)
    assert "from your own account" in liability_words({**terms, "funding": "destination"})
