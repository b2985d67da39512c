"""The official client, and how every call to Stripe ends: an answer, or one of our two failures."""

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.settings import Settings

if TYPE_CHECKING:
    from stripe import StripeClient

T = TypeVar("T")
CONNECT_S, READ_S, RETRIES = 3, 20, 2
_DEFINITE = (400, 402, 404)
_DEFINITE_CODES = ("account_invalid",)


class StripeCalls:
    """What the parts of the gateway share: one client, made at first use."""

    def __init__(self, settings: Settings, *, retries: int = RETRIES) -> None:
        self._retries = retries
        self._settings = settings
        self._key = settings.stripe_secret_key.get_secret_value()
        self._base = settings.stripe_api_base
        self._secrets = settings.webhook_secrets
        self._made: StripeClient | None = None

    @property
    def livemode(self) -> bool:
        """Whether our key moves real money; objects of the other mode are not ours."""
        return self._key.startswith(("sk_live_", "rk_live_"))

    @property
    def client(self) -> "StripeClient":
        """The official client, made at first use: loading it is heavy."""
        if self._made is None:
            import httpx
            from stripe import HTTPXClient, StripeClient

            self._made = StripeClient(
                self._key,
                http_client=HTTPXClient(timeout=cast(Any, httpx.Timeout(READ_S, connect=CONNECT_S))),
                max_network_retries=self._retries,
                base_addresses={"api": self._base} if self._base else {},
            )
        return self._made

    async def _retrieve(self, path: str, expand: str = "") -> dict[str, Any]:
        """One object as the provider wrote it."""
        return await self._ask(f"{path}?expand[]={expand}" if expand else path)

    async def _ask(self, address: str, account: str | None = None) -> dict[str, Any]:
        """A GET, answered as the provider wrote it. The client's own objects, made anew for each of some
        hundred fields, cost several times the call itself. `account`: asked on behalf of this one."""
        ask = cast(Any, self.client).raw_request_async
        options = {"stripe_account": account} if account else {}
        found: Any = await asked(cast(Awaitable[Any], ask("get", address, **options)))
        return cast(dict[str, Any], found.data)

    async def _pages(
        self, path: str, query: str, *, after: str = "", account: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Everything in a list, page by page, from behind the object `after` on: only one page is held."""
        while True:
            cursor = f"&starting_after={after}" if after else ""
            page = await self._ask(f"{path}?limit=100{query}{cursor}", account)
            for item in page["data"]:
                yield item
            if not page["has_more"]:
                return
            after = page["data"][-1]["id"]


async def asked(call: Awaitable[T]) -> T:
    """The answer, or one of our two failures."""
    from stripe import APIConnectionError, IdempotencyError, StripeError

    try:
        return await call
    except APIConnectionError as error:
        raise ProviderUnknown("the payment provider did not answer") from error
    except StripeError as error:
        status = error.http_status
        inner = error.code or getattr(error.error, "code", None)  # some classes keep it only inside
        code = inner or f"http_{status}"
        if isinstance(error, IdempotencyError):
            raise ProviderUnknown("the key was used for something else", burnt=True) from error
        if status in _DEFINITE or code in _DEFINITE_CODES:
            raise ProviderRefused(code, str(error.user_message or "refused")) from error
        replayed = {k.lower(): v for k, v in dict(cast(Any, error.headers)).items()}
        burnt = bool(status and status >= 500 and replayed.get("idempotent-replayed") == "true")
        raise ProviderUnknown(f"the payment provider answered {status}", burnt=burnt) from error


async def all_pages(call: Awaitable[Any]) -> AsyncIterator[dict[str, Any]]:
    page: Any = await asked(call)
    while True:
        for item in page.data:
            yield plain(item)
        if not page.has_more:
            return
        page = await asked(page.next_page_async())


def plain(found: Any) -> dict[str, Any]:
    """A provider's object as plain data."""
    return cast(dict[str, Any], found.to_dict())
