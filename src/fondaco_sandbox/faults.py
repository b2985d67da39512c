"""What the sandbox is told to do wrong. Kept on disk, decided by a seed: the same seed, the same faults."""

import hashlib
from typing import Any

from fondaco_sandbox.errors import invalid
from fondaco_sandbox.store import Obj, Store, is_object

RATES: Obj = {
    "duplicate": 0,
    "drop": 0,
    "delay": 100,
    "delay_ms": 0,
    "reorder": 0,
    "forge": 0,
    "twin": 0,
    "latency_ms": 0,
    "down": 0,
    "seed": 1,
}
"""Percent of events: delivered twice; never; late (by delay_ms); late by up to 1.5 s so that later ones
overtake; with a badly signed copy; described by a second event of another id. `latency_ms` delays the API's
answers to POST. `down`: percent of all API requests, also of those that only read, answered with a 503."""
COUNTED = ("lose_answer", "fail_before", "fail_after", "rate_limit", "refund_pends", "refund_fails")
"""What strikes the next `count` POSTs whose path begins with `path`: the work is done and the connection
closed without an answer; a 500 before the work; a 500 after it; a 429; a refund that is pending first; a
refund that seems done and fails later."""


class Faults:
    """The faults in force."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rates: Obj = RATES | store.recall("fault_rates", {})
        self.counted: dict[str, Obj] = store.recall("fault_counts", {})

    def describe(self) -> Obj:
        none: Obj = {"count": 0, "path": "/v1/"}
        return self.rates | {name: self.counted.get(name, none) for name in COUNTED}

    def configure(self, wanted: Obj) -> None:
        """Change what is named; raises ApiError for anything that is not a fault."""
        rates, counted = dict(self.rates), dict(self.counted)
        for name, value in wanted.items():
            if name in RATES:
                rates[name] = _rate(name, value)
            elif name in COUNTED:
                counted[name] = _count(name, value)
            else:
                raise invalid(f"No such fault: {name}. There are: {', '.join([*RATES, *COUNTED])}.", name)
        if "seed" in wanted:
            self._begin_anew()
        self.rates, self.counted = rates, counted
        self._store.remember("fault_rates", rates)
        self._store.remember("fault_counts", counted)

    def clear(self) -> None:
        self.rates, self.counted = dict(RATES), {}
        self._store.remember("fault_rates", {})
        self._store.remember("fault_counts", {})
        self._begin_anew()

    def _begin_anew(self) -> None:
        for name in RATES:
            self._store.remember(f"asked_{name}", 0)

    def strikes(self, name: str) -> bool:
        """Whether a rate hits; decided by the seed, the fault and how often it was asked before."""
        rate: int = self.rates[name]
        if rate <= 0 or (name == "delay" and not self.rates["delay_ms"]):
            return False
        asked: int = self._store.recall(f"asked_{name}", 0) + 1
        self._store.remember(f"asked_{name}", asked)
        digest = hashlib.sha256(f"{self.rates['seed']}:{name}:{asked}".encode()).digest()
        return int.from_bytes(digest[:4]) % 100 < rate

    def take(self, name: str, path: str) -> bool:
        """Use up one of a counted fault, if it is meant for this path."""
        fault = self.counted.get(name)
        if not fault or fault["count"] < 1 or not path.startswith(fault["path"]):
            return False
        self.counted[name] = fault | {"count": fault["count"] - 1}
        self._store.remember("fault_counts", self.counted)
        return True


def _rate(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{name} must be a whole number.", name)
    most = 100 if name not in ("delay_ms", "latency_ms", "seed") else 10**9
    if not 0 <= value <= most:
        raise invalid(f"{name} must be between 0 and {most}.", name)
    return value


def _count(name: str, value: Any) -> Obj:
    wanted: Obj = value if is_object(value) else {"count": value}
    count, path = wanted.get("count", 1), wanted.get("path", "/v1/")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0 or not isinstance(path, str):
        raise invalid(f'{name} must be a count or {{"count": 1, "path": "/v1/refunds"}}.', name)
    return {"count": count, "path": path}
