"""Evidence: what is kept, that nobody can change it, and that the pack is checked by a program of its own."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import asyncpg
import pytest
from pypdf import PdfReader

from fondaco import cases, delivery
from fondaco.cases import verify_evidence
from fondaco.cases.evidence import canonical, plain
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.orders import Combiner, Wish
from fondaco.vault import Vault
from tests.cases.steps import Sale, bring
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money
from tests.support.people import make_seller
from tests.support.shop import purchase

CODE = "CANARY-EVID-ENCE-0001"


async def made(sale: Sale, side: str = "staff") -> cases.Pack:
    case_id = await sale.open()
    await cases.write(sale.db, sale.as_seller, case_id, "We sold a good key. Ünïcode: 漢字, “quotes”.")
    await bring(sale, case_id, "LOST")
    by = {"staff": sale.as_staff, "buyer": sale.as_buyer, "seller": sale.as_seller}[side]
    return await cases.pack_for(sale.db, sale.settings, by, case_id)


def checked(
    tmp_path: Path, body: bytes, key: str = "", name: str = "pack"
) -> subprocess.CompletedProcess[str]:
    """The verifier as somebody runs it who has no fondaco: a file of its own, no path to ours."""
    program, pack = tmp_path / "verify_evidence.py", tmp_path / name
    program.write_bytes(cases.verifier())
    pack.write_bytes(body)
    return subprocess.run(
        [sys.executable, "-I", str(program), str(pack), *([key] if key else [])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ.get("PATH", "")},
    )


def test_the_verifier_needs_only_cryptography() -> None:
    text = cases.verifier().decode()
    assert "import fondaco" not in text
    assert "from fondaco" not in text
    lines = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    other = {name.split(".")[0] for name in lines} - set(sys.stdlib_module_names)
    assert other == {"cryptography"}


async def test_what_is_so_is_kept_and_no_code(db: Database, parts: Parts, sale: Sale) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, description="Works everywhere.")
    await add_keys(db, parts.get(Vault), seller, listing, [CODE])
    await give_money(db, sale.buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(sale.buyer, Wish(listing.id, 1, listing.price)))
    row = await db.fetchrow(
        SYSTEM,
        """SELECT e.id, e.order_id FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id
           WHERE o.group_id = $1""",
        bought.group_id,
    )
    assert row
    await delivery.reveal(db, parts.get(Vault), sale.buyer, row["id"])
    case_id = await cases.open_case(
        db, sale.settings, sale.buyer, row["order_id"], reason="ALREADY_USED", text="It was used before."
    )
    kept = await db.fetchval(
        SYSTEM,
        "SELECT s.body FROM cases.snapshot s JOIN cases.case c ON c.snapshot_id = s.id WHERE c.id = $1",
        case_id,
    )
    assert CODE.encode() not in kept
    snapshot = json.loads(kept)
    assert canonical(snapshot) == kept
    [order] = snapshot["orders"]
    [line] = order["lines"]
    assert line["listing_now"]["description"] == "Works everywhere."
    assert line["terms"]["title"] == listing.title
    assert line["escrow_state"] == "HELD"  # as it was before the freeze
    assert len(line["deliveries"][0]["reveals"]) == 1
    assert [j["kind"] for j in order["journals"]] == ["purchase"]
    assert snapshot["policy"]["text"].startswith("A buyer may open a case")


@pytest.mark.parametrize("side", ["staff", "buyer", "seller"])
async def test_a_pack_is_checked_by_a_program_of_its_own(sale: Sale, tmp_path: Path, side: str) -> None:
    pack = await made(sale, side)
    key = cases.public_key(cases.signing_key(sale.settings))
    for body in (pack.json, await cases.pack_pdf(sale.settings, pack)):
        good = checked(tmp_path, body, key)
        assert (good.returncode, good.stderr) == (0, "")
        assert good.stdout.startswith("VALID.")
        assert "Whose key" in checked(tmp_path, body).stdout
        foreign = base64.b64encode(os.urandom(32)).decode()
        assert checked(tmp_path, body, foreign).returncode == 1


async def test_the_same_facts_give_the_same_bytes(sale: Sale) -> None:
    pack = await made(sale)
    case_id = await sale.db.fetchval(SYSTEM, "SELECT id FROM cases.case")
    again = await cases.pack_for(sale.db, sale.settings, sale.as_staff, case_id)
    assert again.json == pack.json
    pdf = await cases.pack_pdf(sale.settings, pack)
    assert await cases.pack_pdf(sale.settings, again) == pdf
    text = "".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    assert pack.sha256 in text.replace("\n", "")


async def test_every_change_shows(sale: Sale, tmp_path: Path) -> None:
    pack = await made(sale)
    whole = json.loads(pack.json)
    spoilt: list[bytes] = []
    for path in (
        ("case", "outcome"),
        ("snapshot", "taken_at"),
        ("audience",),
        ("case", "messages", 0, "body"),
    ):
        copy = json.loads(pack.json)
        at = copy["facts"]
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = "CHANGED"
        copy["sha256"] = hashlib.sha256(canonical(copy["facts"])).hexdigest()
        spoilt.append(canonical(copy))
    spoilt += [
        canonical({**whole, "sha256": "0" * 64}),
        json.dumps(whole, indent=1).encode(),
        pack.json.replace(b"audience", b"audienze"),
    ]
    pdf = await cases.pack_pdf(sale.settings, pack)
    body = bytearray(pdf)
    for place in range(100, len(pdf), len(pdf) // 12):
        changed = bytearray(body)
        changed[place] ^= 1
        spoilt.append(bytes(changed))
    spoilt.append(pdf[: pdf.rindex(b"%fondaco")])
    for one in spoilt:
        with pytest.raises((verify_evidence.Broken, verify_evidence.Unreadable)):
            verify_evidence.check(one)
    assert checked(tmp_path, spoilt[0]).returncode == 1
    assert checked(tmp_path, b"no pack").returncode == 2
    assert checked(tmp_path, b'{"facts": 1}').returncode == 2
    assert verify_evidence.check(pack.json)


async def test_each_side_gets_no_more_than_is_theirs(sale: Sale) -> None:
    pack = await made(sale, "seller")
    assert sale.buyer.email.encode() not in pack.json
    assert b"user_agent" not in pack.json
    case_id = await sale.db.fetchval(SYSTEM, "SELECT id FROM cases.case")
    await cases.note(sale.db, sale.support, case_id, "Between us: doubtful.")
    for by in (sale.as_seller, sale.as_buyer, sale.as_staff):
        other = await cases.pack_for(sale.db, sale.settings, by, case_id)
        assert b"Between us" not in other.json
    mine = await cases.pack_for(sale.db, sale.settings, sale.as_buyer, case_id)
    assert sale.buyer.email.encode() in mine.json
    assert b"commission" not in mine.json


async def test_a_snapshot_alone_can_be_packed_with_more_facts(sale: Sale, tmp_path: Path) -> None:
    async with sale.db.transaction(SYSTEM) as conn:
        snapshot_id = await cases.snapshot(conn, order_ids=[sale.order_id], why="chargeback")
        pack = await cases.pack(
            conn, sale.settings, snapshot_id=snapshot_id, extra={"dispute": "dp_1", "due": now(), "amount": 5}
        )
    assert checked(tmp_path, pack.json).returncode == 0
    assert checked(tmp_path, await cases.pack_pdf(sale.settings, pack)).returncode == 0
    assert pack.facts["extra"]["dispute"] == "dp_1"


async def test_a_changed_snapshot_is_refused_by_the_database(sale: Sale, owner: asyncpg.Connection) -> None:
    await sale.open()
    await owner.execute("ALTER TABLE cases.snapshot DISABLE TRIGGER USER")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE cases.snapshot SET body = body || '\\x20'::bytea")


def test_moments_and_bytes_are_written_one_way() -> None:
    assert plain({"b": b"\x01", "a": (1, None)}) == {"b": "01", "a": [1, None]}
    assert canonical({"b": "ü", "a": 1}) == '{"a":1,"b":"ü"}'.encode()
