"""The parameters that the sandbox knows are Stripe's."""

import json
from pathlib import Path

import pytest

from fondaco_sandbox.api import HANDLERS
from fondaco_sandbox.params import check, shapes
from fondaco_sandbox.request_shapes import OPERATIONS, read_sdk

SPEC: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "data" / "stripe_request_parameters.json").read_text()
)["parameters"]
GONE_SINCE = {  # in the API of 2025-10-15, not in the SDK's version
    "bank_account", "card", "client_secret", "coupon", "default_alipay_account", "default_bank_account",
    "default_card", "payment_method_types", "promotion_code",
}  # fmt: skip


def test_file_is_what_the_sdk_says() -> None:
    assert shapes() == read_sdk(), "run: python -m fondaco_sandbox.request_shapes"


def test_every_operation_has_a_shape_and_a_handler() -> None:
    assert set(OPERATIONS) == set(HANDLERS) == set(shapes()["operations"])


@pytest.mark.parametrize("operation", sorted(SPEC))
def test_parameters_of_the_public_specification(operation: str) -> None:
    assert set(SPEC[operation]) - set(shapes()["operations"][operation]["object"]) <= GONE_SINCE


def test_values_get_their_types() -> None:
    raw = {
        "amount": "1000",
        "currency": "eur",
        "confirm": "true",
        "expand": {"0": "customer", "1": "latest_charge"},
        "metadata": {"n": "5"},
        "automatic_payment_methods": {"enabled": "false"},
    }
    assert check("POST /v1/payment_intents", raw) == {
        "amount": 1000,
        "currency": "eur",
        "confirm": True,
        "expand": ["customer", "latest_charge"],
        "metadata": {"n": "5"},
        "automatic_payment_methods": {"enabled": False},
    }
