"""State on disk: one SQLite file, and the truth file beside it.

Every request is one transaction. Facts are first rows of the same transaction and are then appended to
`truth.jsonl`; at start the file gets whatever a crash kept from it. So the file holds exactly the facts of
the committed state, each once, in order.
"""

import json
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

Obj: TypeAlias = dict[str, Any]
"""A JSON object."""


def is_object(value: object) -> TypeGuard[Obj]:
    """Whether a value from JSON or a form is an object."""
    return isinstance(value, dict)


SCHEMA = """
create table if not exists objects (
    seq integer primary key autoincrement, id text unique not null, kind text not null,
    created integer not null, body text not null, hidden text not null default '{}');
create index if not exists objects_kind on objects (kind, seq);
drop index if exists objects_intent;
drop index if exists objects_charge;
drop index if exists objects_customer;
create index if not exists objects_of_intent on objects (kind, json_extract(body, '$.payment_intent'))
    where json_extract(body, '$.payment_intent') is not null;
create index if not exists objects_of_charge on objects (kind, json_extract(body, '$.charge'))
    where json_extract(body, '$.charge') is not null;
create index if not exists objects_of_customer on objects (kind, json_extract(body, '$.customer'))
    where json_extract(body, '$.customer') is not null;
create index if not exists objects_created on objects (kind, created);
drop index if exists objects_type;
create index if not exists objects_type_created on objects (kind, json_extract(body, '$.type'), created);
drop index if exists objects_source;
create index if not exists objects_of_source on objects (kind, json_extract(body, '$.source'))
    where json_extract(body, '$.source') is not null;
create index if not exists objects_group on objects (kind, json_extract(body, '$.transfer_group'))
    where json_extract(body, '$.transfer_group') is not null;
create index if not exists objects_payout on objects (kind, json_extract(hidden, '$.payout'))
    where json_extract(hidden, '$.payout') is not null;
create table if not exists funds (
    account text not null, currency text not null, due integer not null, amount integer not null,
    primary key (account, currency, due)) without rowid;
create index if not exists funds_pending on funds (due) where due > 0;
create table if not exists timers (
    seq integer primary key autoincrement, due_ms integer not null,
    action text not null, subject text not null);
create index if not exists timers_due on timers (due_ms);
create index if not exists timers_subject on timers (subject);
create table if not exists deliveries (
    seq integer primary key autoincrement, event text not null, endpoint text not null,
    manner text not null, state text not null, attempts integer not null default 0,
    created_ms integer not null, due_ms integer, last_answer text);
create index if not exists deliveries_due on deliveries (due_ms) where state = 'pending';
create index if not exists deliveries_event on deliveries (event);
create table if not exists idempotency (
    key text primary key, request text not null, fingerprint text not null, status integer not null,
    body text not null, request_id text not null, kept_ms integer not null);
create table if not exists memory (name text primary key, value text not null);
create table if not exists truth (seq integer primary key autoincrement, line text not null);
"""
TABLES = ("objects", "funds", "timers", "deliveries", "idempotency", "memory", "truth")
_SUM_FUNDS = """
insert into funds (account, currency, due, amount)
    select '', json_extract(body, '$.currency'), json_extract(body, '$.available_on'),
           sum(json_extract(body, '$.net'))
      from objects where kind = 'balance_transaction' and not exists (select 1 from funds) group by 2, 3"""


def of(account: str | None, kind: str) -> str:
    """The name under which objects of a connected account are kept; None: the platform itself."""
    return f"{account}:{kind}" if account else kind


class Store:
    """The sandbox's rows. Not for several threads: all work happens on the event loop's thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.truth_path = folder / "truth.jsonl"
        self.db = sqlite3.connect(folder / "state.sqlite3", isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = full")
        self.db.execute("pragma busy_timeout = 5000")
        self.db.executescript(SCHEMA)
        self.db.execute(_SUM_FUNDS)  # a state from before there were sums
        self._written = self._repair_truth()
        self._truth = self.truth_path.open("ab")
        self._append_truth()

    def close(self) -> None:
        self._truth.close()
        self.db.close()

    # Transactions

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Everything inside is kept, or nothing; new facts reach the truth file before this returns."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")
        self._append_truth()

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """An inner step that can be undone without losing what came before it."""
        self.db.execute("savepoint step")
        try:
            yield
        except BaseException:
            self.db.execute("rollback to step")
            self.db.execute("release step")
            raise
        self.db.execute("release step")

    # Objects

    def insert(self, kind: str, body: Obj, hidden: Obj | None = None) -> Obj:
        """Keep a new object; it must have `id` and `created`."""
        self.db.execute(
            "insert into objects (id, kind, created, body, hidden) values (?, ?, ?, ?, ?)",
            (body["id"], kind, body["created"], json.dumps(body), json.dumps(hidden or {})),
        )
        return body

    def get(self, kind: str, object_id: str) -> Obj | None:
        row = self.db.execute(
            "select body from objects where id = ? and kind = ?", (object_id, kind)
        ).fetchone()
        return json.loads(row["body"]) if row else None

    def find(self, object_id: str) -> tuple[str, Obj] | None:
        """The object of any kind with this id, and its kind."""
        row = self.db.execute("select kind, body from objects where id = ?", (object_id,)).fetchone()
        return (row["kind"], json.loads(row["body"])) if row else None

    def need(self, kind: str, object_id: str) -> Obj:
        """An object that another object names: it exists."""
        body = self.get(kind, object_id)
        if body is None:
            raise LookupError(f"{kind} {object_id} is gone")
        return body

    def save(self, body: Obj) -> Obj:
        self.db.execute("update objects set body = ? where id = ?", (json.dumps(body), body["id"]))
        return body

    def hidden(self, object_id: str) -> Obj:
        """What the sandbox knows about an object and the API does not show."""
        row = self.db.execute("select hidden from objects where id = ?", (object_id,)).fetchone()
        return json.loads(row["hidden"]) if row else {}

    def hide(self, object_id: str, **facts: Any) -> None:
        merged = self.hidden(object_id) | facts
        self.db.execute("update objects set hidden = ? where id = ?", (json.dumps(merged), object_id))

    def all(self, kind: str) -> list[Obj]:
        """All objects of a kind, oldest first."""
        rows = self.db.execute("select body from objects where kind = ? order by seq", (kind,))
        return [json.loads(row["body"]) for row in rows]

    def where(self, kind: str, field: str, value: str) -> list[Obj]:
        """All objects of a kind with this value in a top-level field, oldest first."""
        rows = self.db.execute(
            f"select body from objects where kind = ? and json_extract(body, '$.{field}') = ? order by seq",
            (kind, value),
        )
        return [json.loads(row["body"]) for row in rows]

    # Timers, memory, truth

    def timer(self, due_ms: int, action: str, subject: str) -> None:
        """Have `action` done to the object `subject` when the clock reaches `due_ms`."""
        self.db.execute(
            "insert into timers (due_ms, action, subject) values (?, ?, ?)", (due_ms, action, subject)
        )

    def recall(self, name: str, default: Any) -> Any:
        row = self.db.execute("select value from memory where name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else default

    def remember(self, name: str, value: Any) -> None:
        self.db.execute(
            "insert or replace into memory (name, value) values (?, ?)", (name, json.dumps(value))
        )

    def fact(self, line: Obj) -> None:
        """Keep a fact; it is in the truth file once the transaction is over."""
        self.db.execute("insert into truth (line) values (?)", (json.dumps(line),))

    def facts(self, after: int = 0) -> list[str]:
        """The truth's lines with a number above `after`, each a JSON object."""
        rows = self.db.execute("select seq, line from truth where seq > ? order by seq", (after,))
        return [_numbered(row["seq"], row["line"]) for row in rows]

    def wipe(self) -> None:
        """Forget everything. The truth file is kept under another name and a new one is begun."""
        with self.transaction():
            for table in TABLES:
                self.db.execute(f"delete from {table}")
        shutil.rmtree(self.truth_path.parent / "files", ignore_errors=True)
        self._truth.close()
        kept = len(list(self.truth_path.parent.glob("truth-*.jsonl"))) + 1
        self.truth_path.rename(self.truth_path.with_name(f"truth-{kept}.jsonl"))
        self._truth = self.truth_path.open("ab")

    def _append_truth(self) -> None:
        rows = self.db.execute(
            "select seq, line from truth where seq > ? order by seq", (self._written,)
        ).fetchall()
        if not rows:
            return
        for row in rows:
            self._truth.write(_numbered(row["seq"], row["line"]).encode() + b"\n")
            self._written = row["seq"]
        self._truth.flush()  # what a power cut takes from the file, the next start writes again

    def _repair_truth(self) -> int:
        """Cut a half-written last line off the file; the number of the last whole line."""
        if not self.truth_path.exists():
            return 0
        content = self.truth_path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            with self.truth_path.open("r+b") as file:
                file.truncate(len(whole))
        lines = whole.splitlines()
        return int(json.loads(lines[-1])["seq"]) if lines else 0


def _numbered(seq: int, line: str) -> str:
    return f'{{"seq": {seq}, {line[1:]}'
