"""Small pieces of HTML. Everything that comes from outside goes through `text`."""

from html import escape
from urllib.parse import urlsplit

from fondaco_sandbox.web import Response

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="stylesheet" href="/sandbox/sandbox.css">
<link rel="icon" href="data:,">
</head>
"""


def text(value: object) -> str:
    """Text for an element or a quoted attribute."""
    return escape(str(value), quote=True)


def document(title: str, body: str, *, status: int = 200, goes_to: tuple[str, ...] = ()) -> Response:
    """A whole page. `goes_to`: addresses to which its forms may lead in the end."""
    targets = " ".join(["'self'", *sorted({origin for origin in map(_origin, goes_to) if origin})])
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {targets}"
    )
    content = _HEAD.format(title=text(title)) + body + "\n</html>\n"
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",  # with "no-referrer" browsers hide where a form comes from
    }
    return Response(status, content.encode(), headers)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def table(caption: str, heads: list[str], rows: list[list[str]], empty: str) -> str:
    """A table of ready cells (already escaped); a sentence when there are none."""
    if not rows:
        return f'<section><h2>{text(caption)}</h2><p class="quiet">{text(empty)}</p></section>'
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<section><h2>{text(caption)}</h2><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{text(caption)}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )
