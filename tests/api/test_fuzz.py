"""Every operation of the OpenAPI document, called with values made from the document: no answer is a
server error, each has a status, content type and shape the document names.

FONDACO_FUZZ sets how many values are tried per operation.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from fondaco.api.document import document
from fondaco.app import build_parts, create_app
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.identity.permissions import PERMISSIONS
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import Wish
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.conftest import make_settings
from tests.support.app import application
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money
from tests.support.people import make_seller, make_user, sign_in
from tests.support.sandbox import run_sandbox
from tests.support.shop import purchase

EXAMPLES = int(os.environ.get("FONDACO_FUZZ", "4"))
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def operation_names() -> list[str]:
    """All operations, known before any database is."""
    from types import SimpleNamespace

    nowhere: Any = SimpleNamespace(app_dsn="postgresql://nobody@127.0.0.1:1/nothing")
    with application(make_settings(nowhere), Parts()) as app:
        found = document(app)
    return [f"{method.upper()} {path}" for path, item in found["paths"].items() for method in item]


@dataclass
class World:
    """The application with something in it, and who calls."""

    runner: "asyncio.Runner"
    client: httpx.AsyncClient
    db: Database
    schema: Any
    seller: Viewer
    admin: Viewer
    known: dict[str, str]

    def caller(self, permission: str) -> Viewer:
        """Staff where only staff may, else a customer who has a store."""
        roles = PERMISSIONS[permission]
        return self.admin if all(r.startswith("staff.") for r in roles) else self.seller


async def furnish(settings: Settings) -> tuple[Any, Database, Viewer, Viewer, dict[str, str]]:
    """A store with stock, a purchase of its owner's in another store, and somebody of the staff."""
    parts = build_parts(settings)
    db, vault = parts.get(Database), parts.get(Vault)
    await db.open()
    seller, other, admin = (
        await make_seller(db),
        await make_seller(db),
        await make_user(db, staff_role="admin"),
    )
    own, offer = await make_listing(db, seller), await make_listing(db, other)
    await add_keys(db, vault, seller, own, 5)
    await add_keys(db, vault, other, offer, 50)
    await give_money(db, seller.user(), 100_000)
    await Combiner(db).buy(purchase(seller, Wish(offer.id, 1, offer.price)))
    row = await db.fetchrow(
        SYSTEM,
        """SELECT (SELECT id FROM orders.orders LIMIT 1)::text AS order_id,
                  (SELECT id FROM delivery.entitlement LIMIT 1)::text AS entitlement_id,
                  (SELECT id FROM inventory.stock_batch WHERE seller_id = $1 LIMIT 1)::text AS batch_id,
                  (SELECT slug FROM sellers.seller WHERE id = $1) AS slug,
                  (SELECT id FROM ledger.account LIMIT 1)::text AS account_id,
                  (SELECT id FROM ledger.journal LIMIT 1)::text AS journal_id""",
        seller.seller_id,
    )
    assert row
    known = {**dict(row), "listing_id": str(own.id), "key": str(offer.id)}
    return create_app(settings, parts), db, seller, admin, known


@pytest.fixture(scope="module")
def world(databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with databases.cloned() as found, run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        endpoints: Endpoints = found
        with asyncio.Runner() as runner:
            app, db, seller, admin, known = runner.run(
                furnish(make_settings(endpoints, stripe_api_base=sandbox.url))
            )
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60)
            schema = schemathesis.openapi.from_dict(document(app))
            yield World(runner, client, db, schema, seller, admin, known)
            runner.run(client.aclose())
            runner.run(db.close())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda m: m.value)
@pytest.mark.parametrize("name", operation_names())
def test_answers_are_what_the_document_says(world: World, name: str, mode: GenerationMode) -> None:
    method, _, path = name.partition(" ")
    operation = world.schema[path][method]
    permission = operation.definition.raw["x-permission"]
    token = world.runner.run(sign_in(world.db, world.caller(permission)))
    checks = CHECKS.get_by_names(WANTED)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def call(case: Any, real: bool) -> None:
        if real and case.path_parameters:
            case.path_parameters |= {k: v for k, v in world.known.items() if k in case.path_parameters}
        sent = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
        try:
            request = httpx.Request(**_plain(sent), cookies=None)
        except (TypeError, ValueError, httpx.InvalidURL):
            return  # no client could send this
        request.headers["Authorization"] = f"Bearer {token}"
        answer = world.runner.run(world.client.send(request))
        request.read()
        answer.request = request
        case.validate_response(answer, checks=checks)

    try:
        call()
    except Unsatisfiable:
        pytest.skip("the document allows anything here")
    except FailureGroup as group:
        raise AssertionError("\n".join(f"{e}\n{e.__dict__}" for e in group.exceptions)[:3000]) from None


def _plain(sent: dict[str, Any]) -> dict[str, Any]:
    """What httpx takes; raw bytes are its `content`."""
    names = ("method", "url", "params", "headers", "json", "data", "content", "files")
    found = {name: sent[name] for name in names if sent.get(name) is not None}
    if isinstance(found.get("data"), bytes | str):
        found["content"] = found.pop("data")
    return found
