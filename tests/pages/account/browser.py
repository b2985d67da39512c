"""A person at a browser without scripts: follows links, fills in forms, keeps cookies."""

import re
from html import unescape
from typing import Any

import httpx

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts to `action`; fails when there is no such form."""
    found = re.search(rf'<form[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', html, re.S)
    assert found, f"no form posts to {action}"
    return {name: unescape(value) for name, value in HIDDEN.findall(found[1])}


async def submit(client: httpx.AsyncClient, page: str, action: str, **fields: str) -> httpx.Response:
    """Open `page`, fill in its form for `action` and send it, as a browser would."""
    seen = await client.get(page)
    assert seen.status_code == 200, (page, seen.status_code, seen.text[:300])
    return await send(client, seen, action, **fields)


async def send(client: httpx.AsyncClient, seen: httpx.Response, action: str, **fields: str) -> httpx.Response:
    """Fill in and send the form for `action` of a page already open."""
    data: dict[str, Any] = {**hidden_fields(seen.text, action), **fields}
    return await client.post(action, data=data, headers={"Origin": str(client.base_url).rstrip("/")})


def text_of(html: str) -> str:
    """The page's words."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))
