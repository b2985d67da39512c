"""The judge: silent when all is well, and names each kind of loss and doubling."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from fondaco.chaos.judge import judge
from tests.chaos import steps
from tests.chaos.steps import perform
from tests.chaos.test_steps import Stage
from tests.support.money import Till

Lines = list[dict[str, Any]]


async def told(till: Till, owner: asyncpg.Connection) -> tuple[Lines, Lines, set[str]]:
    """A purchase from the wallet and its reveal: a client's records, the provider's truth, the keys."""
    scene = await Stage(till, owner).order("wallet")
    _, placed = await perform(till.settings, scene.step, scene.given)
    order = placed["order"]
    (entitlement,) = order["orders"][0]["lines"][0]["entitlements"]
    seen = {"buyer": order["buyer_id"], "entitlement": entitlement}
    secret = await perform(till.settings, steps.reveal, seen)
    await till.deliver_all()
    session = (await till.gateway.client.v1.checkout.sessions.list_async()).data[0].id
    buyer, path = order["buyer_id"], "/api/v1/orders"
    lines: Lines = [
        {"what": "asks", "buyer": buyer, "path": path, "key": "once"},
        {
            "what": "told", "buyer": buyer, "path": path, "key": "once", "status": 201, "group": order["id"],
            "total": order["total"], "delivered": [entitlement],
        },
        {"what": "code", **seen, "secret": secret},
        {"what": "pays", "buyer": buyer, "session": session, "paid": True},
    ]  # fmt: skip
    return lines, till.sandbox.truth(), {secret}


async def faults(till: Till, lines: Lines, truth: Lines, keys: set[str], folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "client.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return (await judge(till.db, till.settings, truth, folder, set(keys))).faults


def _change(what: str, **changes: Any) -> Callable[[Lines, Lines, set[str]], None]:
    def change(lines: Lines, truth: Lines, keys: set[str]) -> None:
        for line in lines:
            if line["what"] == what:
                line.update(changes)

    return change


def _provider(name: str, **changes: Any) -> Callable[[Lines, Lines, set[str]], None]:
    def change(lines: Lines, truth: Lines, keys: set[str]) -> None:
        for fact in truth:
            if fact["fact"] == name:
                fact.update(changes)

    return change


def _forgotten_payment(lines: Lines, truth: Lines, keys: set[str]) -> None:
    truth.append(next(f for f in truth if f["fact"] == "charge.succeeded") | {"payment_intent": "pi_other"})


def _seen_twice(lines: Lines, truth: Lines, keys: set[str]) -> None:
    code = next(line for line in lines if line["what"] == "code")
    lines.append(code | {"entitlement": str(UUID(int=1))})


def _elsewhere(name: str, **told: Any) -> Callable[[Lines, Lines, set[str]], None]:
    """The provider did something of which our books know nothing."""

    def change(lines: Lines, truth: Lines, keys: set[str]) -> None:
        truth.append({"fact": name, **told})

    return change


def _made(**told: Any) -> Callable[[Lines, Lines, set[str]], None]:
    """Somebody was told of something that is not there."""

    def change(lines: Lines, truth: Lines, keys: set[str]) -> None:
        lines.append({"what": "told", "status": 201, "buyer": "x", "key": "other", **told})

    return change


WRONG = {
    "transfer": (
        _elsewhere("transfer.created", transfer="tr_1", amount=5, metadata={"payout_id": "x"}),
        "transfer tr_1: the provider says 5, we None",
    ),
    "reversal": (
        _elsewhere("transfer.reversed", reversal="trr_1", reversed=5),
        "reversal trr_1: the provider says 5, we None",
    ),
    "dispute": (
        _elsewhere("dispute.created", dispute="dp_1", amount=5),
        "dispute dp_1: the provider says 5, we None",
    ),
    "refund by store": (
        _made(path="/api/v1/seller/order-lines/1/refund", id="r1", amount=5),
        "refunds by stores: r1 is None, its store was told 5",
    ),
    "withdrawal": (
        _made(path="/api/v1/seller/payouts", id="p1", amount=5),
        "withdrawals: p1 is None, its store was told 5",
    ),
    "gone": (_change("told", group=str(UUID(int=1))), "is not what its buyer was told"),
    "total": (_change("told", total=1), "is not what its buyer was told"),
    "not delivered": (_change("told", delivered=[str(UUID(int=1))]), "is not what its buyer was told"),
    "refused": (_change("told", status=409, code="sold_out"), "was refused"),
    "never asked": (_change("asks", key="another"), "was never asked for"),
    "another code": (_change("code", secret="OTHER"), "is not delivered to who saw it"),
    "another's code": (_change("code", buyer=str(UUID(int=1))), "is not delivered to who saw it"),
    "seen twice": (_seen_twice, "a code was shown for 2 deliveries"),
    "unsettled": (_change("pays", session="cs_other"), "is not settled"),
    "amount": (_provider("charge.succeeded", amount=1), "the provider says 1"),
    "fee": (_provider("balance_transaction", fee=1), "the provider says 1"),
    "balance": (_provider("balance_transaction", net=1), "the provider holds 1"),
    "forgotten": (_forgotten_payment, "the ledger None"),
}


async def test_all_is_well(till: Till, owner: asyncpg.Connection, tmp_path: Path) -> None:
    lines, truth, keys = await told(till, owner)
    assert await faults(till, lines, truth, keys, tmp_path) == []


async def test_each_kind_of_wrong_is_named(till: Till, owner: asyncpg.Connection, tmp_path: Path) -> None:
    lines, truth, keys = await told(till, owner)
    for name, (change, words) in WRONG.items():
        wrong = json.loads(json.dumps((lines, truth)))
        change(*wrong, keys)
        found = await faults(till, *wrong, keys, tmp_path)
        assert any(words in fault for fault in found), (name, found)
