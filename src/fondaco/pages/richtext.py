"""Markdown that sellers and buyers write, made into safe HTML.

Two walls: the Markdown reader is told to treat raw HTML as text and to make no images; what comes
out still passes an allow-list of tags and attributes.
"""

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_TAGS = {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4",
    "h5", "h6", "a", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_SPACE = re.compile(r"\s+")

_SHORT = 1_000  # characters: texts up to here are kept as HTML, because sellers use the same ones again
_cleaner = nh3.Cleaner(
    tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="nofollow noopener ugc"
)
_reader = (
    MarkdownIt("commonmark", {"html": False, "linkify": False})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def rich_text(markdown: str) -> Markup:
    """Safe HTML of a Markdown text. Headings start at h3, since page and section have h1 and h2, and skip
    no level, whatever levels the writer used."""
    return _short_rich_text(markdown) if len(markdown) <= _SHORT else _rich_text(markdown)


def _rich_text(markdown: str) -> Markup:
    tokens = _reader.parse(markdown.replace("\x00", ""))
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    used = sorted({token.tag for token in headings})
    level = 2
    for token in headings:
        if token.type == "heading_open":
            level = min(3 + used.index(token.tag), level + 1, 6)
        token.tag = f"h{level}"
    html = _reader.renderer.render(tokens, _reader.options, {})
    return Markup(_cleaner.clean(html))  # noqa: S704 - cleaned by the allow-list


_short_rich_text = lru_cache(maxsize=512)(_rich_text)


def plain_text(markdown: str, limit: int = 160) -> str:
    """The words of a Markdown text on one line, at most `limit` characters, cut between words."""
    return _short_plain_text(markdown, limit) if len(markdown) <= _SHORT else _plain_text(markdown, limit)


def _plain_text(markdown: str, limit: int) -> str:
    words: list[str] = []
    for token in _reader.parse(markdown.replace("\x00", "")):
        if token.type in ("fence", "code_block"):
            words.append(token.content)
        for child in token.children or []:
            words.append(" " if child.type in ("softbreak", "hardbreak") else child.content)
        words.append(" ")
    text = _SPACE.sub(" ", "".join(words)).strip()
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(" ,;:.-") + "…"


_short_plain_text = lru_cache(maxsize=512)(_plain_text)
