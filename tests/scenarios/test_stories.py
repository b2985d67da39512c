"""Every story runs, ends with books that are whole and the provider's, and is the one in the docs."""

import os
from pathlib import Path

import asyncpg
import pytest

from fondaco import checks
from tests.scenarios.book import HEAD
from tests.scenarios.further import MORE
from tests.scenarios.on_credit import CREDIT
from tests.scenarios.stories import STORIES, market
from tests.support.money import Till

PLACE = Path(__file__).parents[2] / "docs" / "money" / "stories"


@pytest.mark.parametrize("slug", STORIES)
async def test_a_story_is_the_one_in_the_docs(till: Till, owner: asyncpg.Connection, slug: str) -> None:
    told = await market(till, owner, slug)
    await STORIES[slug][1](told)
    till = told.till  # in another currency there is another
    assert await till.psp() == await till.provider_balance()
    assert [str(f) for f in await checks.verify_all(till.db, till.settings)] == []
    page, file = await told.book.written(), PLACE / f"{slug}.md"
    if os.environ.get("FONDACO_WRITE_STORIES"):
        file.write_text(page)
    assert file.read_text() == page


def test_every_story_is_told_once() -> None:
    assert MORE.items() | CREDIT.items() <= STORIES.items()
    assert len({story for _, story in STORIES.values()}) == len(STORIES)


def test_the_index_names_them_all() -> None:
    about = {slug: " ".join((story.__doc__ or "").split()) for slug, (_, story) in STORIES.items()}
    lines = [f"- [{title}]({slug}.md): {about[slug]}\n" for slug, (title, _) in STORIES.items()]
    first = "# Stories of money\n\nEach is run by the tests, with the journals it makes.\n\n"
    page = f"{HEAD}{first}{''.join(lines)}"
    if os.environ.get("FONDACO_WRITE_STORIES"):
        (PLACE / "README.md").write_text(page)
    assert (PLACE / "README.md").read_text() == page
    assert {f.stem for f in PLACE.glob("*.md")} == {*STORIES, "README"}
