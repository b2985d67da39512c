"""The cookie a browser is recognised by: at sign-in and at the checkout it is told to risk as a keyed hash.

It names nobody and lives long. Where browsers are not recognised, no such cookie is given or looked at.
"""

import hmac
from uuid import UUID

from litestar.datastructures import Cookie

from fondaco import risk
from fondaco.core.ids import token
from fondaco.core.web import Call
from fondaco.settings import Settings
from fondaco.vault import mark

LIFETIME_S = 400 * 86_400  # browsers keep none for longer


async def device_cookies(request: Call, user_id: UUID) -> list[Cookie]:
    """Tell that this user is seen with this browser; the cookies to give it: one, or none when browsers are
    not recognised."""
    settings = request.settings
    if not settings.knows_browsers:
        return []
    device = _known(settings, request.cookies.get(_name(settings), "")) or token()
    await risk.device_seen(request.db, user_id, mark(settings, "device", device))
    return [
        Cookie(
            key=_name(settings),
            value=f"{device}.{_signature(settings, device)}",
            max_age=LIFETIME_S,
            path="/",
            secure=settings.secure_cookies,
            httponly=True,
            samesite="lax",
        )
    ]


def _name(settings: Settings) -> str:
    return "__Host-device" if settings.secure_cookies else "device"


def _signature(settings: Settings, device: str) -> str:
    return mark(settings, "device_cookie", device).rpartition("_")[2]


def _known(settings: Settings, value: str) -> str:
    """What a cookie of ours names; '' when it was not made here."""
    device, _, signature = value[:200].partition(".")
    good = signature.isascii() and hmac.compare_digest(signature, _signature(settings, device))
    return device if good else ""
