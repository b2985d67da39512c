"""The reconciliation desk, its API, and what two people decide: booked, settled, explained, opened again."""

import json
from datetime import timedelta

import pytest

from fondaco import approvals, reconciliation
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.ledger import LedgerKeyReused, platform
from fondaco.ledger import post as book
from fondaco.reconciliation import NotBookable, Suspended, breaks
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk, desk
from tests.support.money import Till, amount_on, journals, make_buyer, make_staff
from tests.support.people import make_user

__all__ = ["desk"]
LIST = "/console/reconciliation"
ORIGIN = {"Origin": "http://127.0.0.1:8000"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for being on its way."""
    monkeypatch.setattr(breaks, "GRACE", timedelta(0))


async def enter(desk: Desk, role: str) -> Viewer:
    viewer = await make_user(desk.db, staff_role=role)
    await desk.enter(viewer)
    return viewer


async def post(desk: Desk, path: str, status: int = 303, **fields: str) -> str:
    await desk.client.get("/console")
    fields["_csrf_token"] = desk.client.cookies.get("csrf") or ""
    answer = await desk.client.post(path, data=fields, headers=ORIGIN)
    assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
    return answer.text


async def compare(till: Till) -> int:
    run_id = await reconciliation.begin(till.db, "clock", until=now() + timedelta(seconds=2))
    assert await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    return run_id


async def the_break(till: Till) -> int:
    found: int = await till.db.fetchval(
        SYSTEM, "SELECT id FROM reconciliation.break WHERE state <> 'RESOLVED'"
    )
    return found


def moved(till: Till, amount: int, kind: str = "adjustment") -> str:
    """Money moved at the provider that nobody asked for; its id."""
    made = till.sandbox.post(
        "/sandbox/movement", amount=amount, currency="eur", type=kind, description="Unasked"
    )
    return str(made["id"])


async def agree(till: Till, ref: str) -> None:
    """A second person approves what waits for this thing."""
    other = await make_staff(till.db, "finance")
    async with till.db.transaction(SYSTEM) as conn:
        [request] = await approvals.waiting(conn, ref)
    await approvals.decide(till.db, other, request.id, True)


async def test_an_empty_desk_and_a_run_asked_for(desk: Desk, till: Till) -> None:
    await enter(desk, "finance")
    words = text_of(await desk.see(LIST))
    assert "Nothing is unexplained" in words and "Nothing in suspense" in words and "Never" in words
    await post(desk, LIST)
    words = text_of(await desk.see(LIST))
    assert "A worker is about to begin" in words
    run_id = await till.db.fetchval(SYSTEM, "SELECT id FROM reconciliation.run WHERE state = 'RUNNING'")
    jobs = await till.db.fetch(
        SYSTEM, "SELECT args FROM procrastinate_jobs WHERE task_name = 'reconciliation.run'"
    )
    assert [row["args"] for row in jobs] == [{"run_id": run_id}]
    assert (await desk.client.get(f"{LIST}/runs/{run_id}/report")).status_code == 409
    await post(desk, LIST)
    assert "is running already" in text_of(await desk.see(LIST))
    assert await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    assert "data-live-final" in (await desk.client.get(f"{LIST}/live")).text
    words = text_of(await desk.see(f"{LIST}/runs/{run_id}"))
    assert "Signed" in words and "Done" in words


async def test_a_break_is_taken_explained_and_opened_again(desk: Desk, till: Till) -> None:
    moved(till, -250)
    run_id = await compare(till)
    one = await the_break(till)
    await enter(desk, "finance")
    here = f"{LIST}/breaks/{one}"
    assert "Unexplained" in text_of(await desk.see(LIST))
    await post(desk, f"{here}/take")
    assert "Leave it to others" in text_of(await desk.see(here))
    assert "Looked into by me" in text_of(await desk.see(f"{LIST}?owner=me"))
    await post(desk, f"{here}/take", let_go="yes")
    assert "I look into it" in text_of(await desk.see(here))
    text = text_of(await desk.see(f"{here}/explain"))
    assert "Nothing is booked" in text
    version = await till.db.fetchval(SYSTEM, "SELECT version FROM reconciliation.break WHERE id = $1", one)
    assert "Say why" in await post(desk, f"{here}/explain?version={version}", 422, because=" ")
    await post(desk, f"{here}/explain?version={version + 7}", 409, because="A fee of the year")
    await post(desk, f"{here}/explain?version={version}", because="A fee of the year")
    assert await till.db.fetchval(SYSTEM, "SELECT payouts.stopped()") is None
    words = text_of(await desk.see(here))
    assert "A fee of the year" in words and "Explained" in words
    await post(desk, f"{here}/reopen?version={version + 1}")
    assert await till.db.fetchval(SYSTEM, "SELECT payouts.stopped()")
    report = json.loads((await desk.client.get(f"{LIST}/runs/{run_id}/report")).text)
    told = json.loads(report["report"])
    assert told["breaks"][0]["class"] == "missing_here" and report["signature"] and report["key_id"]


async def test_support_and_customers_see_nothing_and_an_auditor_only_looks(desk: Desk, till: Till) -> None:
    moved(till, -250)
    await compare(till)
    here = f"{LIST}/breaks/{await the_break(till)}"
    await enter(desk, "support")
    assert (await desk.client.get(LIST)).status_code == 403
    await enter(desk, "auditor")
    words = text_of(await desk.see(here))
    assert "Explain" not in words.replace("Unexplained", "") and "Book it" not in words
    answer = await desk.client.get(f"{here}/explain")
    assert answer.status_code == 403


async def test_a_cost_that_we_had_not_booked_is_booked_by_two(desk: Desk, till: Till) -> None:
    await till.paid_top_up(await make_buyer(till.db), 2500)
    movement = moved(till, -250, "stripe_fee")
    await compare(till)
    one = await the_break(till)
    await enter(desk, "finance")
    here = f"{LIST}/breaks/{one}/book"
    assert "Book this movement?" in text_of(await desk.see(here))
    await post(desk, here, 422, **{"as": "suspense", "because": "It is a cost"})
    await post(desk, here, **{"as": "fee", "because": "It is a cost"})
    assert await till.db.fetchval(SYSTEM, "SELECT payouts.stopped()")
    await agree(till, f"break:{one}")
    assert await till.db.fetchval(SYSTEM, "SELECT payouts.stopped()") is None
    assert f"movement:{movement}" in await journals(till.db, "provider_fee")
    await compare(till)
    assert await the_break(till) is None
    await till.whole()
    finance = await make_staff(till.db, "finance")
    with pytest.raises(NotBookable):
        await reconciliation.ask_to_book(till.db, finance, one, "fee", "Once more")


async def test_money_that_came_unasked_goes_through_suspense_into_a_wallet(desk: Desk, till: Till) -> None:
    moved(till, 4000)
    await compare(till)
    one = await the_break(till)
    finance, buyer = await make_staff(till.db, "finance"), await make_buyer(till.db)
    await reconciliation.ask_to_book(till.db, finance, one, "suspense", "Nobody knows it")
    await agree(till, f"break:{one}")
    assert await amount_on(till.db, platform("suspense", "EUR")) == 4000
    [waiting] = await reconciliation.in_suspense(till.db, finance)
    await enter(desk, "finance")
    here = f"{LIST}/suspense/{waiting.journal_id}"
    assert "Back to the card" not in text_of(await desk.see(here)), "it came without a payment"
    assert "No open account" in await post(
        desk, here, 422, how="wallet", email="nobody@example.test", because="It is hers"
    )
    await post(desk, here, how="wallet", email=buyer.email, because="It is hers")
    assert "Asked or on its way" in text_of(await desk.see(LIST))
    await agree(till, f"journal:{waiting.journal_id}")
    assert (await till.wallet(buyer), await reconciliation.in_suspense(till.db, finance)) == (4000, [])
    assert (await desk.client.get(here)).status_code == 404
    await compare(till)
    assert await the_break(till) is None
    await till.whole()


async def in_suspense(till: Till) -> tuple[Viewer, Suspended]:
    """A payment at the provider that names nothing of ours, in suspense; as it is listed."""
    made = await till.gateway.client.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "line_items": [
                {
                    "price_data": {"currency": "eur", "unit_amount": 3300, "product_data": {"name": "What"}},
                    "quantity": 1,
                }
            ],
            "success_url": "http://127.0.0.1:8000/",
            "payment_intent_data": {"metadata": {"funding_id": "01900000-0000-7000-8000-000000000001"}},
            "metadata": {"funding_id": "01900000-0000-7000-8000-000000000001"},
        }
    )
    till.sandbox.pay(made.id)
    for _ in range(6):
        await till.deliver_all()
        await till.db.execute(SYSTEM, "UPDATE inbox.event SET next_at = now()")
    finance = await make_staff(till.db, "finance")
    [one] = await reconciliation.in_suspense(till.db, finance)
    return finance, one


async def test_a_payment_in_suspense_goes_back_to_its_card_once(till: Till) -> None:
    finance, one = await in_suspense(till)
    await compare(till)
    assert await the_break(till) is None
    with pytest.raises(Invalid):
        await reconciliation.ask_to_settle(till.db, finance, one.journal_id, "elsewhere", why="No such way")
    await reconciliation.ask_to_settle(till.db, finance, one.journal_id, "card", why="Not ours")
    assert await reconciliation.send_back(till.db, till.gateway) == 0, "one person alone sends nothing"
    await agree(till, f"journal:{one.journal_id}")
    assert await reconciliation.send_back(till.db, till.gateway) == 1
    assert await reconciliation.send_back(till.db, till.gateway) == 0
    await till.deliver_all()
    made = [f for f in till.sandbox.truth() if f["fact"] == "refund.created"]
    assert len(made) == 1 and await amount_on(till.db, platform("suspense", "EUR")) == 0
    await compare(till)
    assert await the_break(till) is None


async def test_a_payment_sent_back_at_the_provider_by_hand_is_booked_by_its_event(till: Till) -> None:
    _, one = await in_suspense(till)
    await till.gateway.client.v1.refunds.create_async({"payment_intent": one.intent_id})
    for _ in range(6):
        await till.deliver_all()
        await till.db.execute(SYSTEM, "UPDATE inbox.event SET next_at = now()")
    assert await amount_on(till.db, platform("suspense", "EUR")) == 0
    await compare(till)
    assert await the_break(till) is None


async def test_what_was_booked_meanwhile_is_not_booked_again(till: Till) -> None:
    moved(till, 900)
    await compare(till)
    one = await the_break(till)
    finance = await make_staff(till.db, "finance")
    await reconciliation.ask_to_book(till.db, finance, one, "bank", "Put in by hand")
    movement = await till.db.fetchval(SYSTEM, "SELECT id FROM reconciliation.movement")
    async with till.db.transaction(SYSTEM) as conn:
        await book(
            conn,
            "suspense",
            idem=f"movement:{movement}",
            ref="test",
            actor="test",
            legs=[(platform("psp_clearing", "EUR"), 900), (platform("suspense", "EUR"), -900)],
        )
    with pytest.raises(LedgerKeyReused):
        await agree(till, f"break:{one}")
    assert await amount_on(till.db, platform("psp_clearing", "EUR")) == 900
