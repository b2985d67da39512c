"""The sandbox itself: its state, its clock, its faults, and the making of events."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from fondaco_sandbox import ids
from fondaco_sandbox.clock import Clock
from fondaco_sandbox.faults import Faults
from fondaco_sandbox.params import api_version
from fondaco_sandbox.settings import Settings
from fondaco_sandbox.store import Obj, Store, of


@dataclass(slots=True)
class Cause:
    """The API request that brings something about; empty when the clock or the payment page does."""

    request_id: str | None = None
    idempotency_key: str | None = None


class Sandbox:
    """Everything the handlers need. One per process, used by the event loop's thread only."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.data)
        self.clock = Clock(self.store.recall("clock_offset_ms", 0))
        self.faults = Faults(self.store)
        self.cause = Cause()
        self.on_work: Callable[[], None] = lambda: None
        """Called when there is something new for the background task."""

    def now(self) -> int:
        """Seconds on the sandbox's clock."""
        return self.clock.now()

    def later(self, seconds: int, action: str, subject: str) -> None:
        """Have `action` done to the object `subject` in so many seconds of the sandbox's clock."""
        self.store.timer(self.clock.now_ms() + seconds * 1000, action, subject)

    def fact(self, name: str, **details: object) -> None:
        """Write down something that happened, for `truth.jsonl`."""
        self.store.fact({"at": self.now(), "fact": name, **details})

    def emit(self, kind: str, body: Obj, previous: Obj | None = None, account: str | None = None) -> None:
        """Make the event `kind` about the object's present state and plan its deliveries.

        `account`: the connected account on which it happened; its events go to endpoints made with `connect`.
        """
        self._emit_one(kind, body, previous, account)
        if self.faults.strikes("twin"):
            self._emit_one(kind, body, previous, account)

    def _emit_one(self, kind: str, body: Obj, previous: Obj | None, account: str | None) -> None:
        data: Obj = {"object": {name: value for name, value in body.items() if name != "secret"}}
        if previous:
            data["previous_attributes"] = previous
        event: Obj = {
            "id": ids.new_id("evt"),
            "object": "event",
            "api_version": api_version(),
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
            "type": kind,
        }
        more: Obj = {}
        if account:
            event["account"] = more["account"] = account
        self.store.insert(of(account, "event"), event)
        self.fact("event.created", event=event["id"], type=kind, object=body.get("id"), **more)
        for endpoint in self.listeners(kind, account):
            if endpoint["status"] == "enabled":
                self._plan(event["id"], endpoint["id"])
        self.on_work()

    def listeners(self, kind: str, account: str | None) -> list[Obj]:
        """The endpoints that asked for such events."""
        rows = self.store.db.execute(
            "select body from objects where kind = 'webhook_endpoint'"
            " and coalesce(json_extract(hidden, '$.connect'), 0) = ? order by seq",
            (bool(account),),
        )
        known = [json.loads(row["body"]) for row in rows]
        return [each for each in known if {"*", kind} & set(each["enabled_events"])]

    def _plan(self, event: str, endpoint: str) -> None:
        """Plan one delivery, as the faults want it: late, twice, never, with a forgery beside it."""
        faults, now = self.faults, self.clock.now_ms()
        due = now + (faults.rates["delay_ms"] if faults.strikes("delay") else 0)
        if faults.strikes("reorder"):
            due += random.Random(event).randint(300, 1500)  # noqa: S311 - not a secret
        dropped = faults.strikes("drop")
        self.deliver(event, endpoint, due_ms=due, state="dropped" if dropped else "pending")
        if faults.strikes("duplicate"):
            self.deliver(event, endpoint, "duplicate", due_ms=due)
        if faults.strikes("forge"):
            self.deliver(event, endpoint, "forged", due_ms=due)

    def deliver(
        self, event: str, endpoint: str, manner: str = "normal", *, due_ms: int, state: str = "pending"
    ) -> None:
        """Plan a delivery: "normal" ones count for `pending_webhooks`, the others come on top."""
        self.store.db.execute(
            "insert into deliveries (event, endpoint, manner, state, created_ms, due_ms)"
            " values (?, ?, ?, ?, ?, ?)",
            (event, endpoint, manner, state, self.clock.now_ms(), due_ms),
        )
        self.on_work()

    def pending_webhooks(self, event: str) -> int:
        """How many endpoints have not yet taken the event."""
        query = (
            "select count(*) from deliveries where event = ? and manner = 'normal' and state <> 'delivered'"
        )
        return self.store.db.execute(query, (event,)).fetchone()[0]
