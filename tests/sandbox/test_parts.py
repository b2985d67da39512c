"""Small parts: fees, amounts in words, cards, the clock, the command's options, the checker itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fondaco_sandbox import cards, money
from fondaco_sandbox.cli import read_options
from fondaco_sandbox.clock import Clock
from fondaco_sandbox.params import nest
from tests.sandbox.sdk_types import faults
from tests.support.sandbox import RunningSandbox


@pytest.mark.parametrize(
    ("amount", "fee"), [(100, 33), (1000, 59), (50, 31), (51, 31), (2500, 103), (99_999_999, 2_900_030)]
)
def test_fee(amount: int, fee: int) -> None:
    assert money.fee(amount) == fee


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (5, "eur", "0.05 EUR"),
        (123456789, "usd", "1,234,567.89 USD"),
        (1000, "jpy", "1,000 JPY"),
        (1234, "kwd", "1.234 KWD"),
        (-250, "eur", "-2.50 EUR"),
    ],
)
def test_amounts_in_words(amount: int, currency: str, words: str) -> None:
    assert money.shown(amount, currency) == words


def test_cards_have_names_of_their_own() -> None:
    names = [name for card in cards.ALL for name in (card.number, *card.aliases)]
    assert len(set(names)) == len(names)
    for card in cards.ALL:
        assert {cards.by_name(name) for name in (card.number, *card.aliases)} == {card}
        assert card.is_bank or cards.plausible_number(card.number)
    assert cards.by_name("4242 4242 4242 4242") == cards.CARDS[0]
    assert not cards.plausible_number("4242424242424241")


def test_clock_never_goes_back() -> None:
    clock = Clock(86_400_000)
    before = clock.now_ms()
    clock.stand_at(before - 5000)
    assert clock.now_ms() == before
    clock.stand_at(before + 5000)
    assert clock.now_ms() == before + 5000
    clock.stand_at(None)
    assert clock.now_ms() == before + 5000


def test_form_fields_are_nested() -> None:
    pairs = [("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("d[]", "x"), ("d[]", "y"), ("e", "")]
    assert nest(pairs) == {"a": {"b": {"0": {"c": "1"}, "1": {"c": "2"}}}, "d": {"0": "x", "1": "y"}, "e": ""}


@pytest.mark.parametrize(
    "options",
    [["--host", "0.0.0.0"], ["--webhook-secret", "short"], ["--port", "many"]],
)
def test_options_that_are_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_options(["--data", str(tmp_path), *options])
    assert caught.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_secret_is_not_shown_by_the_settings(tmp_path: Path) -> None:
    settings = read_options(["--data", str(tmp_path), "--webhook-secret", "whsec_a_long_enough_secret"])
    assert "whsec_" not in repr(settings)


def test_secret_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_WEBHOOK_SECRET", "whsec_from_the_environment")
    assert read_options(["--data", str(tmp_path)]).webhook_secret == "whsec_from_the_environment"
    given = ["--webhook-secret", "whsec_from_the_command"]
    assert read_options(["--data", str(tmp_path), *given]).webhook_secret == "whsec_from_the_command"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda body: body.pop("paid"), "charge.paid is missing"),
        (lambda body: body.update(amount="5"), "charge.amount is '5'"),
        (lambda body: body.update(colour="red"), "charge.colour is unknown"),
        (lambda body: body.update(status="done"), "charge.status is 'done'"),
        (lambda body: body.update(livemode=None), "charge.livemode is"),
        (lambda body: body["billing_details"].update(email=3), "charge.billing_details.email is 3"),
    ],
)
def test_the_checker_finds_what_is_wrong(
    sandbox: RunningSandbox, spoil: Callable[[dict[str, object]], object], words: str
) -> None:
    headers = {"authorization": "Bearer sk_test_1"}
    sandbox.control.post(
        "/v1/payment_intents",
        headers=headers,
        data={
            "amount": "1000",
            "currency": "eur",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "off_session": "true",
        },
    )
    charge = sandbox.control.get("/v1/charges", headers=headers).json()["data"][0]
    assert faults(charge) == []
    spoil(charge)
    assert [fault for fault in faults(charge) if fault.startswith(words)]


def test_control_refuses_in_words(sandbox: RunningSandbox) -> None:
    for path, content in (
        ("/sandbox/clock", {"advance": -1}),
        ("/sandbox/clock", {"advance": "soon"}),
        ("/sandbox/clock", {}),
        ("/sandbox/pay/cs_nobody", {}),
        ("/sandbox/authenticate/pi_nobody", {}),
        ("/sandbox/webhook_endpoints/we_nobody/roll", {}),
        ("/sandbox/nothing", {}),
    ):
        answer = sandbox.control.post(path, json=content)
        assert answer.status_code in (400, 404) and answer.json()["error"]["message"]
    assert sandbox.control.post("/sandbox/clock", content=b"[1]").status_code == 400
    assert sandbox.control.post("/sandbox/clock", content=b"{").status_code == 400
