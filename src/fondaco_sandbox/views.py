"""How objects are shown: what changes with time, what is expanded, and pages of lists."""

import json
import sqlite3
from typing import Any

from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, no_such
from fondaco_sandbox.store import Obj, is_object

EXPANDABLE: dict[str, dict[str, str]] = {
    "payment_intent": {
        "customer": "customer",
        "latest_charge": "charge",
        "payment_method": "payment_method",
    },
    "charge": {
        "application_fee": "application_fee",
        "balance_transaction": "balance_transaction",
        "customer": "customer",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
        "refunds": "refunds",
        "source_transfer": "transfer",
        "transfer": "transfer",
    },
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "customer": "customer",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
        "payment_method": "payment_method",
        "source_transfer_reversal": "transfer_reversal",
        "transfer_reversal": "transfer_reversal",
    },
    "application_fee": {
        "account": "account",
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "originating_transaction": "charge",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "fee_refund": {"balance_transaction": "balance_transaction", "fee": "application_fee"},
    "payout": {
        "balance_transaction": "balance_transaction",
        "failure_balance_transaction": "balance_transaction",
    },
    "radar.early_fraud_warning": {"charge": "charge", "payment_intent": "payment_intent"},
    "transfer": {
        "balance_transaction": "balance_transaction",
        "destination": "account",
        "destination_payment": "charge",
        "source_transaction": "charge",
    },
    "transfer_reversal": {
        "balance_transaction": "balance_transaction",
        "destination_payment_refund": "refund",
        "source_refund": "refund",
        "transfer": "transfer",
    },
    "balance_transaction": {"source": "any"},
    "checkout.session": {
        "customer": "customer",
        "line_items": "line_items",
        "payment_intent": "payment_intent",
    },
    "payment_method": {"customer": "customer"},
    "price": {"product": "product"},
    "item": {"price": "price"},
}
INDEXED = ("charge", "customer", "payment_intent", "source", "transfer_group")
EVENTS_KEPT_SECONDS = 30 * 86_400
_MAX_DEPTH = 4


def present(box: Sandbox, body: Obj) -> Obj:
    """The object as it is at this moment."""
    kind = body.get("object")
    if kind == "balance_transaction":
        return body | {"status": "available" if body["available_on"] <= box.now() else "pending"}
    if kind == "event":
        return body | {"pending_webhooks": box.pending_webhooks(body["id"])}
    return body


def expand(box: Sandbox, body: Obj, paths: list[str]) -> Obj:
    """Put whole objects in place of the ids named by `paths` ("latest_charge.balance_transaction")."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > _MAX_DEPTH:
            raise invalid(
                f"You cannot expand more than {_MAX_DEPTH} levels of a property. Property: {path}", "expand"
            )
        body = _expand(box, body, parts, path)
    return body


def _expand(box: Sandbox, body: Obj, parts: list[str], path: str) -> Obj:
    if not parts:
        return body
    name, rest = parts[0], parts[1:]
    if name == "data" and body.get("object") == "list":
        return body | {"data": [_expand(box, item, rest, path) for item in body["data"]]}
    target = EXPANDABLE.get(body.get("object", ""), {}).get(name)
    if target is None:
        return _expand_inside(box, body, name, rest, path)
    value = body.get(name)
    if target in ("refunds", "line_items"):
        value = value if is_object(value) else _sublist(box, body, target)
    elif isinstance(value, str):
        found = box.store.find(value)
        value = present(box, found[1]) if found else value
    if is_object(value):
        value = _expand(box, value, rest, path)
    return body | {name: value}


def _expand_inside(box: Sandbox, body: Obj, name: str, rest: list[str], path: str) -> Obj:
    """Walk through an object that is always whole ("line_items.data.price.product")."""
    inner = body.get(name)
    if not is_object(inner) or not rest:
        message = f"This property cannot be expanded ({path})."
        raise invalid(message, "expand")
    return body | {name: _expand(box, inner, rest, path)}


def _sublist(box: Sandbox, body: Obj, target: str) -> Obj:
    if target == "line_items":
        items: list[Obj] = box.store.hidden(body["id"])["line_items"]
        return listing(items[:10], f"/v1/checkout/sessions/{body['id']}/line_items", more=len(items) > 10)
    refunds = box.store.where("refund", "charge", body["id"])[::-1]
    return listing(refunds[:10], f"/v1/charges/{body['id']}/refunds", more=len(refunds) > 10)


def json_of(row: sqlite3.Row) -> Obj:
    """The object in a row."""
    return json.loads(row["body"])


def listing(items: list[Obj], url: str, *, more: bool) -> Obj:
    return {"object": "list", "data": items, "has_more": more, "url": url}


class Query:
    """Conditions of a list in SQL. Lists run along the index of `created`: any page costs the same."""

    def __init__(self, kind: str) -> None:
        self.few = False
        """Whether a condition with an index of its own leaves only few objects."""
        self.parts = ["kind = ?"]
        self.values: list[Any] = [kind]

    def add(self, sql: str, *values: Any) -> None:
        self.parts.append(sql)
        self.values += values

    def between(self, column: str, wanted: Any) -> None:
        """A moment: an exact second or {gt, gte, lt, lte}."""
        limits: Obj = wanted if is_object(wanted) else {"is": wanted}
        for name, moment in limits.items():
            sign = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "is": "="}[name]
            self.add(f"{column} {sign} ?", moment)

    def beyond(self, row: sqlite3.Row, column: str, *, backwards: bool) -> None:
        """Only what comes after (or, backwards, before) the object of a cursor in a list, newest first."""
        sign = ">" if backwards else "<"
        self.add(f"({column}, seq) {sign} (?, ?)", row["created"], row["seq"])


def page(call: Call, kind: str, url: str, filters: dict[str, str], query: Query | None = None) -> Obj:
    """One page of a list, newest first. `filters`: parameter -> path in the object."""
    params, store = call.params, call.box.store
    query = query or Query(call.of(kind))
    cursor = next((name for name in ("ending_before", "starting_after") if name in params), None)
    # A plus keeps SQLite from reading along the index of `created`: where another one finds the few objects
    # that are wanted, and for limits beside a cursor, which says where to read on.
    few = query.few or any(path in INDEXED for param, path in filters.items() if param in params)
    column = "+created" if few else "created"
    if "created" in params:
        query.between("+created" if cursor else column, params["created"])
    for param, path in filters.items():
        if param in params:
            query.add(f"json_extract(body, '$.{path}') = ?", params[param])
    limit: int = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid(f"Invalid integer: limit must be between 1 and 100, not {limit}.", "limit")
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You may specify only one of these parameters: starting_after, ending_before.")
    backwards = cursor == "ending_before"
    if cursor:
        sql = "select created, seq from objects where id = ? and kind = ?"
        row = store.db.execute(sql, (params[cursor], call.of(kind))).fetchone()
        if row is None:
            raise no_such(kind, params[cursor], cursor)
        query.beyond(row, column, backwards=backwards)
    order = f"{column}, seq" if backwards else f"{column} desc, seq desc"
    sql = f"select body from objects where {' and '.join(query.parts)} order by {order} limit ?"
    rows = store.db.execute(sql, (*query.values, limit + 1)).fetchall()
    items = [present(call.box, json_of(row)) for row in rows[:limit]]
    return listing(items[::-1] if backwards else items, url, more=len(rows) > limit)
