"""What the demo marketplace sells, read from content.toml."""

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
    """One listing. `price` in minor units of the marketplace's currency; `keys` is its stock."""

    store: str
    title: str
    category: str
    platform: str
    region: str
    edition: str
    price: int
    keys: int
    summary: str
    description: str
    activation: str
    key_format: str


def _item(raw: dict[str, Any], platforms: dict[str, dict[str, str]]) -> Item:
    story, points = raw.pop("story"), raw.pop("points")
    platform = platforms[raw["platform"]]
    text = f"{story}\n\n## What you get\n\n" + "\n".join(f"- {p}" for p in points)
    return Item(**raw, description=text, activation=platform["activation"], key_format=platform["key_format"])


def load() -> tuple[list[Store], list[Item]]:
    """The stores and their listings."""
    raw = tomllib.loads(files("fondaco.demo").joinpath("content.toml").read_text())
    platforms = {p["name"]: p for p in raw["platforms"]}
    return [Store(**s) for s in raw["stores"]], [_item(i, platforms) for i in raw["items"]]
