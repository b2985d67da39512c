"""What the middlewares share: reading a request's scope, answering a Problem, reading an answer's head."""

from typing import Any, cast

from litestar import Request
from litestar.types import Message, Receive, Scope, Send

from fondaco.core.problem import Problem
from fondaco.core.viewer import GUEST, Viewer
from fondaco.core.web import answer_problem


async def send_problem(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """The whole answer to a request that goes no further."""
    request = Request[Any, Any, Any](scope, receive)
    answer: Any = answer_problem(request, problem)
    await answer.to_asgi_response(None, request)(scope, receive, send)


def parts_of(scope: Scope) -> dict[str, Any]:
    """The scope as the plain mapping it is."""
    return cast(dict[str, Any], scope)


def viewer_in(scope: Scope) -> Viewer:
    """Who is asking, as the outermost middleware found out."""
    return cast(Viewer, parts_of(scope).get("viewer", GUEST))


def header(source: Scope | Message, name: str) -> str | None:
    """A header of a request or of an answer's start."""
    wanted = name.lower().encode("latin-1")
    for key, value in cast(list[tuple[bytes, bytes]], cast(dict[str, Any], source).get("headers", [])):
        if key.lower() == wanted:
            return value.decode("latin-1")
    return None
