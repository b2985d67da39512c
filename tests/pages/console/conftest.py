"""The site in this process over a till at the sandbox, entered as somebody of the staff."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fondaco.app import build_parts
from fondaco.core.web import Parts
from fondaco.orders import Combiner
from tests.pages.account.conftest import Doors
from tests.support.app import calling
from tests.support.money import Till
from tests.support.people import make_user
from tests.wallets.conftest import running, till

__all__ = ["running", "till"]


@pytest.fixture
def site(till: Till) -> Parts:
    built = build_parts(till.settings)
    for part in (till.db, till.gateway, Combiner(till.db)):
        built.add(part)
    return built


class Desk(Doors):
    """The console as one role sees it."""

    async def as_(self, role: str) -> "Desk":
        await self.enter(await make_user(self.db, staff_role=role))
        return self

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        return answer.text

    async def post(self, path: str, status: int = 303, **fields: str) -> httpx.Response:
        """A form as the page would send it."""
        await self.client.get("/console")
        fields["_csrf_token"] = self.client.cookies.get("csrf") or ""
        answer = await self.client.post(path, data=fields)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        return answer


@pytest.fixture
async def desk(till: Till, site: Parts) -> AsyncIterator[Desk]:
    async with calling(till.settings, site) as client:
        yield Desk(client, till.db)
