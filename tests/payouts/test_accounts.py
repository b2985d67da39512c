"""A seller's account at the provider: made once, read from what is fetched, closed when it is gone."""

import asyncio
import re
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from fondaco import payouts
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM
from fondaco.integrations.stripe_connect import AccountFacts
from fondaco.payouts.accounts import check_accounts, state_of
from tests.support.money import Till
from tests.support.payouts import Paying, connected, paying
from tests.support.shop import Shop, make_shop

ACCOUNTS = "/v1/accounts"


@pytest.fixture
async def shop(till: Till) -> Shop:
    return await make_shop(till.db)


async def connect(till: Till, shop: Shop) -> str:
    return await payouts.connect(till.db, till.impatient, till.settings, shop.owner)


async def made(till: Till) -> int:
    return len([fact for fact in till.sandbox.truth() if fact["fact"] == "account.created"])


async def state(till: Till, shop: Shop) -> str:
    return (await payouts.my_account(till.db, shop.owner)).state


async def test_onboarding_from_the_link_to_the_event(till: Till, shop: Shop) -> None:
    assert await state(till, shop) == "NONE"
    url = await connect(till, shop)
    assert await state(till, shop) == "PENDING"
    assert "external_account" in (await payouts.my_account(till.db, shop.owner)).currently_due
    page = httpx.get(url)
    session = re.search(r'name="session" value="(\w+)"', page.text)
    assert session
    form = {"first_name": "Ada", "last_name": "Test", "born": "1990-01-31", "terms": "on"}
    answer = httpx.post(url, data={"session": session[1], **form, "bank": "000123456789"})
    assert urlsplit(answer.headers["location"]).path == "/seller/payout-account/back"
    assert await state(till, shop) == "PENDING"  # that somebody came back says nothing
    account = (await payouts.my_account(till.db, shop.owner)).provider_id
    await Paying(till, shop, account or "").told("account.updated")
    assert await state(till, shop) == "ACTIVE"
    assert await connect(till, shop) != url
    assert await made(till) == 1


async def test_a_lost_answer_makes_no_second_account(till: Till, shop: Shop) -> None:
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": ACCOUNTS})
    with pytest.raises(payouts.ProviderAway):
        await connect(till, shop)
    assert await state(till, shop) == "NONE"
    await connect(till, shop)
    assert await made(till) == 1
    assert await state(till, shop) == "PENDING"


async def test_many_at_once_make_one_account(till: Till, shop: Shop) -> None:
    await asyncio.gather(
        *(payouts.connect(till.db, till.gateway, till.settings, shop.owner) for _ in range(5))
    )
    assert await made(till) == 1
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM payouts.account") == 1


async def test_a_failure_kept_under_the_key_needs_another_row(till: Till, shop: Shop) -> None:
    till.sandbox.post("/sandbox/faults", fail_before={"count": 1, "path": ACCOUNTS})
    for _ in range(2):
        with pytest.raises(payouts.ProviderAway):
            await connect(till, shop)
    await connect(till, shop)
    assert (await made(till), await state(till, shop)) == (1, "PENDING")


async def test_a_call_nobody_remembers_is_made_anew(
    till: Till, shop: Shop, owner: asyncpg.Connection
) -> None:
    till.sandbox.post("/sandbox/faults", fail_before={"count": 1, "path": ACCOUNTS})
    with pytest.raises(payouts.ProviderAway):
        await connect(till, shop)
    await owner.execute("UPDATE payouts.account SET created_at = $1", now() - timedelta(hours=24))
    await connect(till, shop)
    rows = await till.db.fetch(SYSTEM, "SELECT state FROM payouts.account ORDER BY created_at")
    assert [r["state"] for r in rows] == ["CLOSED", "PENDING"]


async def test_missed_events_are_made_up_for(till: Till, shop: Shop, owner: asyncpg.Connection) -> None:
    account = await connected(till, shop)
    till.sandbox.post(f"/sandbox/accounts/{account}", reject="fraud")
    assert await check_accounts(till.db, till.gateway) == 0
    await owner.execute("UPDATE payouts.account SET checked_at = now() - interval '25 hours'")
    assert await check_accounts(till.db, till.gateway) == 1
    assert await state(till, shop) == "RESTRICTED"
    assert await till.audited("payout_account.restricted") == 1


async def test_a_disconnected_account_is_closed_and_another_can_be_made(
    till: Till, owner: asyncpg.Connection
) -> None:
    one = await paying(till, owner)
    async with till.db.transaction(SYSTEM) as conn:
        assert await payouts.close_account(conn, one.account, "disconnected")
        assert await payouts.close_account(conn, one.account, "disconnected")
        assert not await payouts.close_account(conn, "acct_nobody", "disconnected")
    assert await till.audited("payout_account.closed") == 1
    with pytest.raises(payouts.PayoutsClosed):
        await one.withdraw()
    other = await connected(till, one.shop)
    assert other != one.account
    payout = await one.withdraw()
    await one.send(payout)
    assert (await one.row(payout))["destination"] == other


async def test_an_account_that_is_gone_is_closed(till: Till, shop: Shop, owner: asyncpg.Connection) -> None:
    await connected(till, shop)
    await owner.execute("UPDATE payouts.account SET provider_id = 'acct_1Sgone00000000'")
    await payouts.refresh(till.db, till.gateway, "acct_1Sgone00000000")
    assert await state(till, shop) == "NONE"


def facts(**said: object) -> AccountFacts:
    known: dict[str, object] = {
        "id": "acct_1",
        "seller_ref": "",
        "details_submitted": True,
        "charges_enabled": True,
        "payouts_enabled": True,
        "transfers_active": True,
        "currently_due": [],
        "past_due": [],
        "pending_verification": [],
        "disabled_reason": None,
        "current_deadline": None,
        "country": "DE",
        "default_currency": "EUR",
    }
    return AccountFacts(**{**known, **said})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        ("NONE", {"details_submitted": False, "transfers_active": False}, "PENDING"),
        ("PENDING", {}, "ACTIVE"),
        ("PENDING", {"transfers_active": False}, "PENDING"),
        ("PENDING", {"disabled_reason": "requirements.pending_verification"}, "PENDING"),
        ("PENDING", {"disabled_reason": "rejected.fraud"}, "RESTRICTED"),
        ("PENDING", {"details_submitted": False, "past_due": ["external_account"]}, "PENDING"),
        ("PENDING", {"past_due": ["external_account"]}, "RESTRICTED"),
        ("ACTIVE", {"currently_due": ["individual.id_number"]}, "ACTIVE"),
        ("ACTIVE", {"past_due": ["individual.id_number"]}, "RESTRICTED"),
        ("ACTIVE", {"payouts_enabled": False}, "RESTRICTED"),
        ("ACTIVE", {"disabled_reason": "requirements.pending_verification"}, "RESTRICTED"),
        ("RESTRICTED", {"disabled_reason": "requirements.pending_verification"}, "PENDING"),
        ("RESTRICTED", {}, "ACTIVE"),
    ],
)
def test_what_an_account_is_by_what_is_said_of_it(before: str, said: dict[str, object], after: str) -> None:
    assert state_of(before, facts(**said)) == after
