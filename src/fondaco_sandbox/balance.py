"""Balances: money moving on the platform's account and on connected ones, and what is there to be used."""

from fondaco_sandbox import ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.errors import ApiError
from fondaco_sandbox.store import Obj, of

_CATEGORIES = {
    "adjustment": "dispute",
    "application_fee": "platform_earning",
    "application_fee_refund": "platform_earning_refund",
    "payment": "charge",
    "payment_failure_refund": "refund_failure",
    "payment_refund": "refund",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "transfer_refund": "transfer_reversal",
}
TEST_CARD_HINT = (
    "You have insufficient available funds in your Stripe account. Try adding funds directly to your "
    "available balance by creating Charges using the 4000000000000077 test card. See: "
    "https://docs.stripe.com/testing#available-balance"
)


def transaction(
    now: int,
    source: Obj,
    kind: str,
    amount: int,
    *,
    fee: int = 0,
    after: int = 0,
    transaction_id: str | None = None,
) -> Obj:
    """Money moving on a balance: `amount` before the fee, negative when it leaves; usable `after` s."""
    fee_detail: Obj = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": "Dispute fee" if kind == "adjustment" else "Stripe processing fees",
        "type": "stripe_fee",
    }
    return {
        "id": transaction_id or ids.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now + after,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [fee_detail] if fee else [],
        "net": amount - fee,
        "reporting_category": _CATEGORIES.get(kind, kind),
        "source": source["id"],
        "status": "pending" if after else "available",
        "type": kind,
    }


def move(box: Sandbox, entry: Obj, account: str | None = None) -> Obj:
    """Keep a balance transaction, add it to the sums and write it down.

    On the platform the fact is `balance_transaction`; on a connected account `account.balance_transaction`.
    """
    box.store.insert(of(account, "balance_transaction"), entry)
    add(box, account, entry["currency"], entry["available_on"], entry["net"])
    names = ("type", "source", "amount", "fee", "net", "currency")
    told: Obj = {"balance_transaction": entry["id"], **{name: entry[name] for name in names}}
    if account:
        box.fact("account.balance_transaction", account=account, **told)
    else:
        box.fact("balance_transaction", **told)
    return entry


def add(box: Sandbox, account: str | None, currency: str, due: int, amount: int) -> None:
    """Add an amount to what becomes usable at `due` (what is usable already is kept under 0)."""
    box.store.db.execute(
        "insert into funds (account, currency, due, amount) values (?, ?, ?, ?)"
        " on conflict (account, currency, due) do update set amount = amount + excluded.amount",
        (account or "", currency, 0 if due <= box.now() else due, amount),
    )


def _mature(box: Sandbox) -> None:
    """Bring together what has become usable."""
    now = box.now()
    db = box.store.db
    if db.execute("select 1 from funds where due > 0 and due <= ? limit 1", (now,)).fetchone():
        db.execute(
            "insert into funds (account, currency, due, amount)"
            " select account, currency, 0, sum(amount) from funds where due > 0 and due <= ? group by 1, 2"
            " on conflict (account, currency, due) do update set amount = amount + excluded.amount",
            (now,),
        )
        db.execute("delete from funds where due > 0 and due <= ?", (now,))


def sums(box: Sandbox, account: str | None = None) -> list[tuple[str, int, int]]:
    """Per currency what can be used now and what is still pending, minor units."""
    _mature(box)
    rows = box.store.db.execute(
        "select currency, coalesce(sum(amount) filter (where due = 0), 0) as usable,"
        " coalesce(sum(amount) filter (where due > 0), 0) as pending"
        " from funds where account = ? group by currency order by currency",
        (account or "",),
    )
    return [(row["currency"], row["usable"], row["pending"]) for row in rows]


def usable(box: Sandbox, currency: str, account: str | None = None) -> int:
    """What can be used now of one currency, minor units."""
    _mature(box)
    row = box.store.db.execute(
        "select amount from funds where account = ? and currency = ? and due = 0", (account or "", currency)
    ).fetchone()
    return row["amount"] if row else 0


def need(box: Sandbox, currency: str, amount: int, message: str, account: str | None = None) -> None:
    """Refuse when less than `amount` can be used."""
    if usable(box, currency, account) < amount:
        raise ApiError(400, message, code="balance_insufficient")


def hasten(box: Sandbox) -> int:
    """Make all pending money usable now; how many transactions that were."""
    now = box.now()
    changed = box.store.db.execute(
        "update objects set body = json_set(body, '$.available_on', ?)"
        " where (kind = 'balance_transaction' or kind like '%:balance_transaction')"
        " and json_extract(body, '$.available_on') > ?",
        (now, now),
    )
    box.store.db.execute("update funds set due = 0 - due where due > 0")
    box.store.db.execute(
        "insert into funds (account, currency, due, amount)"
        " select account, currency, 0, sum(amount) from funds where due < 0 group by 1, 2"
        " on conflict (account, currency, due) do update set amount = amount + excluded.amount"
    )
    box.store.db.execute("delete from funds where due < 0")
    return changed.rowcount
