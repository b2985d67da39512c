"""Logs: structured, without secrets, and safe to read in a terminal.

Whoever logs says ids and kinds. What slips in anyway is cut here: by the name of the field, by the shape
of the value, by its length; control characters are written out, so that no value can forge a line.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, cast

import structlog
from pydantic import SecretStr

from fondaco.settings import Settings

LONGEST = 500
DEEPEST = 4
HIDDEN = "[hidden]"
_NAMES = re.compile(
    r"pass(word|wd)?|secret|token|api_?key|authorization|cookie|csrf|otp|totp|recovery|sealed|wrapped|"
    r"plaintext|(^|_)(codes?|pin|cvc|card|iban|body|email|recipient|dsn|ip)$",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"(?:sk|rk|pk)_(?:live|test)_\w+|whsec_\w+|fk_[\w-]{16,}"  # provider's and our keys
    r"|(?i:bearer)\s+[\w.~+/=-]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password in an address
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|(?<![\w-])(?:[A-Z0-9]{3,6}-){2,}[A-Z0-9]{4,6}(?![\w-])"  # codes
)
_NUMBER = re.compile(r"(?:ORD|GRP|RCP|PAY)-")  # numbers people read look like codes and are none


def setup_logs(settings: Settings, *, level: int = logging.INFO) -> None:
    """Send everything (ours and the libraries') to standard error: JSON in production, else for reading."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _name_error,
        redact,
    ]
    render: Any = (
        structlog.processors.JSONRenderer()
        if settings.production
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("procrastinate", "psycopg", "httpx", "httpcore", "stripe", "asyncio", "aiosmtplib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that hides, escapes and shortens every value."""
    for name in list(event):
        if not name.startswith("_"):
            event[name] = _clean(name, event[name], 0)
    return event


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    secret = isinstance(value, SecretStr | bytes | bytearray | memoryview)
    if secret or (name != "event" and _NAMES.search(name)):
        return HIDDEN
    if isinstance(value, Mapping):
        if depth >= DEEPEST:
            return "{...}"
        items = cast(Mapping[Any, Any], value).items()
        return {clean_text(str(k)): _clean(str(k), v, depth + 1) for k, v in list(items)[:50]}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        found = list(cast(Sequence[Any], value))
        return "[...]" if depth >= DEEPEST else [_clean(name, v, depth + 1) for v in found[:50]]
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """One harmless line: secrets of known shapes hidden, control characters written out, shortened."""
    text = _SHAPES.sub(lambda m: m[0] if _NUMBER.match(m[0]) else HIDDEN, text[: 4 * LONGEST])
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _name_error(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception becomes its kind and place: its words may quote a customer's data."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()[1]
    if isinstance(found, tuple):
        found = cast(tuple[Any, ...], found)[1]
    if isinstance(found, BaseException):
        event["error"] = type(found).__name__
        event["where"] = places(found)
    event.pop("stack_info", None)
    return event


def places(error: BaseException) -> str:
    """Where in our own code it happened, innermost last: "orders/actions.py:31 > core/db.py:12"."""
    trace, found = error.__traceback__, list[str]()
    while trace:
        name = trace.tb_frame.f_code.co_filename
        if "fondaco" in name:
            found.append(f"{name.rsplit('fondaco/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(found[-6:])
