"""What every PDF is drawn with: one typeface, text that fits its room, the same bytes for the same input."""

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

GREY, INK = (0.42, 0.44, 0.5), (0.1, 0.11, 0.16)
LEFT, RIGHT, TOP, BOTTOM = 56, 539, 780, 70
"""The margins of an A4 page, in points."""


def new_canvas(out: BytesIO, title: str, author: str) -> "Canvas":
    """An A4 document without a date or a chance in it."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    _fonts()
    page = Canvas(out, pagesize=A4, invariant=1, lang="en")
    page.setTitle(title)
    page.setAuthor(author)
    return page


def rule(page: "Canvas", y: int) -> None:
    """A thin grey line over the width of the page."""
    page.setStrokeColorRGB(*GREY)
    page.setLineWidth(0.4)
    page.line(LEFT, y, RIGHT, y)


def put(
    page: "Canvas",
    x: int,
    y: int,
    text: str,
    size: int,
    *,
    bold: bool = False,
    grey: bool = False,
    right: bool = False,
    width: int = 0,
) -> None:
    """One line of text, in characters the typeface has (others show as a question mark); cut with an ellipsis
    when it is wider than `width`."""
    font = "Body-Bold" if bold else "Body"
    known = _fonts()[font]
    shown = "".join(c if ord(c) in known else "?" for c in text)
    while width and len(shown) > 1 and page.stringWidth(shown, font, size) > width:
        shown = shown[:-2].rstrip() + "…"
    page.setFont(font, size)
    page.setFillColorRGB(*(GREY if grey else INK))
    (page.drawRightString if right else page.drawString)(x, y, shown)


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """Registers the typeface once; answers which characters each weight has."""
    from reportlab.pdfbase.pdfmetrics import registerFont  # pyright: ignore[reportUnknownVariableType]
    from reportlab.pdfbase.ttfonts import TTFont

    found: dict[str, frozenset[int]] = {}
    for name, file in (("Body", "RedHatDisplay-Regular.ttf"), ("Body-Bold", "RedHatDisplay-Bold.ttf")):
        font = TTFont(name, BytesIO(files("font_rhd").joinpath("files", file).read_bytes()))
        registerFont(font)
        found[name] = frozenset(font.face.charToGlyph)
    return found
