"""What carts, checkouts and orders show of a line: its picture, its words, what may be done about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fondaco import catalog
from fondaco.orders import QuoteLine
from fondaco.pages.render import format_money


@dataclass(frozen=True, slots=True)
class Picture:
    """What a cover is drawn from, or the picture the seller gave."""

    title: str
    platform: str
    cover_url: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a cart or checkout. `most`: how many can be had now."""

    line: QuoteLine
    picture: Picture
    region: str
    most: int

    @property
    def words(self) -> str:
        """What differs, or what to know; "" for nothing. The title stands beside it."""
        line = self.line
        if line.difference == "price_changed" and line.seen_price is not None:
            now, before = (format_money(p, line.currency) for p in (line.price, line.seen_price))
            return f"Now {now}; it was {before} when you chose it."
        said = {
            "price_changed": f"Now {format_money(line.price, line.currency)}." if line.currency else "",
            "sold_out": f"Only {line.left} left." if line.left else "Sold out.",
            "too_many": f"At most {line.max_per_order} in one order.",
            "region": f"Works in {self.region} only, not in your country.",
            "own_goods": "Sold by your own store.",
            "unavailable": "Not for sale any more.",
            "currency": f"Priced in {line.currency}: buy it on its own.",
        }
        return said.get(line.difference, f"Works in {self.region} only." if line.words else "")

    @property
    def tone(self) -> str:
        """Of the words about it."""
        if self.line.blocked:
            return "bad"
        return "wait" if self.line.difference else "quiet"


@dataclass(frozen=True, slots=True)
class Group:
    """The lines of one seller: one order of its own."""

    seller: str
    href: str
    rows: list[Row]


def grouped(lines: Sequence[QuoteLine]) -> list[Group]:
    """Lines by seller, in the order they were put in."""
    groups: dict[str, Group] = {}
    for line in lines:
        name = line.seller or "No longer in the shop"
        href = f"/s/{line.seller_slug}" if line.seller_slug else ""
        groups.setdefault(line.seller_slug, Group(name, href, [])).rows.append(row(line))
    return list(groups.values())


def row(line: QuoteLine) -> Row:
    cover = f"/media/{line.cover}" if line.cover else ""
    most = line.max_per_order if line.left is None else min(line.max_per_order, line.left)
    return Row(
        line, Picture(line.title, line.platform, cover), catalog.region_name(line.region), max(most, 1)
    )
