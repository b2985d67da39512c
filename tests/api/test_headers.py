"""Security headers on every kind of answer: pages, API, static files, refusals, unknown addresses."""

import httpx
import pytest

from tests.support.people import PASSWORD

WANTED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/nowhere/at/all", 404),
        ("GET", "/console", 303),
        ("GET", "/api/v1/listings", 200),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/orders", 401),
        ("POST", "/sign-in", 403),
        ("GET", "/health/live", 200),
    ],
)
async def test_every_answer_has_them(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    for name, value in WANTED.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_another_sites_form_is_refused(client: httpx.AsyncClient) -> None:
    await client.get("/sign-in")
    token = client.cookies.get("csrf") or ""
    form = {"_csrf_token": token, "email": "a@example.test", "password": PASSWORD}
    refused = await client.post("/sign-in", data=form, headers={"Origin": "https://elsewhere.test"})
    assert refused.status_code == 403
    own = await client.post("/sign-in", data=form, headers={"Origin": "http://127.0.0.1:8000"})
    assert own.status_code != 403
