"""Papers: numbered without a gap, never changed, and the same to the cent as JSON, PDF and CSV."""

import asyncio
import csv
import io
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pypdf import PdfReader

from fondaco import audit, checks, payouts, refunds
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.money import Money
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.ledger import platform, post, seller_available_of, seller_pending_of
from fondaco.orders.combiner import Combiner
from fondaco.orders.commission_tax import set_commission_tax
from fondaco.settings import Settings
from fondaco.statements import (
    Content,
    DoesNotAddUp,
    Draft,
    Kind,
    Month,
    PaperLine,
    as_csv,
    as_pdf,
    issue,
    own_paper,
    own_papers,
    papers_of_order,
    store_paper,
    store_papers,
    wrong_papers,
)
from fondaco.statements.jobs import close_month, read_events
from fondaco.statements.sellers import statement
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.payouts import paid_shop
from tests.support.shop import Shop, make_shop, purchase

CURSORS = Cursors(b"k" * 32)


def draft(owner: UUID, ref: str, amount: int = 100, **changes: object) -> Draft:
    line = PaperLine("A key", "1 x", [amount])
    values: dict[str, object] = {
        "kind": Kind.INVOICE,
        "ref": ref,
        "owner": owner,
        "to_seller": False,
        "issuer": "Store (DE)",
        "receiver": "Somebody",
        "currency": "EUR",
        "columns": ["Amount"],
        "lines": [line],
        "totals": [PaperLine("Total", "", [amount])],
    }
    return Draft(**(values | changes))  # type: ignore[arg-type]


async def issue_one(db: Database, one: Draft) -> None:
    async def work(conn: Connection) -> None:
        await issue(conn, [one])

    await db.run(SYSTEM, work)


async def numbers(db: Database) -> list[str]:
    rows = await db.fetch(SYSTEM, "SELECT number FROM statements.paper ORDER BY series, seq")
    return [row["number"] for row in rows]


async def bought(db: Database, shop: Shop, quantity: int = 1) -> tuple[Viewer, UUID]:
    """Somebody buys; the buyer and the order's id."""
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    done = await Combiner(db).buy(purchase(buyer, shop.wish(quantity)))
    order: UUID = await db.fetchval(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", done.group_id)
    return buyer, order


async def test_numbers_have_no_gap_whoever_fails_meanwhile(db: Database) -> None:
    buyer = await make_buyer(db)
    start = asyncio.Barrier(12)

    async def one(i: int) -> None:
        await start.wait()
        try:
            async with db.transaction(SYSTEM) as conn:
                await issue(conn, [draft(buyer.user(), f"order:{i}-{n}") for n in range(3)])
                if i % 3 == 0:
                    raise RuntimeError("this one does not happen")
        except RuntimeError:
            pass

    await asyncio.gather(*(one(i) for i in range(12)))
    year = datetime.now(UTC).year
    assert await numbers(db) == [f"INV-{year}-{i:06d}" for i in range(1, 25)]


async def test_the_same_paper_is_issued_once(db: Database) -> None:
    buyer = await make_buyer(db)
    start = asyncio.Barrier(8)

    async def one() -> None:
        await start.wait()
        await issue_one(db, draft(buyer.user(), "order:one"))

    await asyncio.gather(*(one() for _ in range(8)))
    assert len(await numbers(db)) == 1


async def test_a_number_without_its_paper_cannot_be_kept(db: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="do not all stand on papers"):
        await db.execute(SYSTEM, "SELECT statements.draw('INV-2030', 1)")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM statements.series") == 0


async def test_a_paper_never_changes_also_for_the_owner(db: Database, owner: asyncpg.Connection) -> None:
    buyer = await make_buyer(db)
    await issue_one(db, draft(buyer.user(), "order:one"))
    for sql in (
        "UPDATE statements.paper SET total = 1",
        "DELETE FROM statements.paper",
        "TRUNCATE statements.paper",
        "DELETE FROM statements.series",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"append-only|never"):
            await owner.execute(sql)


async def test_a_paper_that_does_not_add_up_is_not_issued(db: Database) -> None:
    buyer = await make_buyer(db)
    with pytest.raises(DoesNotAddUp):
        await issue_one(db, draft(buyer.user(), "order:one", totals=[PaperLine("Total", "", [99])]))
    assert await numbers(db) == []


async def test_an_order_gets_its_invoice_which_only_its_buyer_reads(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer, order = await bought(db, shop, 2)
    await read_events(Parts(db, settings))
    [row] = (await own_papers(db, buyer, CURSORS)).items
    assert (row.kind, row.total, row.currency, row.order_id) == ("invoice", 3998, "EUR", order)
    assert [p.id for p in await papers_of_order(db, buyer, order)] == [row.id]
    paper = await own_paper(db, buyer, row.id)
    assert paper.content.lines[0].amounts == [0, 3998]
    stranger = await make_buyer(db)
    for viewer in (stranger, shop.owner):
        with pytest.raises(NotFound):
            await own_paper(db, viewer, row.id)
    with pytest.raises(NotFound):
        await store_paper(db, shop.owner, row.id)
    await read_events(Parts(db, settings))
    assert len(await numbers(db)) == 1


@pytest.mark.parametrize("tax", [0, 75])
async def test_a_month_is_closed_once_and_its_statement_is_the_ledger(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, tax: int
) -> None:
    """`tax`: 19 % of the commission, rounded down, when the store's country has such a rate."""
    if tax:
        staff = await make_staff(db, "finance")
        await set_commission_tax(db, staff, country="DE", bps=1900, reason="the law says so")
    shop = await make_shop(db, price=1999, stock=3)
    _, order = await bought(db, shop, 2)
    lines = [r["id"] for r in await db.fetch(SYSTEM, "SELECT id FROM orders.order_line")]
    await db.fetchval(SYSTEM, "SELECT orders.release($1, 'system')", lines)
    after = Month.before(datetime.now(UTC)).end.replace(day=1)
    following = datetime(after.year + after.month // 12, after.month % 12 + 1, 2, tzinfo=UTC)
    monkeypatch.setattr("fondaco.statements.jobs.now", lambda: following)
    month = str(Month.before(following))
    assert await asyncio.gather(*(close_month(Parts(db, settings)) for _ in range(3))) != [None] * 3
    assert await close_month(Parts(db, settings)) is None
    papers = {p.kind: p for p in (await store_papers(db, shop.owner, CURSORS)).items}
    assert set(papers) == {"statement", "commission_invoice"}
    assert {p.period for p in papers.values()} == {month}
    assert papers["commission_invoice"].total == 399 + tax
    invoice = await store_paper(db, shop.owner, papers["commission_invoice"].id)
    assert invoice.content.lines[0].amounts == ([399, tax, 399 + tax] if tax else [399])
    told = await store_paper(db, shop.owner, papers["statement"].id)
    assert told.content.totals[-1].amounts == [3998 - 399 - tax, 0, 0, 0, 3998 - 399 - tax]
    number = await db.fetchval(SYSTEM, "SELECT number FROM orders.orders WHERE id = $1", order)
    assert [line.text for line in told.content.lines] == ["Sale released"]
    assert number in told.content.lines[0].detail
    with pytest.raises(NotFound):
        await store_paper(db, (await make_shop(db)).owner, told.id)


async def test_debt_lowers_the_balance_of_a_statement(db: Database, settings: Settings) -> None:
    shop = await make_shop(db)

    async def work(conn: Connection) -> Draft | None:
        store = await conn.fetchrow(
            "SELECT id, name, country FROM sellers.seller WHERE id = $1", shop.seller_id
        )
        assert store
        pending, available = (f(shop.seller_id, "EUR") for f in (seller_pending_of, seller_available_of))
        debt = type(pending)("seller_receivable", pending.owner, "EUR")
        wallet = type(pending)("wallet", f"user:{uuid4()}", "EUR")
        legs = [(debt, 300), (wallet, -300)]
        await post(conn, "refund_released", idem="refund:1", ref="order:x", actor="system", legs=legs)
        legs = [(platform("goodwill", "EUR"), 1000), (available, -1000)]
        await post(conn, "goodwill", idem="g:1", ref="x", actor="system", legs=legs)
        today = datetime.now(UTC)
        return await statement(conn, settings, store, "EUR", Month(today.year, today.month))

    found = await db.run(SYSTEM, work)
    assert found
    assert found.totals[-1].amounts == [0, 1000, 0, 300, 700]


async def test_what_somebody_changed_behind_our_back_is_found(
    db: Database, owner: asyncpg.Connection
) -> None:
    buyer = await make_buyer(db)
    await issue_one(db, draft(buyer.user(), "order:one"))
    async with db.transaction(SYSTEM) as conn:
        assert (await wrong_papers(conn, None, 10))[0] == []
    await owner.execute("ALTER TABLE statements.paper DISABLE TRIGGER append_only")
    await owner.execute("UPDATE statements.paper SET total = total + 1")
    async with db.transaction(SYSTEM) as conn:
        faults, last = await wrong_papers(conn, None, 10)
        assert len(faults) == 1 and last
        assert (await wrong_papers(conn, last, 10)) == ([], None)


AMOUNTS = st.integers(-(10**12), 10**12)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    width = draw(st.integers(1, 5))
    row = st.lists(AMOUNTS, min_size=width, max_size=width)
    text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=60)
    rows = [PaperLine(draw(text), draw(text), amounts) for amounts in draw(st.lists(row, max_size=60))]
    total = [sum(line.amounts[i] for line in rows) for i in range(width)]
    return Content(
        kind="statement",
        number="STM-2030-000001",
        title="Statement",
        issued_at=datetime(2030, 1, 1, tzinfo=UTC),
        issuer="fondaco",
        receiver=draw(text),
        currency=draw(st.sampled_from(["EUR", "JPY", "KWD"])),
        facts=[("Month", "2029-12")],
        columns=[f"Column {i}" for i in range(width)],
        opening=rows[:1],
        lines=rows[1:],
        totals=[PaperLine("Total", "", total)],
    )


@effort(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contents())
def test_pdf_and_csv_say_what_the_json_says(content: Content) -> None:
    assert content.adds_up()
    pdf = as_pdf(content)
    assert pdf == as_pdf(content), "the same bytes"
    written = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    for line in (*content.opening, *content.lines, *content.totals):
        for amount in line.amounts:
            assert str(Money(amount, content.currency)) in written
    rows = list(csv.DictReader(io.StringIO(as_csv(content))))
    assert [r["part"] for r in rows] == ["opening"] * len(content.opening) + ["line"] * len(content.lines) + [
        "total"
    ]
    for row, line in zip(rows, (*content.opening, *content.lines, *content.totals), strict=True):
        shown = [f"{Money(a, content.currency).decimal():f}" for a in line.amounts]
        assert [row[c] for c in content.columns] == shown
        assert row["currency"] == content.currency


async def test_a_refund_gets_its_credit_note(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer, order = await bought(db, shop, 2)
    await read_events(Parts(db, settings))
    line: UUID = await db.fetchval(SYSTEM, "SELECT id FROM orders.order_line")

    async def work(conn: Connection) -> None:
        for amount in (500, 250):
            why = "a part of it"
            await refunds.refund_line(
                conn, line, amount, reason="goodwill", why=why, actor="system", keep=True
            )

    await db.run(SYSTEM, work)
    await read_events(Parts(db, settings))
    found = (await own_papers(db, buyer, CURSORS, kinds=["credit_note"])).items
    assert sorted(p.total for p in found) == [250, 500]
    paper = await own_paper(db, buyer, found[0].id)
    invoice = (await own_papers(db, buyer, CURSORS, kinds=["invoice"])).items[0]
    assert ("Invoice", invoice.number) in paper.content.facts and paper.content.receiver.endswith(buyer.email)
    assert [p.kind for p in await papers_of_order(db, buyer, order)] == [
        "invoice",
        "credit_note",
        "credit_note",
    ]


async def test_a_payout_gets_its_statement_with_its_sales(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner, lines=3, price=1000)
    payout_id = uuid4()
    await payouts.withdraw(db, settings, shop.owner, payout_id, amount=2000, currency="EUR")
    for state in ("SENDING", "SENT"):
        await owner.execute(
            "UPDATE payouts.payout SET state = $2, transfer_id = 'tr_1', sent_at = now() WHERE id = $1",
            payout_id,
            state,
        )

    async def told(conn: Connection) -> None:
        await audit.record(conn, "payout.sent", f"payout:{payout_id}", "stripe", {})

    await db.run(SYSTEM, told)
    await read_events(Parts(db, settings))
    [row] = (await store_papers(db, shop.owner, CURSORS, kinds=["payout_statement"])).items
    paper = await store_paper(db, shop.owner, row.id)
    assert [line.amounts for line in paper.content.lines] == [[900], [900], [200]]
    assert paper.content.totals[-1].amounts == [2000] and ("Transfer", "tr_1") in paper.content.facts


async def test_verify_names_a_paper_that_is_not_what_it_was(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    await bought(db, shop)
    await read_events(Parts(db, settings))

    async def told() -> list[str]:
        return sorted({f.check for f in await checks.verify_all(db, settings) if f.check == "I37"})

    assert await told() == []
    await owner.execute("ALTER TABLE statements.paper DISABLE TRIGGER append_only")
    await owner.execute("UPDATE statements.paper SET total = total + 1")
    found = [f for f in await checks.verify_all(db, settings) if f.check == "I37"]
    assert len(found) == 2, "neither its content nor its order says so"
    await owner.execute("UPDATE statements.paper SET total = total - 1")
    assert await told() == []
    await owner.execute("ALTER TABLE statements.series DISABLE TRIGGER without_gap")
    await owner.execute("UPDATE statements.series SET last = last + 1")
    assert await told() == ["I37"]
