"""The reference page names everything that the sandbox can be told."""

from pathlib import Path

from fondaco_sandbox import cards, connect, disputes, faults
from fondaco_sandbox.control_money import WORKS
from fondaco_sandbox.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs/reference/sandbox.md").read_text()


def test_every_card_bank_and_word_is_named() -> None:
    numbers = {card.number for card in cards.ALL}
    for name in (*numbers, *connect.BANKS, *disputes.VERDICTS, *faults.RATES, *faults.COUNTED):
        assert name in PAGE, name
    for code in filter(None, connect.BANKS.values()):
        assert f"`{code}`" in PAGE


def test_every_call_about_money_is_named() -> None:
    for name in WORKS:
        assert f"`{name}`" in PAGE, name


def test_times_are_those_of_the_code() -> None:
    day = 86_400
    assert Settings(Path()).settle_seconds == 5 and Settings(Path()).available_after_seconds == 2 * day
    assert (9 * day, 60 * day) == (disputes.ANSWER_WITHIN, disputes.DECIDED_WITHIN)
    assert 120 * day == disputes.INQUIRY_CLOSES_AFTER
