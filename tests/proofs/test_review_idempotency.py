"""Idempotency keys when keeping an answer fails, and between guests who share an address."""

import asyncpg
import httpx

from fondaco.core.db import Database
from fondaco.core.viewer import GUEST
from fondaco.orders.carts import add_to_cart
from fondaco.settings import Settings
from tests.api.app import small_app
from tests.api.test_idempotency import EFFECT, effects, put
from tests.support.shop import make_shop

CANNOT_KEEP = """
CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER no_room BEFORE UPDATE ON core.idempotency FOR EACH ROW
  WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION public.no_room();
"""


async def test_an_effect_whose_answer_cannot_be_kept_is_told_and_not_done_again(
    settings: Settings, db: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(EFFECT)
    await owner.execute(CANNOT_KEEP)
    async with small_app(settings, db) as api:
        assert (await put(api, "k1")).status_code == 201, "it was done, so that is the answer"
        again = await put(api, "k1")
    assert (again.status_code, again.json()["code"]) == (409, "still_under_way")
    assert await effects(db) == 1


async def test_guests_behind_one_address_never_get_each_others_cart(
    client: httpx.AsyncClient, db: Database
) -> None:
    shop = await make_shop(db, stock=3)
    ann = await add_to_cart(db, GUEST, None, listing_id=shop.listing_id)
    answers = [
        await client.post(
            "/api/v1/quotes", json={}, headers={"Idempotency-Key": "1", **({"Cart-Token": t} if t else {})}
        )
        for t in (ann.token, "a-cart-of-somebody-else", None, ann.token)
    ]
    assert [a.status_code for a in answers] == [200] * 4
    assert [len(a.json()["lines"]) for a in answers] == [1, 0, 0, 1]
    assert answers[3].headers["idempotent-replayed"] == "true"
