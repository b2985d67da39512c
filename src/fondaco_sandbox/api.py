"""The API: which address leads to which handler, and what every request goes through."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from fondaco_sandbox import ids, params
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.call import Call, Handler
from fondaco_sandbox.errors import ApiError, broken, unsupported
from fondaco_sandbox.idempotency import Keys, fingerprint_of
from fondaco_sandbox.resources import (
    accounts,
    application_fees,
    charges,
    customers,
    disputes,
    events,
    payment_intents,
    payouts,
    prices,
    refunds,
    reports,
    sessions,
    transfers,
    webhook_endpoints,
)
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import expand, present
from fondaco_sandbox.web import Request, Response, as_json

HANDLERS: dict[str, Handler] = {
    "POST /v1/customers": customers.create,
    "GET /v1/customers": customers.list_,
    "GET /v1/customers/{id}": customers.retrieve,
    "POST /v1/customers/{id}": customers.update,
    "DELETE /v1/customers/{id}": customers.delete,
    "POST /v1/checkout/sessions": sessions.create,
    "GET /v1/checkout/sessions": sessions.list_,
    "GET /v1/checkout/sessions/{id}": sessions.retrieve,
    "POST /v1/checkout/sessions/{id}": sessions.update,
    "POST /v1/checkout/sessions/{id}/expire": sessions.expire,
    "GET /v1/checkout/sessions/{id}/line_items": sessions.line_items,
    "POST /v1/payment_intents": payment_intents.create,
    "GET /v1/payment_intents": payment_intents.list_,
    "GET /v1/payment_intents/{id}": payment_intents.retrieve,
    "POST /v1/payment_intents/{id}": payment_intents.update,
    "POST /v1/payment_intents/{id}/confirm": payment_intents.confirm,
    "POST /v1/payment_intents/{id}/cancel": payment_intents.cancel,
    "GET /v1/payment_methods/{id}": prices.retrieve_payment_method,
    "GET /v1/prices/{id}": prices.retrieve_price,
    "GET /v1/products/{id}": prices.retrieve_product,
    "GET /v1/charges": charges.list_,
    "GET /v1/charges/{id}": charges.retrieve,
    "POST /v1/charges/{id}": charges.update,
    "GET /v1/balance": charges.show_balance,
    "GET /v1/balance_transactions": charges.list_balance_transactions,
    "GET /v1/balance_transactions/{id}": charges.retrieve_balance_transaction,
    "POST /v1/refunds": refunds.create,
    "GET /v1/refunds": refunds.list_,
    "GET /v1/refunds/{id}": refunds.retrieve,
    "POST /v1/refunds/{id}": refunds.update,
    "POST /v1/refunds/{id}/cancel": refunds.cancel,
    "GET /v1/disputes": disputes.list_,
    "GET /v1/disputes/{id}": disputes.retrieve,
    "POST /v1/disputes/{id}": disputes.update,
    "POST /v1/disputes/{id}/close": disputes.close,
    "GET /v1/radar/early_fraud_warnings": disputes.list_warnings,
    "GET /v1/radar/early_fraud_warnings/{id}": disputes.retrieve_warning,
    "POST /v1/accounts": accounts.create,
    "GET /v1/accounts": accounts.list_,
    "GET /v1/accounts/{id}": accounts.retrieve,
    "POST /v1/accounts/{id}": accounts.update,
    "DELETE /v1/accounts/{id}": accounts.delete,
    "GET /v1/accounts/{id}/capabilities": accounts.capabilities,
    "POST /v1/account_links": accounts.create_link,
    "GET /v1/reporting/report_types": reports.list_types,
    "GET /v1/reporting/report_types/{id}": reports.retrieve_type,
    "POST /v1/reporting/report_runs": reports.create,
    "GET /v1/reporting/report_runs": reports.list_,
    "GET /v1/reporting/report_runs/{id}": reports.retrieve,
    "GET /v1/files/{id}": reports.retrieve_file,
    "GET /v1/application_fees": application_fees.list_,
    "GET /v1/application_fees/{id}": application_fees.retrieve,
    "GET /v1/application_fees/{id}/refunds": application_fees.list_refunds,
    "POST /v1/transfers": transfers.create,
    "GET /v1/transfers": transfers.list_,
    "GET /v1/transfers/{id}": transfers.retrieve,
    "POST /v1/transfers/{id}": transfers.update,
    "POST /v1/transfers/{id}/reversals": transfers.create_reversal,
    "GET /v1/transfers/{id}/reversals": transfers.list_reversals,
    "POST /v1/payouts": payouts.create,
    "GET /v1/payouts": payouts.list_,
    "GET /v1/payouts/{id}": payouts.retrieve,
    "POST /v1/payouts/{id}": payouts.update,
    "POST /v1/payouts/{id}/cancel": payouts.cancel,
    "GET /v1/events": events.list_,
    "GET /v1/events/{id}": events.retrieve,
    "POST /v1/webhook_endpoints": webhook_endpoints.create,
    "GET /v1/webhook_endpoints": webhook_endpoints.list_,
    "GET /v1/webhook_endpoints/{id}": webhook_endpoints.retrieve,
    "POST /v1/webhook_endpoints/{id}": webhook_endpoints.update,
    "DELETE /v1/webhook_endpoints/{id}": webhook_endpoints.delete,
}

FOR_ACCOUNTS = frozenset(
    f"{verb} /v1/{name}"
    for name in ("balance_transactions", "charges", "events", "payouts")
    for verb in ("GET",)
) | {
    "GET /v1/balance",
    "GET /v1/balance_transactions/{id}",
    "GET /v1/charges/{id}",
    "GET /v1/events/{id}",
    "GET /v1/payouts/{id}",
    "POST /v1/payouts",
    "POST /v1/payouts/{id}/cancel",
}
"""What can be asked on behalf of a connected account (the header Stripe-Account)."""


_FILE = re.compile(r"/v1/files/(\w+)/contents")


@dataclass(slots=True)
class _Asked:
    """A request that passed the door."""

    operation: str
    object_id: str
    pairs: list[tuple[str, str]]
    request: Request
    cause: Cause
    account: str | None


class Api:
    """Answers everything under /v1/."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self.keys = Keys(box)

    async def answer(self, request: Request) -> Response:
        """The answer to one API request; never raises for what the client did."""
        cause = Cause(ids.request_id(), request.headers.get("idempotency-key"))
        try:
            response = await self._admit(request, cause)
        except ApiError as error:
            response = error_answer(error)
        response.headers |= {"request-id": str(cause.request_id), "stripe-version": params.api_version()}
        if cause.idempotency_key and request.method == "POST":
            response.headers["idempotency-key"] = cause.idempotency_key.encode("ascii", "replace").decode()
        return response

    async def _admit(self, request: Request, cause: Cause) -> Response:
        check_key(request.headers.get("authorization", ""))
        if self._box.faults.strikes("down"):
            raise ApiError(503, "The service is away for the moment. Try again later.", kind="api_error")
        account = request.headers.get("stripe-account")
        if account is not None and self._box.store.get("account", account) is None:
            message = f"The provided key does not have access to account '{account}' (or it does not exist)."
            raise ApiError(403, message, code="account_invalid")
        if request.method == "GET" and (file := _FILE.fullmatch(request.path)):
            return reports.contents(self._box, file[1])
        operation, object_id = find_operation(request.method, request.path)
        if account and operation not in FOR_ACCOUNTS:
            raise unsupported(f"{operation} on behalf of a connected account")
        pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
        asked = _Asked(operation, object_id, pairs, request, cause, account)
        if request.method != "POST":
            return self._work(asked, self._run)
        if self._box.faults.take("rate_limit", request.path):
            message = "Too many requests made to the API too quickly"
            raise ApiError(429, message, code="rate_limit", headers={"retry-after": "1"})
        return await self._post(asked)

    async def _post(self, asked: _Asked) -> Response:
        faults, path, key = self._box.faults, asked.request.path, asked.cause.idempotency_key
        mark = fingerprint_of(asked.pairs)
        if key and asked.account:
            key = f"{key} of {asked.account}"
        if key:
            kept = self.keys.begin(key, path, mark)
            if kept:
                return kept
        try:
            if faults.rates["latency_ms"]:
                await asyncio.sleep(faults.rates["latency_ms"] / 1000)
            lost = faults.take("lose_answer", path)
            response = self._work(asked, self._run_with_faults, (key, mark))
            response.lost = lost
            return response
        finally:
            if key:
                self.keys.end(key)

    def _work(
        self, asked: _Asked, run: Callable[[_Asked], Response], keep: tuple[str | None, str] | None = None
    ) -> Response:
        """Run a handler in one transaction, together with keeping its answer for the idempotency key."""
        box = self._box
        with box.store.transaction():
            box.cause = asked.cause
            stored = True
            try:
                response = run(asked)
            except ApiError as error:
                response, stored = error_answer(error), error.stored
            if keep and keep[0] and stored:
                key, mark = keep
                self.keys.keep(str(key), asked.request.path, mark, response, str(asked.cause.request_id))
        return response

    def _run_with_faults(self, asked: _Asked) -> Response:
        faults, path = self._box.faults, asked.request.path
        if faults.take("fail_before", path):
            raise broken()
        response = self._run(asked)
        if faults.take("fail_after", path):
            raise broken()
        return response

    def _run(self, asked: _Asked) -> Response:
        """Check the parameters, call the handler, show its object. What a refusal leaves is undone."""
        box = self._box
        checked = params.check(asked.operation, params.nest(asked.pairs))
        wanted: list[str] = checked.get("expand", [])
        call = Call(box, checked, asked.object_id, base_url(asked.request), asked.account)
        kept_error: ApiError | None = None
        body: Obj = {}
        with box.store.savepoint():
            try:
                body = expand(box, present(box, HANDLERS[asked.operation](call)), wanted)
            except ApiError as error:
                if not error.keep_work:
                    raise
                kept_error = error
        if kept_error:
            raise kept_error
        return as_json(body)


def base_url(request: Request) -> str:
    """The sandbox's address as the client wrote it."""
    return f"http://{request.host}"


def error_answer(error: ApiError) -> Response:
    return as_json({"error": error.error}, error.status, error.headers)


def find_operation(method: str, path: str) -> tuple[str, str]:
    """The operation's name in HANDLERS and the id in the address."""
    plain = path.rstrip("/")
    name = f"{method} {plain}"
    if name in HANDLERS:
        return name, ""
    head, _, last = plain.rpartition("/")
    name = f"{method} {head}/{{id}}"
    if name in HANDLERS and last:
        return name, last
    head, _, middle = head.rpartition("/")
    name = f"{method} {head}/{{id}}/{last}"
    if name in HANDLERS and middle:
        return name, middle
    raise ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). The sandbox serves a part of Stripe's API; this is "
        "not in it, or the address is mistyped.",
    )


def check_key(authorization: str) -> None:
    """Any test key opens the sandbox; live keys and nothing do not."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    given = given.strip()
    if not given:
        raise ApiError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            headers={"www-authenticate": 'Bearer realm="Stripe"'},
        )
    if not given.startswith(("sk_test_", "rk_test_")):
        masked = f"{given[:8]}{'*' * 8}{given[-4:]}" if len(given) > 16 else "****"
        raise ApiError(401, f"Invalid API Key provided: {masked}. The sandbox takes test keys (sk_test_...).")
