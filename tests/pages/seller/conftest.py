"""The desk, opened as somebody of a store's team."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.orders import Combiner, Wish
from fondaco.vault import Vault
from tests.pages.account.browser import hidden_fields
from tests.support.money import give_money, make_buyer
from tests.support.people import sign_in
from tests.support.shop import purchase


@dataclass
class Desk:
    """A browser without scripts, and the means to make things happen behind it."""

    client: httpx.AsyncClient
    db: Database
    parts: Parts

    @property
    def vault(self) -> Vault:
        return self.parts.get(Vault)

    async def enter(self, viewer: Viewer) -> None:
        """From now on the browser is this person's."""
        self.client.cookies.clear()
        self.client.cookies.set("session", await sign_in(self.db, viewer), domain="127.0.0.1", path="/")

    async def see(self, path: str, status: int = 200) -> str:
        """The page at `path`."""
        answer = await self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
        return answer.text

    async def send(self, page: str, action: str, *, files: Any = None, **fields: Any) -> httpx.Response:
        """Open `page`, fill in its form for `action`, send it."""
        hidden = hidden_fields(await self.see(page), action)
        return await self.client.post(
            action,
            data={**hidden, **fields},
            files=files,
            headers={"Origin": str(self.client.base_url).rstrip("/")},
        )

    async def sell(self, wish: Wish) -> Viewer:
        """Somebody buys from the wallet; the buyer."""
        buyer = await make_buyer(self.db)
        await give_money(self.db, buyer.user(), 100_000)
        await Combiner(self.db).buy(purchase(buyer, wish))
        return buyer


@pytest.fixture
def desk(client: httpx.AsyncClient, db: Database, parts: Parts) -> Desk:
    return Desk(client, db, parts)
