"""Answering from a middleware: a Problem sent as a handler would send it."""

from typing import Any

from litestar import Request
from litestar.types import Receive, Scope, Send

from fondaco.core.problem import Problem
from fondaco.core.web import answer_problem


async def send_problem(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """The whole answer to a request that goes no further."""
    request = Request[Any, Any, Any](scope, receive)  # type: ignore[arg-type]
    answer = answer_problem(request, problem).to_asgi_response(None, request)
    await answer(scope, receive, send)
