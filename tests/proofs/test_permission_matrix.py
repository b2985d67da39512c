"""Role × route, generated from the route table: who is let in, who is not, and how each is told."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.identity.permissions import PERMISSIONS, ROLES
from fondaco.settings import Settings
from tests.support.app import application
from tests.support.people import make_api_key, make_member, make_seller, make_user, sign_in

NOWHERE = str(uuid.UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0001))
STREAMS = ("/live",)  # answer for as long as somebody listens


def routes_of(app: Litestar) -> Iterator[tuple[str, str, str]]:
    """(method, path with parameters that name nothing, permission) of every route."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                path = route.path
                for part in getattr(route, "path_components", []):
                    if not isinstance(part, str):
                        kind = getattr(part.type, "__name__", "str")
                        value = {"UUID": NOWHERE, "int": "987654321"}.get(kind, "nothing-here")
                        path = path.replace("{" + part.full + "}", value)
                if not path.endswith(STREAMS):
                    yield str(method), path, str(handler.opt.get("permit"))


async def credentials(db: Database, parts: Parts) -> dict[str, str]:
    """A token for each role; the staff have passed their second factor."""
    owner = await make_seller(db)
    found = {"anonymous": "", "customer": await sign_in(db, await make_user(db))}
    for role in ROLES:
        desk, _, name = role.partition(".")
        if desk == "seller":
            member = owner if name == "owner" else await make_member(db, owner, name)
            found[role] = await sign_in(db, member)
        elif desk == "staff":
            found[role] = await sign_in(db, await make_user(db, staff_role=name))
    keys = [p for p, roles in PERMISSIONS.items() if "api_key" in roles]
    found["api_key"] = (await make_api_key(db, owner, *keys))["Authorization"].removeprefix("Bearer ")
    return found


async def ask(client: httpx.AsyncClient, method: str, path: str, token: str) -> httpx.Response:
    headers = {"Accept": "application/json"}
    if path.startswith("/api/"):
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        body: dict[str, Any] = {} if method == "GET" else {"json": {}}
    else:
        cookies = {"csrf": client.cookies.get("csrf") or "", **({"session": token} if token else {})}
        headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in cookies.items() if v)
        body = {} if method == "GET" else {"data": {"_csrf_token": cookies["csrf"]}}
    return await client.request(method, path, headers=headers, **body)


def lets_in(roles: frozenset[str], role: str) -> bool:
    """What the table says. A staff role or seller role is a customer too; a key is nobody but itself."""
    if role == "api_key":
        return "api_key" in roles or "anonymous" in roles
    mine = {role} | ({"customer"} if role != "anonymous" else set[str]())
    return "anonymous" in roles or bool(mine & roles)


ASKS_THE_PROVIDER = ("/api/v1/seller/payout-account/link",)  # which is away here: 503, once one may


@pytest.mark.slow
async def test_everybody_everywhere(
    settings: Settings, parts: Parts, db: Database, client: httpx.AsyncClient
) -> None:
    with application(settings, parts) as app:
        routes = list(routes_of(app))
    tokens = await credentials(db, parts)
    await client.get("/sign-in")
    faults: list[str] = []
    count = 0
    for method, path, permission in routes:
        roles = PERMISSIONS[permission]
        for role, token in tokens.items():
            if role == "api_key" and not path.startswith("/api/"):
                continue
            if path in ("/sign-out", "/api/v1/session") and method in ("POST", "DELETE"):
                continue  # would end the very session that asks
            answer = await ask(client, method, path, token)
            count += 1
            allowed = lets_in(roles, role)
            code = answer.status_code
            if code >= 500 and not (code == 503 and path in ASKS_THE_PROVIDER):
                faults.append(f"{role} {method} {path}: {code} breaks")
            elif allowed and code in (401, 403):
                faults.append(f"{role} {method} {path}: {code}, though {permission} allows it")
            elif not allowed and code not in (401, 403, 404):
                faults.append(f"{role} {method} {path}: {code}, though {permission} does not allow it")
            elif not allowed and role == "anonymous" and code != 401:
                faults.append(f"{role} {method} {path}: {code} instead of 401")
    assert not faults, "\n".join(faults)
    assert count > 1000
