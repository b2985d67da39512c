"""What is told of a case: mails at each turn, the order's story, live pages."""

import asyncpg
import pytest

from fondaco import cases, console, orders
from fondaco.cases import sweep
from fondaco.core.db import SYSTEM
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from tests.cases.steps import Sale, bring, wind


async def mails(sale: Sale, parts: Parts) -> list[tuple[str, str]]:
    """(recipient, heading) of all mails about cases so far, in order."""
    await read_events(parts)
    rows = await sale.db.fetch(
        SYSTEM, "SELECT recipient, subject FROM notifications.mail WHERE template = 'case_turn' ORDER BY id"
    )
    names = {sale.buyer.email: "buyer", sale.shop.owner.email: "seller"}
    return [(names.get(r["recipient"], "operator"), r["subject"].split(":")[0]) for r in rows]


async def test_each_turn_is_told_to_whom_it_concerns(
    sale: Sale, parts: Parts, owner: asyncpg.Connection
) -> None:
    case_id = await sale.open()
    await cases.write(sale.db, sale.as_seller, case_id, "Have you tried it again?")
    await bring(sale, case_id, "NEEDS_RESPONSE", "seller")
    await cases.offer(sale.db, sale.shop.owner, case_id, amount=300, text="Take this.")
    await cases.decline_offer(sale.db, sale.buyer, case_id)
    await cases.answer(sale.db, sale.as_seller, case_id, "It was new when we sold it.")
    await wind(owner, hours=80)
    await sweep(sale.db)
    await cases.decide(sale.db, sale.finance, case_id, outcome="BUYER", text="It was not new.")
    await cases.appeal(sale.db, sale.as_seller, case_id, "Look at the log once more.")
    await cases.close(sale.db, sale.support, case_id, text="We did; it stays.")
    told = await mails(sale, parts)
    assert sorted(told[:2]) == [("buyer", "Your case is open"), ("seller", "A buyer opened a case")]
    assert told[2:8] == [
        ("buyer", "There is a new message"),
        ("seller", "Support asks you for an answer"),
        ("buyer", "The seller made you an offer"),
        ("seller", "The buyer declined your offer"),
        ("buyer", "The seller answered"),
        ("operator", "A case waits for the staff"),
    ]
    assert sorted(told[8:]) == [
        ("buyer", "The case is closed"),
        ("buyer", "Your case is decided"),
        ("operator", "A case waits for the staff"),
        ("seller", "The case is closed"),
        ("seller", "Your case is decided"),
    ]
    assert await mails(sale, parts) == told


@pytest.mark.parametrize("ending", ["withdraw", "accept"])
async def test_the_seller_hears_how_the_buyer_ended_it(sale: Sale, parts: Parts, ending: str) -> None:
    case_id = await sale.open()
    if ending == "accept":
        await cases.offer(sale.db, sale.shop.owner, case_id, amount=300, text="Take this.")
        await cases.accept_offer(sale.db, sale.buyer, case_id)
        words = "The buyer accepted your offer"
    else:
        await cases.withdraw(sale.db, sale.buyer, case_id)
        words = "The buyer withdrew the case"
    assert (await mails(sale, parts))[-1] == ("seller", words)


async def test_a_note_is_told_to_nobody(sale: Sale, parts: Parts) -> None:
    case_id = await sale.open()
    before = await mails(sale, parts)
    await cases.note(sale.db, sale.support, case_id, "A note among us.")
    assert await mails(sale, parts) == before


async def test_the_orders_story_tells_of_the_case(sale: Sale) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "WON")
    story = await console.timeline(sale.db, sale.support, sale.order_id)
    told = [item for item in story if item.href == f"/console/cases/{case_id}"]
    assert [item.words for item in told] == [
        "Case opened; the money is frozen",
        "Case under review",
        "Case decided",
    ]


async def test_a_watched_case_wakes_at_each_step(sale: Sale, parts: Parts) -> None:
    case_id = await sale.open()
    stream = orders.watch(parts, f"case:{case_id}")
    await anext(stream)
    await cases.write(sale.db, sale.as_buyer, case_id, "Are you there?")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_case_is_found_by_its_number(sale: Sale) -> None:
    case_id = await sale.open()
    number = (await sale.case(case_id))["number"]
    for text in (number, number[:9].lower(), str(case_id), str(sale.order_id)):
        found = await console.find(sale.db, sale.support, text)
        assert f"/console/cases/{case_id}" in {f.href for f in found}
    assert not [f for f in await console.find(sale.db, sale.support, "CAS-0000-0000") if f.kind == "case"]
