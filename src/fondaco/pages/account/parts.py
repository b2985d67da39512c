"""What the account pages share: the session's cookie after signing in, countries, words for browsers."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from litestar import Response
from litestar.datastructures import Cookie

from fondaco import catalog, identity, orders
from fondaco.core.web import Call, safe_next
from fondaco.identity.model import SignedIn
from fondaco.identity.sessions import session_cookie
from fondaco.pages.context import Said, cart_cookie, guest_cart, see_other, theme_cookie
from fondaco.pages.devices import device_cookies
from fondaco.settings import Mode

# A page that shows a secret, or whose address holds one: no other site learns the address, and its forms
# still say which site they come from.
SECRET_PAGE: Mapping[str, str] = {"Cache-Control": "no-store", "Referrer-Policy": "strict-origin"}

_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


async def signed_in(request: Call, found: SignedIn, target: str, said: Said | None = None) -> Response[Any]:
    """On to `target` with the new session: its cookie, the person's colours, and what was in the cart. The
    cart waits for the second factor."""
    settings = request.settings
    cookies: list[Cookie] = [session_cookie(settings, found.token)]
    cookies.append(theme_cookie(settings, await identity.theme_of(request.db, found.user_id)))
    if not found.second_factor_needed and (cart := guest_cart(request)):
        merged = await orders.merge_guest_cart(
            request.db, replace(request.viewer, user_id=found.user_id), cart
        )
        if merged.left_out and said is None:
            said = ("wait", " ".join(merged.left_out))
        cookies.append(cart_cookie(settings, ""))
    if not found.second_factor_needed:
        cookies += await device_cookies(request, found.user_id)
    return see_other(request, target, said=said, cookies=cookies)


def next_of(request: Call, fields: Mapping[str, str] | None = None) -> str:
    """Where to go afterwards: a path of this site, "/" when nothing usable was said."""
    asked = fields.get("next") if fields is not None else request.query_params.get("next")
    return safe_next(asked)


def is_demo(request: Call) -> bool:
    return request.settings.fondaco_mode is Mode.DEMO


@cache
def countries() -> list[tuple[str, str]]:
    """Codes and names, by name."""
    return [(code, name) for code, name in catalog.regions().items() if catalog.is_country(code)]


def device_words(user_agent: str) -> str:
    """A browser in the words of its owner: "Firefox on Linux"."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    if not browser and "Safari/" in user_agent:
        browser = "Safari"
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent[:60] or "Unknown device"


def account_tabs(current: str) -> list[dict[str, Any]]:
    """The pages of one's account, as tabs."""
    tabs = (
        ("Profile", "/account"),
        ("Security", "/account/security"),
        ("Invoices", "/account/papers"),
        ("Standing", "/account/standing"),
    )
    return [{"label": label, "href": href, "current": href == current} for label, href in tabs]
