"""Every state, every side, every act: what passes and what is refused, against a table written by hand."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from fondaco import cases
from fondaco.cases import Acting
from fondaco.cases.model import MAY, STATES, CaseNotNow
from fondaco.core.db import Database
from fondaco.core.problem import NotFound
from fondaco.core.web import Parts
from fondaco.integrations.blobs import Blobs
from fondaco.settings import Settings
from tests.cases.steps import Sale, bring, make_sale

# B buyer, S seller, T staff: who may do it, by state. NEEDS_RESPONSE waits for the seller, an offer is open
# in every state that can have one, WON went against the buyer and LOST against the seller.
TABLE = """
             OPEN UNDER_REVIEW NEEDS_RESPONSE WON LOST CLOSED
write        BST  BST          BST            -   -    -
attach       BST  BST          BST            BST BST  -
withdraw     B    B            B              -   -    -
answer       -    -            S              -   -    -
offer        S    S            S              -   -    -
take_back    S    S            S              -   -    -
accept       B    B            B              -   -    -
decline      B    B            B              -   -    -
take         T    T            T              -   -    -
ask          -    T            -              -   -    -
decide       -    T            T              -   -    -
appeal       -    -            -              B   S    -
close        -    -            -              T   T    -
note         T    T            T              T   T    T
"""
SIDES = {"B": "buyer", "S": "seller", "T": "staff"}


def allowed() -> set[tuple[str, str, str]]:
    """(act, side, state) of the table."""
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return {
        (act, SIDES[letter], state)
        for act, *cells in rows
        for state, cell in zip(head, cells, strict=True)
        for letter in cell.replace("-", "")
    }


def acts(sale: Sale, blobs: Blobs, case_id: UUID, by: Acting) -> dict[str, Callable[[], Awaitable[object]]]:
    """Each act as that side would ask for it; a side that has no verb for an act asks with its own eyes."""
    db, who = sale.db, by.viewer
    text = "Words enough."
    return {
        "write": lambda: cases.write(db, by, case_id, text),
        "attach": lambda: cases.attach(db, blobs, by, case_id, name="a.txt", body=b"a text"),
        "withdraw": lambda: cases.withdraw(db, who, case_id),
        "answer": lambda: cases.answer(db, by, case_id, text),
        "offer": lambda: cases.offer(db, who, case_id, amount=5, text=text),
        "take_back": lambda: cases.take_back_offer(db, who, case_id),
        "accept": lambda: cases.accept_offer(db, who, case_id),
        "decline": lambda: cases.decline_offer(db, who, case_id),
        "take": lambda: cases.take(db, who, case_id),
        "ask": lambda: cases.ask(db, who, case_id, party="buyer", text=text),
        "decide": lambda: cases.decide(db, who, case_id, outcome="SELLER", text=text),
        "appeal": lambda: cases.appeal(db, by, case_id, text),
        "close": lambda: cases.close(db, who, case_id, text=text),
        "note": lambda: cases.note(db, who, case_id, text),
    }


async def case_in(db: Database, settings: Settings, state: str) -> tuple[Sale, UUID]:
    """A fresh case in that state, with an open offer where there can be one."""
    sale = await make_sale(db, settings)
    case_id = await sale.open()
    await bring(sale, case_id, state)
    if state in ("OPEN", "UNDER_REVIEW", "NEEDS_RESPONSE"):
        await cases.offer(db, sale.shop.owner, case_id, amount=7, text="Take this.")
    return sale, case_id


@pytest.mark.parametrize("state", STATES)
async def test_every_act_by_every_side(db: Database, settings: Settings, parts: Parts, state: str) -> None:
    table = allowed()
    tried, wrong = 0, list[str]()
    sale, case_id = await case_in(db, settings, state)
    for act in MAY:
        for side in ("buyer", "seller", "staff"):
            by = {"buyer": sale.as_buyer, "seller": sale.as_seller, "staff": sale.as_staff}[side]
            before = await sale.case(case_id)
            try:
                await acts(sale, parts.get(Blobs), case_id, by)[act]()
            except (NotFound, CaseNotNow):
                passed = False
            else:
                passed = True
            tried += 1
            if passed != ((act, side, state) in table):
                wrong.append(f"{side} {act} in {state}: {'passed' if passed else 'refused'}")
            if passed:
                sale, case_id = await case_in(db, settings, state)
            elif await sale.case(case_id) != before:
                wrong.append(f"{side} {act} in {state}: refused, but something changed")
    assert not wrong, "\n".join(wrong)
    assert tried == len(MAY) * 3


def test_the_table_names_every_act() -> None:
    assert {act for act, _, _ in allowed()} == set(MAY)


@pytest.mark.parametrize("state", STATES)
async def test_a_stranger_finds_nothing(db: Database, settings: Settings, parts: Parts, state: str) -> None:
    sale, case_id = await case_in(db, settings, state)
    other = await make_sale(db, settings)
    for by in (other.as_buyer, other.as_seller, Acting("staff", other.buyer)):
        with pytest.raises(NotFound):
            await cases.read_case(db, by, case_id)
        for act, verb in acts(sale, parts.get(Blobs), case_id, by).items():
            with pytest.raises(NotFound):
                await verb()
            assert act
