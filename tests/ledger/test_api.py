"""The books over the API: for finance, admin and auditor; for others there is no such desk."""

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.people import bearer

ROOT = "/api/v1/console/ledger"


@pytest.fixture
async def buyers(db: Database) -> list[Viewer]:
    found = [await make_buyer(db) for _ in range(3)]
    for n, buyer in enumerate(found):
        for amount in (100, 20, 3):
            await give_money(db, buyer.user(), amount * (n + 1))
    return found


async def test_finance_reads_accounts_entries_and_journals(
    client: httpx.AsyncClient, db: Database, buyers: list[Viewer]
) -> None:
    me = await bearer(db, await make_staff(db, "finance"))
    owner = f"user:{buyers[1].user()}"
    [account] = (await client.get(f"{ROOT}/accounts", params={"owner": owner}, headers=me)).json()["items"]
    assert (account["kind"], account["amount"], account["entries"], account["side"]) == (
        "wallet",
        246,
        3,
        "credit",
    )
    page = (await client.get(f"{ROOT}/accounts/{account['id']}/entries?limit=2", headers=me)).json()
    assert [(e["amount"], e["balance_after"]) for e in page["items"]] == [(6, 246), (40, 240)]
    rest = await client.get(
        f"{ROOT}/accounts/{account['id']}/entries", params={"cursor": page["next"]}, headers=me
    )
    assert [e["amount"] for e in rest.json()["items"]] == [200]

    journal = (await client.get(f"{ROOT}/journals/{page['items'][0]['journal_id']}", headers=me)).json()
    assert [(e["kind"], e["amount"]) for e in journal["entries"]] == [("psp_clearing", 6), ("wallet", -6)]
    assert (journal["kind"], journal["reverses"], journal["reversed_by"]) == ("top_up", None, None)


async def test_the_trial_balance_balances(
    client: httpx.AsyncClient, db: Database, buyers: list[Viewer]
) -> None:
    me = await bearer(db, await make_staff(db, "auditor"))
    lines = (await client.get(f"{ROOT}/trial-balance", headers=me)).json()
    assert {(x["kind"], x["debit"], x["credit"], x["balance"]) for x in lines} == {
        ("psp_clearing", 738, 0, 738),
        ("wallet", 0, 738, 738),
    }
    before = await client.get(f"{ROOT}/trial-balance", params={"as_of": "2020-01-01T00:00:00Z"}, headers=me)
    assert before.json() == []
    vague = await client.get(f"{ROOT}/trial-balance", params={"as_of": "2020-01-01T00:00:00"}, headers=me)
    assert vague.status_code == 422


async def test_accounts_come_in_pages_and_by_kind(
    client: httpx.AsyncClient, db: Database, buyers: list[Viewer]
) -> None:
    me = await bearer(db, await make_staff(db, "admin"))
    first = (await client.get(f"{ROOT}/accounts?kind=wallet&limit=2", headers=me)).json()
    rest = (
        await client.get(f"{ROOT}/accounts", params={"kind": "wallet", "cursor": first["next"]}, headers=me)
    ).json()
    assert [a["amount"] for a in first["items"] + rest["items"]] == [123, 246, 369]
    assert (await client.get(f"{ROOT}/accounts?currency=USD", headers=me)).json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "accounts?owner=%00",
        "accounts?kind=A%27",
        "accounts?limit=0",
        "accounts?limit=101",
        "accounts?cursor=x",
        "journals/0",
        "journals/99999999999999999999",
        "accounts/-1",
        "trial-balance?as_of=soon",
    ],
)
async def test_hostile_questions_are_answered_in_words(
    client: httpx.AsyncClient, db: Database, path: str
) -> None:
    me = await bearer(db, await make_staff(db, "finance"))
    answer = await client.get(f"{ROOT}/{path}", headers=me)
    assert answer.status_code in (400, 404, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["accounts", "trial-balance", "journals/1", "accounts/1/entries"])
async def test_others_see_no_desk(client: httpx.AsyncClient, db: Database, path: str) -> None:
    customer = await bearer(db, await make_buyer(db))
    support = await bearer(db, await make_staff(db, "support"))
    assert (await client.get(f"{ROOT}/{path}", headers=customer)).status_code == 404
    assert (await client.get(f"{ROOT}/{path}", headers=support)).status_code == 403
    assert (await client.get(f"{ROOT}/{path}")).status_code == 401


async def test_a_missing_journal_is_missing(client: httpx.AsyncClient, db: Database) -> None:
    me = await bearer(db, await make_staff(db, "finance"))
    for path in ("journals/12345", "accounts/12345", "accounts/12345/entries"):
        assert (await client.get(f"{ROOT}/{path}", headers=me)).status_code == 404
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM ledger.journal") == 0
