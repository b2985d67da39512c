"""Problems as pages: the status, what happened in words, and the way on."""

from html import escape

from fondaco.core.problem import Problem
from fondaco.core.web import Call


def render_problem(call: Call, problem: Problem) -> str:
    """A whole HTML page for a Problem; needs nothing but the request."""
    title = escape(str(problem.body()["title"]))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head><body><main>"
        f"<h1>{title}</h1><p>{escape(problem.detail)}</p>"
        '<p><a href="/">To the start page</a></p></main></body></html>'
    )
