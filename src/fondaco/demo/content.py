"""What the demo marketplace sells, read from content.toml and the texts in articles/."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Store:
    """A store: its name and what it says of itself, in Markdown."""

    slug: str
    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Item:
    """One listing. `price` in minor units of the marketplace's currency; `stock`: how many keys, or copies
    of an article, whose text is `content`."""

    store: str
    title: str
    category: str
    platform: str
    region: str
    edition: str
    price: int
    stock: int
    summary: str
    description: str
    activation: str
    key_format: str
    content: str = ""


def _item(raw: dict[str, Any], platforms: dict[str, dict[str, str]]) -> Item:
    text = _description(raw)
    platform = platforms[raw["platform"]]
    facts: dict[str, Any] = {"activation": platform["activation"], "key_format": platform["key_format"]}
    return Item(stock=raw.pop("keys"), **raw, description=text, **facts)


def _article(raw: dict[str, Any]) -> Item:
    text = _description(raw)
    content = files("fondaco.demo").joinpath("articles", f"{raw.pop('text')}.md").read_text()
    where: dict[str, Any] = {"platform": "Web", "region": "GLOBAL", "activation": "", "key_format": ""}
    return Item(stock=raw.pop("copies"), **raw, description=text, content=content, **where)


def _description(raw: dict[str, Any]) -> str:
    story, points = raw.pop("story"), raw.pop("points")
    return f"{story}\n\n## What you get\n\n" + "\n".join(f"- {p}" for p in points)


def load() -> tuple[list[Store], list[Item]]:
    """The stores and their listings."""
    raw = tomllib.loads(files("fondaco.demo").joinpath("content.toml").read_text())
    platforms = {p["name"]: p for p in raw["platforms"]}
    items = [_item(i, platforms) for i in raw["items"]]
    return [Store(**s) for s in raw["stores"]], items + [_article(a) for a in raw["articles"]]
