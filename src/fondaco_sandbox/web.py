"""The little of HTTP that the sandbox needs on top of ASGI."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
MAX_BODY = 1 << 20


class TooLarge(Exception):
    """The request's body is above `MAX_BODY`."""


@dataclass(slots=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: tuple[str, int] | None

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")

    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    def form_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True)


@dataclass(slots=True)
class Response:
    """One answer. `lost`: close the connection without a word. `chunks`: a body sent little by little."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    lost: bool = False
    chunks: Iterator[bytes] | None = None


def pretty(content: Any) -> bytes:
    """JSON as Stripe writes it: two spaces a level, ASCII only. The standard library indents far slower."""
    return msgspec.json.format(json.dumps(content).encode(), indent=2)


def as_json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, pretty(content), {"content-type": "application/json", **(headers or {})})


def redirect(address: str) -> Response:
    """303: the browser goes there with GET."""
    return Response(303, b"", {"location": address})


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read a request whole; raises TooLarge."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise TooLarge
        more = bool(message.get("more_body"))
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"".join(chunks),
        client=(client[0], int(client[1])) if client else None,  # granian gives the port as text
    )


async def write_response(response: Response, send: Send) -> None:
    headers = {"content-length": str(len(response.body)), **response.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    for chunk in response.chunks or ():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": response.body})
