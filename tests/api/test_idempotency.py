"""Idempotency keys: one effect per key, through repetitions, races, refusals, crashes and secrets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from fondaco.api.idempotency import KEPT_HOURS, forget_old_keys
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.settings import Settings
from tests.api.app import small_app

EFFECT = """
CREATE TABLE public.effect (n int GENERATED ALWAYS AS IDENTITY, key text);
GRANT SELECT, INSERT ON public.effect TO fondaco_app;
"""


@pytest.fixture
async def api(
    settings: Settings, db: Database, owner: asyncpg.Connection
) -> AsyncIterator[httpx.AsyncClient]:
    await owner.execute(EFFECT)
    async with small_app(settings, db) as client:
        yield client


async def effects(db: Database) -> int:
    return int(await db.fetchval(SYSTEM, "SELECT count(*) FROM public.effect"))


def headers(key: str, user: str = "ann") -> dict[str, str]:
    return {"Idempotency-Key": key, "X-User": user}


async def put(api: httpx.AsyncClient, key: str, user: str = "ann", **body: Any) -> httpx.Response:
    return await api.post("/api/v1/things", json={"name": "a", **body}, headers=headers(key, user))


async def test_the_same_call_again_gets_the_same_answer(api: httpx.AsyncClient, db: Database) -> None:
    first, second = await put(api, "k1"), await put(api, "k1")
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-content-type-options"] == "nosniff"
    assert await effects(db) == 1


async def test_without_a_key_each_call_counts(api: httpx.AsyncClient, db: Database) -> None:
    for _ in range(2):
        await api.post("/api/v1/things", json={"name": "a"})
    assert await effects(db) == 2


async def test_the_key_with_other_content_is_refused(api: httpx.AsyncClient, db: Database) -> None:
    await put(api, "k1")
    for answer in (
        await put(api, "k1", name="b"),
        await api.post("/api/v1/things?x=1", json={"name": "a"}, headers=headers("k1")),
        await api.post("/api/v1/refused", json={"name": "a"}, headers=headers("k1")),
    ):
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key_reused"
        assert answer.headers["content-type"] == "application/problem+json"
    assert await effects(db) == 1


async def test_keys_belong_to_who_sent_them(api: httpx.AsyncClient, db: Database) -> None:
    answers = [await put(api, "k1", user) for user in ("ann", "ben")]
    answers += [
        await api.post("/api/v1/things", json={"name": "a"}, headers={"Idempotency-Key": "k1", "X-Ip": ip})
        for ip in ("10.0.0.1", "10.0.0.2")
    ]
    assert {a.json()["n"] for a in answers} == {1, 2, 3, 4}


async def test_thirty_at_once_have_one_effect(api: httpx.AsyncClient, db: Database) -> None:
    answers = await asyncio.gather(*(put(api, "k1", wait=0.3) for _ in range(30)))
    assert await effects(db) == 1
    codes = sorted(a.status_code for a in answers)
    assert codes.count(201) >= 1
    assert set(codes) <= {201, 409}
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"still_under_way"}
    assert (await put(api, "k1", wait=0.3)).status_code == 201


@pytest.mark.parametrize(("path", "status"), [("/api/v1/refused", 409), ("/api/v1/broken", 500)])
async def test_what_failed_leaves_the_key_free(
    api: httpx.AsyncClient, db: Database, path: str, status: int
) -> None:
    for runs in (1, 2):
        answer = await api.post(path, headers=headers("k1"))
        assert answer.status_code == status
        assert await effects(db) == runs
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM core.idempotency") == 0
    assert (await put(api, "k1")).status_code == 201


async def test_who_was_overtaken_leaves_the_others_claim_alone(api: httpx.AsyncClient, db: Database) -> None:
    assert (await api.post("/api/v1/overtaken", headers=headers("k1"))).status_code == 409
    assert await db.fetchval(SYSTEM, "SELECT status IS NULL FROM core.idempotency") is True
    again = await api.post("/api/v1/overtaken", headers=headers("k1"))
    assert again.json()["code"] == "still_under_way"


async def test_a_secret_is_never_kept(api: httpx.AsyncClient, db: Database) -> None:
    first = await api.post("/api/v1/secrets", headers=headers("k1"))
    assert first.json() == {"secret": "canary-91c2"}
    again = await api.post("/api/v1/secrets", headers=headers("k1"))
    assert (again.status_code, again.json()["code"]) == (409, "already_done")
    assert await effects(db) == 1
    kept = await db.fetchrow(SYSTEM, "SELECT * FROM core.idempotency")
    assert kept
    assert "canary" not in str(dict(kept))


async def test_a_call_whose_process_died_can_be_made_again_after_a_while(
    api: httpx.AsyncClient, db: Database
) -> None:
    await put(api, "k1")
    await db.execute(SYSTEM, "UPDATE core.idempotency SET status = NULL, body = NULL")
    assert (await put(api, "k1")).json()["code"] == "still_under_way"
    await db.execute(SYSTEM, "UPDATE core.idempotency SET created_at = now() - interval '3 minutes'")
    assert (await put(api, "k1", name="other")).status_code == 422
    assert (await put(api, "k1")).status_code == 201


async def test_keys_are_forgotten_after_a_day(
    api: httpx.AsyncClient, db: Database, settings: Settings
) -> None:
    await put(api, "old")
    await put(api, "older")
    await db.execute(
        SYSTEM,
        "UPDATE core.idempotency SET created_at = now() - make_interval(hours => $1, mins => 1)",
        KEPT_HOURS,
    )
    assert "idempotent-replayed" not in (await put(api, "old", name="something else")).headers
    await put(api, "new")
    await forget_old_keys(Parts(settings, db))
    rows = await db.fetch(SYSTEM, "SELECT key FROM core.idempotency ORDER BY key")
    assert [r["key"] for r in rows] == ["new", "old"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "käse"])
async def test_a_bad_key_is_told(api: httpx.AsyncClient, db: Database, key: str) -> None:
    answer = await api.post(
        "/api/v1/things", json={"name": "a"}, headers={"Idempotency-Key": key.encode("latin-1")}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_idempotency_key")
    assert await effects(db) == 0


async def test_a_caller_who_hangs_up_does_not_block_the_key(
    settings: Settings, db: Database, api: httpx.AsyncClient
) -> None:
    call = asyncio.create_task(put(api, "k1", wait=30))
    while not await db.fetchval(SYSTEM, "SELECT count(*) FROM core.idempotency"):
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await put(api, "k1")).status_code == 201
