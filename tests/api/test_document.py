"""The OpenAPI document, health, metrics, errors as pages: the whole application."""

from typing import Any

import httpx
import pytest

from fondaco.api.routes import newest_revision
from fondaco.core.db import Database
from fondaco.core.migrate import newest
from fondaco.core.web import Parts
from fondaco.identity.permissions import PERMISSIONS
from fondaco.settings import Settings
from tests.support.app import calling


@pytest.fixture
async def openapi(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(openapi: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, o) for path, item in openapi["paths"].items() for method, o in item.items()]


async def test_the_document_is_whole(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1")
    assert len(openapi["paths"]) > 60
    seen: set[str] = set()
    for path, method, operation in operations(openapi):
        where = f"{method} {path}"
        assert path.startswith("/api/v1/"), where
        assert operation["operationId"] not in seen, where
        seen.add(operation["operationId"])
        assert operation.get("summary"), where
        assert operation["x-permission"] in PERMISSIONS, where
        assert {"401", "403", "404", "422", "429", "500"} <= operation["responses"].keys(), where
        assert any(status.startswith("2") for status in operation["responses"]), where
        keyed = any(p.get("name") == "Idempotency-Key" for p in operation.get("parameters", []))
        assert keyed == (method == "post"), where


async def test_references_lead_somewhere_and_inputs_are_closed(openapi: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(ref := node.get("$ref"), str):
                found: Any = openapi
                for step in ref.removeprefix("#/").split("/"):
                    found = found[step]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(openapi)
    for path, method, operation in operations(openapi):
        body = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        if ref := body.get("$ref"):
            schema = openapi["components"]["schemas"][ref.rsplit("/", 1)[-1]]
            assert schema.get("additionalProperties") is False, f"{method} {path}"


async def test_pages_are_not_in_it(openapi: dict[str, Any]) -> None:
    assert not [p for p in openapi["paths"] if not p.startswith("/api/v1/")]
    assert openapi["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_health_says_alive_and_ready(client: httpx.AsyncClient, owner: Any) -> None:
    assert (await client.get("/health/live")).text == "alive\n"
    assert (await client.get("/health/ready")).status_code == 200
    await owner.execute("UPDATE public.alembic_version SET version_num = '0000'")
    answer = await client.get("/health/ready", headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "needs" in answer.json()["detail"]
    assert newest_revision() == newest()


async def test_without_a_database_it_is_alive_and_not_ready(client: httpx.AsyncClient, db: Database) -> None:
    await db.close()
    assert (await client.get("/health/live")).status_code == 200
    answer = await client.get("/health/ready", headers={"accept": "application/json"})
    assert answer.status_code == 503
    await db.open()


async def test_metrics_are_for_this_machine_and_trusted_proxies(
    client: httpx.AsyncClient, settings: Settings, parts: Parts
) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert 'fondaco_waiting{what="jobs"}' in answer.text
    again = (await client.get("/metrics")).text
    assert 'fondaco_requests_total{method="GET",route="/metrics",status="200"}' in again
    forwarded = await client.get("/metrics", headers={"x-forwarded-for": "203.0.113.9"})
    assert forwarded.status_code == 404

    async with calling(settings, parts, address="203.0.113.9") as stranger:
        assert (await stranger.get("/metrics")).status_code == 404


async def test_problems_are_pages_for_people_and_json_for_programs(client: httpx.AsyncClient) -> None:
    page = await client.get("/l/no-such-listing", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is nothing here" in page.text
    nowhere = await client.get("/no/such/page", headers={"accept": "text/html"})
    assert nowhere.status_code == 404
    assert "There is nothing here" in nowhere.text
    api = await client.get("/api/v1/listings/no-such-listing")
    assert api.status_code == 404
    assert api.headers["content-type"] == "application/problem+json"
    assert api.json()["code"] == "not_found"


async def test_the_reference_page_has_only_own_files_and_no_inline_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/api/docs")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "https://" not in page.text
    for name in ("swagger-ui.js", "swagger-ui.css", "reference.js"):
        start = page.text.index("/static/", page.text.index(name) - 40)
        path = page.text[start : page.text.index(name) + len(name)]
        assert (await client.get(path)).status_code == 200, path
