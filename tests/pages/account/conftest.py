"""Signed-in browsers."""

import httpx
import pytest

from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from tests.support.people import make_user, sign_in


class Doors:
    """Opens the site as somebody."""

    def __init__(self, client: httpx.AsyncClient, db: Database) -> None:
        self.client = client
        self.db = db

    async def enter(self, viewer: Viewer | None = None) -> Viewer:
        """The client carries this person's session (a new user's without one)."""
        viewer = viewer or await make_user(self.db)
        self.client.cookies.clear()
        self.keep("session", await sign_in(self.db, viewer))
        return viewer

    def keep(self, name: str, value: str) -> None:
        """A cookie, as the site itself would have set it."""
        self.client.cookies.set(name, value, domain="127.0.0.1", path="/")


@pytest.fixture
def doors(client: httpx.AsyncClient, db: Database) -> Doors:
    return Doors(client, db)
