"""The OpenAPI 3.1 document of /api/v1, built from the routes and completed by what all of them share."""

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any, cast

import msgspec
from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Contact, License, SecurityScheme, Server
from litestar.routes import HTTPRoute

from fondaco.identity.permissions import PERMISSIONS
from fondaco.settings import Settings

PREFIX = "/api/v1/"
_ABOUT = """Everything the pages do, as calls.

**Signing in.** Send `Authorization: Bearer <token>`: a session token from `POST /api/v1/session`, or a
seller's API key (`fk_...`) with the permissions it was given. Cookies are not looked at.

**Money** is an integer in minor units (cents) next to its currency. **Times** are UTC, RFC 3339.

**Lists** answer `items`, `next` and `previous`; pass one of the two back as `cursor`.

**Errors** are `application/problem+json` with a stable `code`. What you may not see answers like what
does not exist.

**Repeating safely.** Send an `Idempotency-Key` with every POST. The same call again with the same key
within 24 hours gets the first answer (header `Idempotent-Replayed: true`), the same key with another
content is refused, and a call still under way answers 409. Calls that were refused changed nothing and
leave the key free. Answers that hold a secret are not kept: repeating them answers 409 `already_done`.

**Rate limits** are told in the `RateLimit-*` headers of each answer.
"""
_PROBLEMS: dict[str, str] = {
    "400": "The call cannot be read, or its cursor is not ours.",
    "401": "Sign in, or confirm your second factor.",
    "403": "Your role or key does not allow this.",
    "404": "There is nothing here, or it is not yours to see.",
    "405": "This address does not take that method.",
    "409": "The state of things does not allow this now; the detail says why.",
    "410": "This existed, and has ended.",
    "413": "More than can be taken at once.",
    "415": "This kind of content is not taken here.",
    "422": "Some of the values cannot be used; `fields` says which and why.",
    "429": "Too many calls; `Retry-After` says how long to wait.",
    "500": "Something broke on our side; it has been noted.",
    "503": "Busy or restarting; nothing was lost, try again in a moment.",
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "description": "What went wrong, in words a person can act on (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "Where this error is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; programs decide by this."},
        "detail": {"type": "string", "description": "For people."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "With code `invalid`: what is wrong with each value.",
        },
    },
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes repeating this call safe. A fresh random text per intended effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


_SUCCESSES: dict[str, str] = {
    "200": "As asked.",
    "201": "Made.",
    "202": "Taken; the work goes on.",
    "204": "Done; there is nothing to say.",
}
_PAGE_OF = re.compile(r"\bPage_(?:\w+\.)*(\w+?)_(?=\")")  # Page[Mail] is called MailList


class _Unserved(Router):
    """The framework would serve schema pages of its own here; ours are in `api/routes.py`."""

    def register(self, value: Any) -> list[Any]:
        return []


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """What the framework needs to describe the routes."""
    return OpenAPIConfig(
        title=f"{settings.marketplace_name} API",
        version=version("fondaco"),
        description=_ABOUT,
        license=License(name="MIT", identifier="MIT"),
        contact=Contact(email=settings.support_email),
        servers=[Server(url="/", description="This marketplace")],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="A session token or a seller's API key (fk_...).",
                )
            }
        ),
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        openapi_router=_Unserved("/api/unserved", route_handlers=[], include_in_schema=False),
    )


def _operation_id(handler: HTTPRouteHandler, method: Any, _: Any) -> str:
    """Short and stable: the module and the handler's name, like "orders_place_order"."""
    return f"{handler.fn.__module__.split('.')[1]}_{handler.fn.__name__}"


def document(app: Litestar) -> dict[str, Any]:
    """The finished document; built at the first asking, then kept."""
    found = cast(dict[str, Any] | None, getattr(app.state, "api_document", None))
    if found is None:
        found = _build(app)
        app.state.api_document = found
    return found


def _build(app: Litestar) -> dict[str, Any]:
    text = msgspec.json.encode(app.openapi_schema.to_schema()).decode()
    raw = cast(dict[str, Any], msgspec.json.decode(_PAGE_OF.sub(r"\1List", text)))
    handlers = dict(_api_handlers(app))
    raw["paths"] = {
        path: item
        for path, item in sorted(raw.get("paths", {}).items())
        if path.startswith(PREFIX) and any((path, method) in handlers for method in item)
    }
    for path, item in raw["paths"].items():
        for method, operation in item.items():
            if handler := handlers.get((path, method)):
                _complete(operation, method, handler)
    modules = sorted({t for item in raw["paths"].values() for o in item.values() for t in o.get("tags", [])})
    raw["tags"] = [{"name": name, "description": _sign(name)} for name in modules]
    components = raw.setdefault("components", {})
    components["responses"] = {f"Problem{s}": _problem_response(s, text) for s, text in _PROBLEMS.items()}
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    _close_inputs(schemas)
    _keep_used(raw, schemas)
    return raw


def _api_handlers(app: Litestar) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith(PREFIX):
            for handler in route.route_handlers:
                if handler.resolve_include_in_schema():
                    for method in handler.http_methods:
                        yield (route.path_format, method.lower()), handler


def _complete(operation: dict[str, Any], method: str, handler: HTTPRouteHandler) -> None:
    """Tag, permission, security, the errors every call may answer, and the idempotency key."""
    permission = str(handler.opt.get("permit", ""))
    operation["tags"] = [handler.fn.__module__.split(".")[1]]
    operation["x-permission"] = permission
    anonymous = "anonymous" in PERMISSIONS.get(permission, frozenset())
    operation["security"] = [{"bearer": []}, {}] if anonymous else [{"bearer": []}]
    answers = {s: a for s, a in operation.get("responses", {}).items() if s.startswith(("2", "3"))}
    for status, answer in answers.items():
        answer["description"] = _SUCCESSES.get(status, answer["description"])
    for status in _PROBLEMS:
        answers[status] = {"$ref": f"#/components/responses/Problem{status}"}
    operation["responses"] = answers
    if method == "post":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)


def _problem_response(status: str, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in ("429", "503"):
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def _sign(module: str) -> str:
    """A module's own first sentence."""
    sign = (import_module(f"fondaco.{module}").__doc__ or module).strip().partition("\n")[0]
    words = sign.partition(": ")[2] or sign
    return words[0].upper() + words[1:]


def _structs(base: type[Any] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _structs(cls)


def _close_inputs(schemas: dict[str, Any]) -> None:
    """Inputs that refuse unknown fields say so."""
    strict = {s.__name__ for s in _structs() if s.__struct_config__.forbid_unknown_fields}
    for name, schema in schemas.items():
        if name.rsplit("_", 1)[-1].rsplit(".", 1)[-1] in strict and schema.get("type") == "object":
            schema["additionalProperties"] = False


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in cast(dict[str, Any], node).items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in cast(list[Any], node):
            yield from _references(value)


def _keep_used(raw: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Drop the shapes only pages use."""
    start = "#/components/schemas/"
    wanted = {"Problem"}
    todo = [r for r in _references(raw["paths"]) if r.startswith(start)]
    while todo:
        name = todo.pop().removeprefix(start)
        if name not in wanted and name in schemas:
            wanted.add(name)
            todo += [r for r in _references(schemas[name]) if r.startswith(start)]
    for name in set(schemas) - wanted:
        del schemas[name]
