"""Runs against the sandbox: what agrees is matched to the cent, what differs is a break and stops payouts."""

import asyncio
import base64
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fondaco import reconciliation, wallets
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Invalid
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import platform, post
from fondaco.reconciliation import Break, BreakChanged, RunUnderWay, breaks, running
from tests.support.money import Till, make_buyer, make_staff

CURSORS = Cursors(b"k" * 32)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for being on its way."""
    monkeypatch.setattr(breaks, "GRACE", timedelta(0))


async def compare(till: Till) -> list[Break]:
    """A run; the breaks that are not resolved after it."""
    run_id = await reconciliation.begin(till.db, "clock", until=now() + timedelta(seconds=2))
    assert await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    finance = await make_staff(till.db, "finance")
    found = await reconciliation.list_breaks(till.db, finance, CURSORS, states=["OPEN", "EXPLAINED"])
    return list(found.items)


async def stopped(till: Till) -> str | None:
    words: str | None = await till.db.fetchval(SYSTEM, "SELECT payouts.stopped()")
    return words


async def refund(till: Till, funding_id: UUID, amount: int) -> None:
    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, funding_id, amount, reason="test", actor="system")

    await till.db.run(SYSTEM, work)
    await till.work()


async def some_trade(till: Till) -> None:
    """Two charges with their fees and a refund."""
    buyer = await make_buyer(till.db)
    funding = await till.paid_top_up(buyer, 2500)
    await till.paid_top_up(buyer, 4200)
    await refund(till, funding.id, 1000)


async def test_what_agrees_is_matched_to_the_cent(till: Till) -> None:
    await some_trade(till)
    assert await compare(till) == []
    rows = await till.db.fetch(SYSTEM, "SELECT * FROM reconciliation.movement")
    assert len(rows) == 3
    assert all(r["journal_id"] and (r["fee"] == 0 or r["fee_journal_id"]) for r in rows)
    unmatched = await till.db.fetchval(
        SYSTEM,
        """SELECT count(DISTINCT e.journal_id)
           FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
           WHERE a.kind = 'psp_clearing' AND NOT EXISTS (SELECT 1 FROM reconciliation.movement m
             WHERE e.journal_id IN (m.journal_id, m.fee_journal_id))""",
    )
    assert unmatched == 0
    assert await stopped(till) is None
    assert await compare(till) == [], "once more changes nothing"
    assert await till.db.fetchval(SYSTEM, "SELECT sum(n) FROM reconciliation.total") == 3


async def test_money_we_did_not_book_stops_payouts_until_it_is_booked(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer, 2500)
    assert funding.session_id
    till.sandbox.pay(funding.session_id)
    [found] = await compare(till)
    assert (found.class_, found.currency) == ("missing_here", "EUR") and 0 < found.amount < 2500
    assert "1 unexplained" in str(await stopped(till))
    await till.deliver_all()
    assert await compare(till) == []
    assert await stopped(till) is None


async def test_a_journal_without_a_movement_is_a_break_and_can_be_explained(till: Till) -> None:
    await some_trade(till)

    async def work(conn: Connection) -> None:
        legs = [(platform("psp_clearing", "EUR"), 77), (platform("suspense", "EUR"), -77)]
        await post(conn, "suspense", idem="suspense:pi_nothing", ref="payment:x", actor="system", legs=legs)

    await till.db.run(SYSTEM, work)
    [found] = await compare(till)
    assert (found.class_, found.amount) == ("missing_there", -77)
    finance = await make_staff(till.db, "finance")
    with pytest.raises(Invalid):
        await reconciliation.explain(till.db, finance, found.id, found.version, " ")
    with pytest.raises(BreakChanged):
        await reconciliation.explain(till.db, finance, found.id, found.version + 1, "known")
    await reconciliation.explain(till.db, finance, found.id, found.version, "Paid by hand, see the letter.")
    assert await stopped(till) is None
    [still] = await compare(till)
    assert still.state == "EXPLAINED" and still.reason == "Paid by hand, see the letter."
    await reconciliation.reopen(till.db, finance, still.id, still.version)
    assert await stopped(till)


async def test_another_amount_is_told_as_such(till: Till, owner: asyncpg.Connection) -> None:
    await some_trade(till)
    await owner.execute("ALTER TABLE ledger.entry DISABLE TRIGGER append_only")
    await owner.execute(
        """UPDATE ledger.entry e SET amount = e.amount + 1 FROM ledger.journal j, ledger.account a
           WHERE j.id = e.journal_id AND j.kind = 'refund_done' AND a.id = e.account_id
             AND a.kind = 'psp_clearing'"""
    )
    found = await compare(till)
    assert sorted(b.class_ for b in found) == ["missing_there", "other_amount"]


async def test_a_movement_nobody_listed_shows_in_the_balance(till: Till, owner: asyncpg.Connection) -> None:
    await some_trade(till)
    assert await compare(till) == []
    await owner.execute("UPDATE reconciliation.total SET net = net - 300")
    [found] = await compare(till)
    assert (found.class_, found.place, found.amount) == ("balance", "balance:EUR", 300)


async def test_one_run_at_a_time_and_a_lost_one_goes_on(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    await some_trade(till)
    monkeypatch.setattr(running, "AT_ONCE", 1)
    run_id = await reconciliation.begin(till.db, "clock", until=now() + timedelta(seconds=2))
    with pytest.raises(RunUnderWay):
        await reconciliation.begin(till.db, "user:x")
    keep = running._keep
    kept = 0

    async def dies(*args: object, **named: object) -> None:
        nonlocal kept
        if kept == 2:
            raise asyncio.CancelledError
        kept += 1
        await keep(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "_keep", dies)
    with pytest.raises(asyncio.CancelledError):
        await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    monkeypatch.setattr(running, "_keep", keep)
    await till.db.execute(SYSTEM, "UPDATE reconciliation.run SET beat_at = beat_at - interval '1 hour'")
    again = await asyncio.gather(
        *(reconciliation.begin(till.db, "clock") for _ in range(4)), return_exceptions=True
    )
    assert [r for r in again if not isinstance(r, RunUnderWay)] == [run_id]
    assert await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    row = await till.db.fetchrow(SYSTEM, "SELECT * FROM reconciliation.run WHERE id = $1", run_id)
    assert row and (row["seen"], row["matched"], row["breaks"], row["state"]) == (3, 3, 0, "DONE")


async def test_a_silent_provider_breaks_the_run_off(till: Till) -> None:
    await some_trade(till)
    nobody = till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"})
    run_id = await reconciliation.begin(till.db, "clock")
    assert not await reconciliation.run(till.db, StripeGateway(nobody, retries=0), till.settings, run_id)
    row = await till.db.fetchrow(SYSTEM, "SELECT state, doing FROM reconciliation.run WHERE id = $1", run_id)
    assert row and row["state"] == "BROKEN_OFF" and "did not answer" in row["doing"]


async def test_the_report_is_signed_and_says_what_was_found(till: Till) -> None:
    await some_trade(till)
    await compare(till)
    finance = await make_staff(till.db, "finance")
    [run] = (await reconciliation.list_runs(till.db, finance, CURSORS)).items
    report, signature, _ = await reconciliation.read_report(till.db, finance, run.id)
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(till.settings.signing_key.get_secret_value()))
    public = key.public_key().public_bytes_raw()
    assert reconciliation.is_signed(report, signature, public)
    assert not reconciliation.is_signed(report.replace("1", "2", 1), signature, public)
    told = msgspec.json.decode(report)
    assert told["movements"] == told["matched"] == 3 and told["breaks"] == []
    assert told["provider"] == told["books"] == {"EUR": told["movements_seen"]["EUR"]["sum"]}


async def test_what_was_told_never_changes(till: Till, owner: asyncpg.Connection) -> None:
    await some_trade(till)
    await compare(till)
    for sql in (
        "UPDATE reconciliation.movement SET amount = amount + 1, net = net + 1",
        "UPDATE reconciliation.movement SET journal_id = NULL",
        "DELETE FROM reconciliation.movement",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await owner.execute(sql)
