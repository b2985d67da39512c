"""Problems as pages: what happened in words, and the way on. Needs neither database nor session."""

from functools import cache

import jinja2

from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.render import Shell, environment, render_page
from fondaco.settings import Settings

_HEADINGS: dict[str, str] = {
    "not_found": "Not found",
    "forbidden": "Not for your role",
    "cross_site": "Please reload and try again",
    "too_many": "A little slower, please",
    "too_large": "That is too much at once",
    "unavailable": "Back in a moment",
    "no_room": "Back in a few minutes",
    "broken": "Something broke on our side",
    "method_not_allowed": "That cannot be done here",
}
_AGAIN = frozenset({"cross_site", "too_many", "unavailable", "no_room", "broken", "conflict"})
_DESKS = {"/console": "To the console", "/seller": "To the seller desk"}


def render_problem(call: Call, problem: Problem) -> str:
    """A whole HTML page for a Problem: try again where that helps, else back to the desk or the shop."""
    path = call.url.path
    href, label = next(
        ((d, words) for d, words in _DESKS.items() if path.startswith(f"{d}/")), ("/", "To the shop")
    )
    if problem.code in _AGAIN and call.method in ("GET", "HEAD"):
        href, label = path, "Try again"
    theme = call.cookies.get("theme")
    return render_page(
        _environment(call.app.state.parts.get(Settings).marketplace_name),
        "layouts/error.html",
        Shell(theme="dark" if theme == "dark" else "light" if theme == "light" else "auto"),
        status=problem.status,
        heading=_HEADINGS.get(problem.code, str(problem.body()["title"])),
        detail=problem.detail,
        action_href=href,
        action_label=label,
        reference="",
    )


@cache
def _environment(site_name: str) -> jinja2.Environment:
    return environment(site_name=site_name)
