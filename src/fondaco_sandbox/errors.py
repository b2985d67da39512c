"""Errors as Stripe answers them."""

from typing import Any

DOCS = "https://docs.stripe.com/error-codes/"
VALIDATION_CODES = frozenset(
    {"parameter_unknown", "parameter_missing", "parameter_invalid_integer", "parameter_invalid_empty"}
    | {"parameter_invalid_string_empty", "sandbox_unsupported", "rate_limit", "lock_timeout"}
)


class ApiError(Exception):
    """An answer that is an error object.

    `keep_work` says that what was written before the error stays (a declined card leaves its charge behind).
    `stored` says whether the answer is remembered for the request's idempotency key: like Stripe, results
    are kept once the work has begun, refusals before that are not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keep_work: bool = False,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keep_work = keep_work
        self.stored = code not in VALIDATION_CODES and status not in (401, 403, 409, 429)
        self.headers = headers or {}
        self.error: dict[str, Any] = {"type": kind, "message": message}
        if code:
            self.error |= {"code": code, "doc_url": DOCS + code.replace("_", "-")}
        if param:
            self.error["param"] = param
        self.error |= extra or {}


def no_such(kind: str, object_id: str, param: str | None = "id") -> ApiError:
    """404 for an id in the address, 400 for one named by another parameter."""
    name = {"checkout.session": "checkout.session", "payment_intent": "payment_intent"}.get(kind, kind)
    status = 404 if param in ("id", None) else 400
    return ApiError(status, f"No such {name}: '{object_id}'", code="resource_missing", param=param)


def missing(param: str) -> ApiError:
    return ApiError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, code=code, param=param)


def unsupported(what: str, param: str | None = None) -> ApiError:
    """Stripe knows this, the sandbox does not: said plainly, so that nobody believes it worked."""
    message = f"The sandbox does not support {what}. Stripe does; nothing was done."
    return ApiError(400, message, code="sandbox_unsupported", param=param)


def broken() -> ApiError:
    """Stripe's own failure."""
    message = "An unknown error occurred while processing your request. Try again later."
    return ApiError(500, message, kind="api_error")
