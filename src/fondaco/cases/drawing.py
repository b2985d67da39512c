"""An evidence pack as PDF: the same facts give the same bytes."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from fondaco.core.money import Money

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 539, 780, 70
_GREY, _INK = (0.42, 0.44, 0.5), (0.1, 0.11, 0.16)
# A line of the document: its text, its size, bold, grey, and how far it is moved in.
Line = tuple[str, int, bool, bool, int]


def draw(facts: dict[str, Any], *, marketplace: str, sha256: str, key_id: str) -> bytes:
    """The PDF of these facts, without a signature."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    fonts = _fonts()
    out = BytesIO()
    page = Canvas(out, pagesize=A4, invariant=1, lang="en")
    title = f"Evidence {facts['case']['number']}" if "case" in facts else "Evidence"
    page.setTitle(title)
    page.setAuthor(marketplace)
    foot = f"{marketplace} · facts SHA-256 {sha256} · key {key_id}"
    y, number = _TOP, 1
    for text, size, bold, grey, indent in _document(facts, marketplace, title, sha256, key_id):
        font = "Evidence-Bold" if bold else "Evidence"
        shown = "".join(c if ord(c) in fonts[font] else "?" for c in text)
        for part in _wrapped(page, shown, font, size, _RIGHT - _LEFT - indent):
            if y < _BOTTOM:
                _foot(page, foot, number)
                page.showPage()
                y, number = _TOP, number + 1
            page.setFont(font, size)
            page.setFillColorRGB(*(_GREY if grey else _INK))
            page.drawString(_LEFT + indent, y, part)
            y -= size + 5
    _foot(page, foot, number)
    page.showPage()
    page.save()
    return out.getvalue()


def _foot(page: "Canvas", text: str, number: int) -> None:
    page.setFont("Evidence", 7)
    page.setFillColorRGB(*_GREY)
    page.drawString(_LEFT, 40, text)
    page.drawRightString(_RIGHT, 40, f"Page {number}")


def _wrapped(page: "Canvas", text: str, font: str, size: int, width: int) -> Iterator[str]:
    """The text in lines that fit; a word that is too long is cut."""
    line = ""
    for word in text.split(" "):
        rest = word
        while page.stringWidth(rest, font, size) > width:
            cut = len(rest)
            while cut > 1 and page.stringWidth(rest[:cut], font, size) > width:
                cut -= 1
            if line:
                yield line
                line = ""
            yield rest[:cut]
            rest = rest[cut:]
        wider = f"{line} {rest}" if line else rest
        if page.stringWidth(wider, font, size) > width:
            yield line
            line = rest
        else:
            line = wider
    yield line


def _document(
    facts: dict[str, Any], marketplace: str, title: str, sha256: str, key_id: str
) -> Iterator[Line]:
    yield (marketplace, 18, True, False, 0)
    yield (title, 14, True, False, 0)
    yield (
        "Signed facts. The file's last line holds the signature; verify_evidence.py checks it.",
        9,
        False,
        True,
        0,
    )
    yield ("", 6, False, False, 0)
    yield from _facts(
        ("Snapshot taken", facts["snapshot"]["taken_at"]),
        ("Snapshot SHA-256", facts["snapshot_sha256"]),
        ("Facts SHA-256", sha256),
        ("Signing key", key_id),
    )
    if "case" in facts:
        yield from _case(facts["case"])
    for order in facts["snapshot"]["orders"]:
        yield from _order(order)
    if "extra" in facts:
        yield from _head("Further facts")
        yield from _tree(facts["extra"])
    yield from _head(f"Policy, version {facts['snapshot']['policy']['version']}")
    yield (facts["snapshot"]["policy"]["text"], 9, False, False, 0)


def _head(text: str) -> Iterator[Line]:
    yield ("", 6, False, False, 0)
    yield (text, 12, True, False, 0)


def _facts(*pairs: tuple[str, Any]) -> Iterator[Line]:
    for name, value in pairs:
        if value not in (None, ""):
            yield (f"{name}: {value}", 9, False, False, 0)


def _case(case: dict[str, Any]) -> Iterator[Line]:
    yield from _head(f"Case {case['number']}")
    yield from _facts(
        ("Opened", case["opened_at"]),
        ("Reason", case["reason"]),
        ("Wish", case["wish"]),
        ("State", case["state"]),
        ("Outcome", case["outcome"]),
        ("Decided", case["decided_at"]),
    )
    for line in case["lines"]:
        stake = Money(line["at_stake"], case["currency"])
        back = f", given back {Money(line['refund'], case['currency'])}" if line["refund"] else ""
        yield (f"Line {line['line_id']}: at stake {stake}{back}", 9, False, False, 10)
    yield from _head("Steps")
    for event in case["events"]:
        due = f", deadline {event['deadline']}" if event["deadline"] else ""
        way = f"{event['source'] or 'new'} to {event['target']}"
        yield (f"{event['at']}  {event['kind']} by {event['party']}: {way}{due}", 8, False, False, 10)
    yield from _head("What was written")
    for message in case["messages"]:
        yield (f"{message['at']}  {message['party']} ({message['kind']})", 8, False, True, 10)
        for part in message["body"].split("\n"):
            yield (part, 9, False, False, 10)
    if case["files"]:
        yield from _head("Files")
        for file in case["files"]:
            yield (
                f"{file['at']}  {file['party']}: {file['name']}, {file['size']} bytes",
                8,
                False,
                False,
                10,
            )
            yield (f"SHA-256 {file['sha256']}", 8, False, True, 20)


def _order(order: dict[str, Any]) -> Iterator[Line]:
    yield from _head(f"Order {order['number']}")
    buyer = order.get("buyer")
    yield from _facts(
        ("Buyer", f"{buyer['name']}, {buyer['email']}, {buyer['country']}" if buyer else None),
        ("Seller", f"{order['seller']['name']}, {order['seller']['country']}"),
        ("Total", Money(order["total"], order["currency"])),
        ("Paid from", order["paid_from"]),
        ("Placed", order["created_at"]),
        ("Paid", order["paid_at"]),
        ("Delivered", order["delivered_at"]),
    )
    for line in order["lines"]:
        price = Money(line["unit_price"], line["currency"])
        yield (f"{line['quantity']} × {line['terms'].get('title', '')}, {price} each", 10, True, False, 10)
        yield from ((text, size, bold, grey, 20) for text, size, bold, grey, _ in _tree(line["terms"]))
        for thing in line["deliveries"]:
            shown = thing["revealed_at"] or "never"
            yield (f"Delivered {thing['delivered_at']}, first revealed {shown}", 9, False, False, 20)
            for reveal in thing["reveals"]:
                where = f" from {reveal['ip']}, {reveal['user_agent']}" if "ip" in reveal else ""
                yield (f"Revealed {reveal['at']}{where}", 8, False, True, 30)
    for journal in order.get("journals", ()):
        yield (f"{journal['posted_at']}  journal {journal['id']}: {journal['kind']}", 8, False, False, 10)


def _tree(value: Any, indent: int = 10) -> Iterator[Line]:
    """Anything, a line for each value."""
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value)
        for name, inner in sorted(pairs.items()):
            if isinstance(inner, dict | list):
                yield (f"{name}:", 8, False, True, indent)
                yield from _tree(inner, indent + 10)
            elif inner not in (None, ""):
                yield from (
                    (f"{name}: {part}", 8, False, False, indent) for part in str(inner).split("\n")[:40]
                )
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            yield from _tree(inner, indent + 10)
    else:
        yield (str(value), 8, False, False, indent)


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """Registers the typefaces once; answers which characters each has."""
    from reportlab.pdfbase.pdfmetrics import registerFont  # pyright: ignore[reportUnknownVariableType]
    from reportlab.pdfbase.ttfonts import TTFont

    found: dict[str, frozenset[int]] = {}
    for name, file in (
        ("Evidence", "RedHatDisplay-Regular.ttf"),
        ("Evidence-Bold", "RedHatDisplay-Bold.ttf"),
    ):
        font = TTFont(name, BytesIO(files("font_rhd").joinpath("files", file).read_bytes()))
        registerFont(font)
        found[name] = frozenset(font.face.charToGlyph)
    return found
