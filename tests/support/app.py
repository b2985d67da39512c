"""The application in this process. Putting one together takes most of a second of work, so one that a test
has left serves the next: over that test's parts, with that test's headers."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
from litestar import Litestar

from fondaco.app import create_app
from fondaco.core.web import Parts, security_headers
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings
from tests.support.values import make_settings

UNLIMITED = 100_000  # calls a second: as good as none is counted
# What the application asks its parts for at each request, or what only its answers' headers say.
ITS_PARTS = {
    "database_url",
    "database_direct_url",
    "database_owner_url",
    "database_pooled",
    "database_pool_size",
    "secret_key",
    "vault_keys",
    "fingerprint_key",
    "signing_key",
    "stripe_secret_key",
    "stripe_webhook_secrets",
    "stripe_api_base",
    "blob_url",
}
_left: defaultdict[Any, list[Litestar]] = defaultdict(list)


@contextmanager
def application(settings: Settings, parts: Parts) -> Generator[Litestar]:
    """The application over these parts, nobody else's while the block lasts."""
    if settings.api_rate < UNLIMITED:  # it counts its callers
        yield create_app(settings, parts)
        return
    left = _left[repr(settings.model_dump(exclude=ITS_PARTS))]
    app = left.pop() if left else create_app(settings, parts)
    app.state.parts = parts
    app.before_send = cast(Any, [security_headers(settings)])
    try:
        yield app
    finally:
        app.state.parts = None
        left.append(app)


@asynccontextmanager
async def calling(
    settings: Settings, parts: Parts, address: str = "127.0.0.1"
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the application, without a socket, calling from `address`."""
    with application(settings, parts) as app:
        transport = httpx.ASGITransport(
            app=cast(Any, app), raise_app_exceptions=False, client=(address, 4000)
        )
        async with httpx.AsyncClient(transport=transport, base_url=settings.base_url) as found:
            yield found


def prepare() -> None:
    """Puts one together and loads the provider's client before anybody needs them: every process forked from
    this one has them then."""
    nowhere: Any = SimpleNamespace(app_dsn="postgresql://nobody@127.0.0.1:1/nothing")
    settings = make_settings(nowhere)
    with application(settings, Parts()):
        assert StripeGateway(settings).client.v1.payment_intents
