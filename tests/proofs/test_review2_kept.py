"""What a web process keeps of the shop stays within its bounds, whatever visitors ask for."""

import sys

import httpx

from fondaco.catalog import Kept, Made
from fondaco.core.db import Database
from fondaco.core.web import Parts

MOST = 1 << 20


async def test_long_keys_count(db: Database) -> None:
    kept = Kept(MOST)

    async def nothing(_: bytes | None) -> Made[bytes]:
        return Made(b"", 0)

    for n in range(100):
        await kept.get(db, ("page", (("q", f"{n:03}" + "\U0001f511" * 5000),)), nothing)
    assert 0 < len(kept) * 5000 * 4 <= MOST


async def test_questions_that_match_nothing_fill_no_memory(client: httpx.AsyncClient, parts: Parts) -> None:
    """Anybody may ask for what is not there, each time differently: an answer of a few bytes, a long key."""
    kept = Kept(MOST)
    parts.add(kept)
    for n in range(12):
        asked = {
            name: [f"{n}-{i}-\U0001f511".ljust(190, "x") for i in range(50)]
            for name in ("category", "platform", "region", "seller")
        }
        answer = await client.get("/api/v1/listings", params=asked)
        assert answer.status_code == 200 and answer.json()["items"] == []
    key = sys.getsizeof("\U0001f511".ljust(190, "x")) * 200
    assert 0 < len(kept) * key <= MOST
