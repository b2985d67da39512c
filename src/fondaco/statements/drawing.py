"""A paper as PDF and as CSV: both are made of the kept content alone, so the same paper is the same bytes."""

import csv
import io
from typing import TYPE_CHECKING, Any

from fondaco.core.money import Money
from fondaco.core.pdf import BOTTOM, LEFT, RIGHT, TOP, new_canvas, put, rule
from fondaco.inventory import csv_cell
from fondaco.statements.model import Content, PaperLine

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_COLUMN = 82  # width of one column of amounts


def as_csv(content: Content) -> str:
    """A sheet: one row per line with its part (opening, line, total), amounts in major units."""
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\r\n")
    sheet.writerow(["part", "text", "detail", *content.columns, "currency"])
    parts = (("opening", content.opening), ("line", content.lines), ("total", content.totals))
    for part, lines in parts:
        for line in lines:
            amounts = [f"{Money(a, content.currency).decimal():f}" for a in line.amounts]
            sheet.writerow([part, csv_cell(line.text), csv_cell(line.detail), *amounts, content.currency])
    return out.getvalue()


def as_pdf(content: Content) -> bytes:
    """The paper on A4, as many pages as it needs; each says its number and which page of how many it is."""
    pages = _Sheet(content, None, 0).draw()
    out = io.BytesIO()
    canvas = new_canvas(out, f"{content.title} {content.number}", content.issuer)
    _Sheet(content, canvas, pages).draw()
    canvas.save()
    return out.getvalue()


class _Sheet:
    """Draws a paper from top to bottom; without a canvas it only counts the pages."""

    def __init__(self, content: Content, canvas: "Canvas | None", pages: int) -> None:
        self.content, self.canvas, self.pages = content, canvas, pages
        self.page, self.y = 1, TOP
        self.text_width = RIGHT - LEFT - _COLUMN * len(content.columns) - 12

    def draw(self) -> int:
        """Returns how many pages it took."""
        content = self.content
        self._text(LEFT, content.title, 18, bold=True)
        self._text(RIGHT, content.number, 12, right=True)
        self.y -= 36
        for name, value in (
            ("From", content.issuer),
            ("To", content.receiver),
            ("Issued", content.issued_at.strftime("%Y-%m-%d %H:%M UTC")),
            *content.facts,
        ):
            self._text(LEFT, name, 9, grey=True)
            self._text(LEFT + 120, value, 10, width=RIGHT - LEFT - 120)
            self.y -= 16
        self.y -= 16
        self._head()
        for line in (*content.opening, *content.lines):
            self._line(line)
        for line in content.totals:
            self._line(line, bold=True)
        if content.note:
            self._room(30)
            self.y -= 8
            self._text(LEFT, content.note, 9, grey=True, width=RIGHT - LEFT)
        self._foot()
        return self.page

    def _line(self, line: PaperLine, *, bold: bool = False) -> None:
        self._room(32)
        self._text(LEFT, line.text, 10, bold=bold, width=self.text_width)
        for i, amount in enumerate(reversed(line.amounts)):
            shown = str(Money(amount, self.content.currency))
            self._text(RIGHT - i * _COLUMN, shown, 9, bold=bold, right=True)
        if line.detail:
            self.y -= 12
            self._text(LEFT, line.detail, 8, grey=True, width=self.text_width)
        self.y -= 18

    def _head(self) -> None:
        self._text(LEFT, "Item", 9, grey=True)
        for i, name in enumerate(reversed(self.content.columns)):
            self._text(RIGHT - i * _COLUMN, name, 9, grey=True, right=True)
        if self.canvas:
            rule(self.canvas, self.y - 5)
        self.y -= 20

    def _room(self, needed: int) -> None:
        if self.y - needed >= BOTTOM:
            return
        self._foot()
        self.page += 1
        self.y = TOP
        self._head()

    def _foot(self) -> None:
        self.y = BOTTOM - 30
        self._text(LEFT, self.content.number, 8, grey=True)
        self._text(RIGHT, f"Page {self.page} of {self.pages}", 8, grey=True, right=True)
        if self.canvas:
            self.canvas.showPage()

    def _text(self, x: int, text: str, size: int, **how: Any) -> None:
        if self.canvas:
            put(self.canvas, x, self.y, text, size, **how)
