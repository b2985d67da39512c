"""Which parameters Stripe takes, read from the official SDK and kept as `request_shapes.json`.

    python -m fondaco_sandbox.request_shapes

writes the file anew (after an update of the SDK; a test compares). The running sandbox reads only the file,
so it need not load the SDK.

A shape is one of: "string", "integer", "boolean", "decimal"; {"enum": [...]}; {"list": shape};
{"map": shape}; {"object": {name: shape}, "required": [...]}; {"any": [shape, ...]}. Lists of choices that
occur twice are kept once under "choices" and named by {"choice": name}.
"""

import importlib
import json
import sys
import types
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any

from fondaco_sandbox.store import is_object

FILE = Path(__file__).with_name("request_shapes.json")

OPERATIONS = {
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/customers": "CustomerListParams",
    "GET /v1/customers/{id}": "CustomerRetrieveParams",
    "POST /v1/customers/{id}": "CustomerUpdateParams",
    "DELETE /v1/customers/{id}": "CustomerDeleteParams",
    "POST /v1/checkout/sessions": "checkout.SessionCreateParams",
    "GET /v1/checkout/sessions": "checkout.SessionListParams",
    "GET /v1/checkout/sessions/{id}": "checkout.SessionRetrieveParams",
    "POST /v1/checkout/sessions/{id}": "checkout.SessionUpdateParams",
    "POST /v1/checkout/sessions/{id}/expire": "checkout.SessionExpireParams",
    "GET /v1/checkout/sessions/{id}/line_items": "checkout.SessionLineItemListParams",
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "GET /v1/payment_intents/{id}": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/{id}": "PaymentIntentUpdateParams",
    "POST /v1/payment_intents/{id}/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/{id}/cancel": "PaymentIntentCancelParams",
    "GET /v1/payment_methods/{id}": "PaymentMethodRetrieveParams",
    "GET /v1/prices/{id}": "PriceRetrieveParams",
    "GET /v1/products/{id}": "ProductRetrieveParams",
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/charges/{id}": "ChargeRetrieveParams",
    "POST /v1/charges/{id}": "ChargeUpdateParams",
    "GET /v1/balance": "BalanceRetrieveParams",
    "GET /v1/balance_transactions": "BalanceTransactionListParams",
    "GET /v1/balance_transactions/{id}": "BalanceTransactionRetrieveParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "GET /v1/refunds/{id}": "RefundRetrieveParams",
    "POST /v1/refunds/{id}": "RefundUpdateParams",
    "POST /v1/refunds/{id}/cancel": "RefundCancelParams",
    "GET /v1/disputes": "DisputeListParams",
    "GET /v1/disputes/{id}": "DisputeRetrieveParams",
    "POST /v1/disputes/{id}": "DisputeUpdateParams",
    "POST /v1/disputes/{id}/close": "DisputeCloseParams",
    "GET /v1/radar/early_fraud_warnings": "radar.EarlyFraudWarningListParams",
    "GET /v1/radar/early_fraud_warnings/{id}": "radar.EarlyFraudWarningRetrieveParams",
    "POST /v1/accounts": "AccountCreateParams",
    "GET /v1/accounts": "AccountListParams",
    "GET /v1/accounts/{id}": "AccountRetrieveParams",
    "POST /v1/accounts/{id}": "AccountUpdateParams",
    "DELETE /v1/accounts/{id}": "AccountDeleteParams",
    "GET /v1/accounts/{id}/capabilities": "AccountCapabilityListParams",
    "POST /v1/account_links": "AccountLinkCreateParams",
    "GET /v1/reporting/report_types": "reporting.ReportTypeListParams",
    "GET /v1/reporting/report_types/{id}": "reporting.ReportTypeRetrieveParams",
    "POST /v1/reporting/report_runs": "reporting.ReportRunCreateParams",
    "GET /v1/reporting/report_runs": "reporting.ReportRunListParams",
    "GET /v1/reporting/report_runs/{id}": "reporting.ReportRunRetrieveParams",
    "GET /v1/files/{id}": "FileRetrieveParams",
    "GET /v1/application_fees": "ApplicationFeeListParams",
    "GET /v1/application_fees/{id}": "ApplicationFeeRetrieveParams",
    "GET /v1/application_fees/{id}/refunds": "ApplicationFeeRefundListParams",
    "POST /v1/transfers": "TransferCreateParams",
    "GET /v1/transfers": "TransferListParams",
    "GET /v1/transfers/{id}": "TransferRetrieveParams",
    "POST /v1/transfers/{id}": "TransferUpdateParams",
    "POST /v1/transfers/{id}/reversals": "TransferReversalCreateParams",
    "GET /v1/transfers/{id}/reversals": "TransferReversalListParams",
    "POST /v1/payouts": "PayoutCreateParams",
    "GET /v1/payouts": "PayoutListParams",
    "GET /v1/payouts/{id}": "PayoutRetrieveParams",
    "POST /v1/payouts/{id}": "PayoutUpdateParams",
    "POST /v1/payouts/{id}/cancel": "PayoutCancelParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/events/{id}": "EventRetrieveParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
    "GET /v1/webhook_endpoints": "WebhookEndpointListParams",
    "GET /v1/webhook_endpoints/{id}": "WebhookEndpointRetrieveParams",
    "POST /v1/webhook_endpoints/{id}": "WebhookEndpointUpdateParams",
    "DELETE /v1/webhook_endpoints/{id}": "WebhookEndpointDeleteParams",
}


def read_sdk() -> dict[str, Any]:
    """The whole file's content, from the SDK that is installed."""
    choices: dict[str, list[str]] = {}
    operations = {name: _object(_params_class(path), choices) for name, path in OPERATIONS.items()}
    version = importlib.import_module("stripe._api_version")._ApiVersion.CURRENT
    return {"api_version": version, "operations": operations, "choices": choices}


def _params_class(path: str) -> Any:
    package, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"stripe.params.{package}".rstrip(".")), name)


def _object(cls: Any, choices: dict[str, list[str]]) -> dict[str, Any]:
    base: Any = importlib.import_module("stripe._request_options").RequestOptions
    transport = set(base.__annotations__)
    namespace = vars(sys.modules[cls.__module__])
    shapes: dict[str, Any] = {}
    required: list[str] = []
    for name, written in cls.__annotations__.items():
        if name in transport:
            continue
        hint = _resolved(written, namespace)
        optional = "NotRequired" in str(typing.get_origin(hint))
        shapes[name] = _shape(typing.get_args(hint)[0] if optional else hint, namespace, choices)
        if not optional:
            required.append(name)
    return {"object": shapes, "required": required} if required else {"object": shapes}


def _shape(hint: Any, namespace: dict[str, Any], choices: dict[str, list[str]]) -> Any:
    hint = _resolved(hint, namespace)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    scalars: dict[Any, str] = {
        str: "string",
        int: "integer",
        bool: "boolean",
        float: "decimal",
        Decimal: "decimal",
    }
    if hint in scalars:
        return scalars[hint]
    if origin is typing.Literal:
        return _enum([str(value) for value in args], choices)
    if origin in (list, typing.List):  # noqa: UP006 - the SDK writes typing.List
        return {"list": _shape(args[0], namespace, choices)}
    if origin is dict:
        return {"map": _shape(args[1], namespace, choices)}
    if origin in (typing.Union, types.UnionType):
        return _union([_shape(arg, namespace, choices) for arg in args if not _is_untyped(arg)])
    if hasattr(hint, "__total__"):  # a TypedDict, of typing or of typing_extensions
        return _object(hint, choices)
    raise TypeError(f"no shape for {hint!r}")


def _resolved(hint: Any, namespace: dict[str, Any]) -> Any:
    """What an annotation in quotes stands for."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        return _resolved(eval(hint, namespace), namespace)  # noqa: S307 - the SDK's own annotations
    return hint


def _is_untyped(hint: Any) -> bool:
    """The SDK takes its own response objects where a mapping is meant; that adds nothing to the wire."""
    return "UntypedStripeObject" in repr(hint) or hint is type(None)


def _enum(values: list[str], choices: dict[str, list[str]]) -> dict[str, Any]:
    if len(values) < 6:
        return {"enum": values}
    for name, known in choices.items():
        if known == values:
            return {"choice": name}
    name = f"c{len(choices) + 1}"
    choices[name] = values
    return {"choice": name}


def _union(shapes: list[Any]) -> Any:
    closed = [shape for shape in shapes if is_object(shape) and ("enum" in shape or "choice" in shape)]
    if closed and closed[0] != {"enum": [""]}:
        # "A | B | str": the SDK leaves the list open for later versions, the server of this version does not
        shapes = [shape for shape in shapes if shape != "string"]
    return shapes[0] if len(shapes) == 1 else {"any": shapes}


if __name__ == "__main__":
    FILE.write_text(json.dumps(read_sdk(), separators=(",", ":"), sort_keys=True) + "\n")
