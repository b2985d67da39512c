"""What all who act in a run share, and one who calls, writing down what was asked and told."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from fondaco.chaos.client import Client, Counts, Told
from fondaco.chaos.market import Market, Person
from fondaco.chaos.records import Records
from fondaco.core.db import LOST, Database
from fondaco.core.problem import Problem
from fondaco.settings import Settings

OpenCall = tuple[Person, str, str, dict[str, object]]
DATABASE_AWAY = (asyncpg.PostgresError, Problem, TimeoutError, *LOST)
_SUMS = ("/api/v1/seller/payouts", "/refund")


@dataclass(slots=True)
class Scene:
    """The marketplace and what became of the calls. `db` is the harness's own pool, for what the staff
    does; `owner_dsn` turns the clock."""

    market: Market
    db: Database
    base_url: str
    sandbox_url: str
    owner_dsn: str
    settings: Settings
    folder: Path
    seed: int
    counts: Counts = field(default_factory=Counts)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    open_calls: list[OpenCall] = field(default_factory=list[OpenCall])


class Caller:
    """Somebody with dice and a file of records of their own; the same acts for the same seed."""

    def __init__(self, scene: Scene, http: httpx.AsyncClient, name: str, number: int) -> None:
        self.scene = scene
        self.http = http
        self.dice = random.Random(scene.seed * 1000 + number)  # noqa: S311 - the same walk for the same seed
        self.mark = f"{scene.seed}-{number}"
        self.records = Records(scene.folder / f"{name}-{number}.jsonl")
        self.steps: int = 0

    def client(self, person: Person) -> Client:
        """That person's calls."""
        return Client(self.http, person.token, self.scene.counts)

    async def post(self, person: Person, path: str, content: dict[str, object]) -> Told:
        """A POST with a key of its own, written down before and after."""
        key = f"chaos-{self.mark}-{self.steps}"
        self.records.note("asks", buyer=person.viewer.user_id, path=path, key=key, content=content)
        told = await self.client(person).ask("POST", path, key=key, json=content)
        note(self.records, person, path, key, told)
        if not told.known:
            self.scene.open_calls.append((person, path, key, content))
        return told

    async def sandbox(self, path: str, **content: object) -> tuple[int, Any]:
        """What the provider's own people do: the status and the answer."""
        async with httpx.AsyncClient(base_url=self.scene.sandbox_url, timeout=30) as sandbox:
            answer = await sandbox.post(f"/sandbox/{path}", json=content)
        return answer.status_code, answer.json()


def note(records: Records, person: Person, path: str, key: str, told: Told) -> None:
    """What the call came to. Of an order: its group, its total, and what was delivered."""
    more: dict[str, object] = {}
    if told.done and path == "/api/v1/orders":
        order = told.body["order"]
        more = {"group": order["id"], "total": order["total"], "delivered": _delivered(order)}
    elif told.done:
        more = {"id": told.body.get("id")}
        more |= {"amount": told.body["amount"]} if path.endswith(_SUMS) else {}
    elif told.body:
        more = {"code": told.body["code"]}
    records.note(
        "told", buyer=person.viewer.user_id, path=path, key=key, status=told.status, tries=told.tries, **more
    )


def _delivered(order: Any) -> list[str]:
    return [e for one in order["orders"] for line in one["lines"] for e in line["entitlements"]]
