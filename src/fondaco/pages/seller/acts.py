"""What is done with a whole listing, in the words that ask for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from fondaco import catalog
from fondaco.catalog import OwnListing
from fondaco.core.db import Database
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer

STATES = ("DRAFT", "PUBLISHED", "PAUSED", "ARCHIVED")


@dataclass(frozen=True)
class Act:
    """Something done with a whole listing, asked for once more before it is."""

    verb: Callable[[Database, Viewer, UUID], Awaitable[OwnListing]]
    label: str
    icon: str
    heading: str
    text: str
    said: str
    states: tuple[str, ...]
    danger: bool = False


ACTS = {
    "publish": Act(
        catalog.publish,
        "Publish",
        "rocket",
        "Put this listing on sale?",
        "Buyers see it within seconds. From then on its category, platform, region and edition are fixed.",
        "It is on sale.",
        ("DRAFT", "PAUSED"),
    ),
    "pause": Act(
        catalog.pause,
        "Pause",
        "pause",
        "Take this listing off sale for now?",
        "Buyers no longer find it. Open orders go on, its stock stays, and you can publish it again.",
        "It is paused.",
        ("PUBLISHED",),
    ),
    "duplicate": Act(
        catalog.duplicate,
        "Duplicate",
        "copy",
        "Make a copy of this listing?",
        "You get a new draft with the same texts, picture and price, and no stock.",
        "This is the copy: a draft.",
        STATES,
    ),
    "archive": Act(
        catalog.archive,
        "Archive",
        "archive",
        "Archive this listing for good?",
        "It can never be sold again, and this cannot be undone. Its orders stay readable. "
        "What is left in stock stays out of sale.",
        "It is archived.",
        ("DRAFT", "PAUSED"),
        danger=True,
    ),
}


def act_of(name: str) -> Act:
    """Raises NotFound."""
    if name not in ACTS:
        raise NotFound()
    return ACTS[name]
