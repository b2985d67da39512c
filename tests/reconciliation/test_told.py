"""What people hear of a run: a mail about what is new, checks that name it, and the command."""

import json
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from fondaco import checks, reconciliation
from fondaco.api.metrics import render
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM
from fondaco.core.web import Parts
from fondaco.doctor import check_reconciliation
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import platform, post
from fondaco.notifications.jobs import read_events
from fondaco.reconciliation import breaks
from fondaco.up import reconcile as command
from tests.support.money import Till, make_buyer, make_staff


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for being on its way."""
    monkeypatch.setattr(breaks, "GRACE", timedelta(0))


async def compare(till: Till) -> None:
    run_id = await reconciliation.begin(till.db, "clock", until=now() + timedelta(seconds=2))
    await reconciliation.run(till.db, till.gateway, till.settings, run_id)


def moved(till: Till, amount: int) -> None:
    till.sandbox.post("/sandbox/movement", amount=amount, currency="eur", type="adjustment", description="")


async def letters(till: Till, parts: Parts) -> list[str]:
    await read_events(parts)
    rows = await till.db.fetch(
        SYSTEM,
        "SELECT plain FROM notifications.mail WHERE template = 'books_differ' ORDER BY created_at, id",
    )
    return [row["plain"] for row in rows]


async def test_finance_hears_once_of_what_is_new(till: Till, parts: Parts) -> None:
    await make_staff(till.db, "finance")
    await make_staff(till.db, "support")
    await till.paid_top_up(await make_buyer(till.db), 2500)
    await compare(till)
    assert await letters(till, parts) == []
    moved(till, -250)
    await compare(till)
    [one] = await letters(till, parts)
    assert "No payout leaves" in one and "2.50" in one
    await compare(till)
    assert len(await letters(till, parts)) == 1
    moved(till, -300)
    await compare(till)
    assert len(await letters(till, parts)) == 2


async def test_finance_hears_of_a_run_that_broke_off(till: Till, parts: Parts) -> None:
    await make_staff(till.db, "finance")
    nobody = till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"})
    run_id = await reconciliation.begin(till.db, "clock")
    await reconciliation.run(till.db, StripeGateway(nobody, retries=0), till.settings, run_id)
    [one] = await letters(till, parts)
    assert "did not answer" in one


async def found(till: Till) -> list[str]:
    return [str(f) for f in await checks.verify_all(till.db, till.settings) if f.check in ("I16", "I17")]


async def test_checks_name_what_is_unexplained_or_not_compared(till: Till, owner: asyncpg.Connection) -> None:
    await till.paid_top_up(await make_buyer(till.db), 2500)
    await compare(till)
    assert await found(till) == []
    moved(till, -250)
    await compare(till)
    [one] = await found(till)
    assert "nobody has explained it" in one
    finance = await make_staff(till.db, "finance")
    row = await till.db.fetchrow(SYSTEM, "SELECT id, version FROM reconciliation.break")
    assert row
    await reconciliation.explain(till.db, finance, row["id"], row["version"], "It is all right")
    assert await found(till) == []
    await owner.execute("UPDATE reconciliation.run SET ended_at = now() - interval '27 hours'")
    [one] = await found(till)
    assert "more than 26 hours ago" in one


async def test_checks_name_pairs_and_sums_changed_by_hand(till: Till, owner: asyncpg.Connection) -> None:
    await till.paid_top_up(await make_buyer(till.db), 2500)
    await compare(till)
    await owner.execute("ALTER TABLE reconciliation.movement DISABLE TRIGGER stays")
    await owner.execute("UPDATE reconciliation.movement SET amount = amount + 1, fee = fee + 1")
    words = " ".join(await found(till))
    assert "is paired with journal" in words and "with a fee of" in words
    await owner.execute("UPDATE reconciliation.total SET net = net + 5")
    assert "the sum over them says" in " ".join(await found(till))


async def test_the_command_shows_what_differs_and_checks_a_kept_report(
    till: Till, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "load", lambda: till.settings)
    await till.paid_top_up(await make_buyer(till.db), 2500)
    assert await command.reconcile(None, None) in (0, 1)
    assert "movements read" in capsys.readouterr().out
    moved(till, -250)
    assert await command.reconcile(None, now() + timedelta(seconds=2), as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["open"][0]["amount"] == -250
    kept = tmp_path / "report.json"
    kept.write_text(json.dumps({k: told[k] for k in ("report", "signature", "key_id")}))
    assert command.check_report(kept) == 0
    kept.write_text(kept.read_text().replace("movements", "moments"))
    assert command.check_report(kept) == 1
    kept.write_text("nothing")
    assert command.check_report(kept) == 1
    run_id = await reconciliation.begin(till.db, "clock")
    assert run_id and await command.reconcile(None, None) == 2
    monkeypatch.setattr(
        command, "load", lambda: till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"})
    )
    await till.db.execute(SYSTEM, "UPDATE reconciliation.run SET beat_at = now() - interval '1 hour'")
    assert await command.reconcile(None, None) == 2


async def test_monitors_and_the_doctor_read_how_it_stands(till: Till, owner: asyncpg.Connection) -> None:
    async def figures() -> dict[str, float]:
        lines = (await render(till.db)).decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def doctor() -> tuple[str, str]:
        [found] = await check_reconciliation(till.settings)
        return found.state, found.words

    assert (await figures())["fondaco_reconciled_age_seconds"] == -1
    assert (await doctor())[0] == "note" and "was never done" in (await doctor())[1]
    await till.paid_top_up(await make_buyer(till.db), 2500)
    await compare(till)
    told = await figures()
    assert told["fondaco_breaks_open"] == told["fondaco_oldest_break_seconds"] == 0
    assert 0 <= told["fondaco_reconciled_age_seconds"] < 600
    assert (await doctor())[0] == "ok"
    await owner.execute("UPDATE reconciliation.run SET ended_at = now() - interval '30 hours'")
    assert (await doctor())[0] == "note" and "30 hours ago" in (await doctor())[1]
    moved(till, -250)
    await compare(till)
    await owner.execute("UPDATE reconciliation.break SET opened_at = now() - interval '50 hours'")
    told = await figures()
    assert told["fondaco_breaks_open"] == 1 and told["fondaco_oldest_break_seconds"] > 49 * 3600
    assert (await doctor())[0] == "fault" and "1 unexplained, the oldest for 2 days" in (await doctor())[1]


async def test_money_in_suspense_is_told(till: Till) -> None:
    async with till.db.transaction(SYSTEM) as conn:
        legs = [(platform("psp_clearing", "EUR"), 700), (platform("suspense", "EUR"), -700)]
        await post(conn, "suspense", idem="suspense:pi_lost", ref="suspense:pi_lost", actor="x", legs=legs)
    assert b'fondaco_suspense_minor_units{currency="EUR"} 700.0' in await render(till.db)
    [found] = await check_reconciliation(till.settings)
    assert found.state == "note" and "7.00" in found.words and "in suspense" in found.words
