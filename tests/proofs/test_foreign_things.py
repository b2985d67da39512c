"""Own and foreign: what a stranger asks for by its real id answers exactly as an id that does not exist."""

import re
import uuid

import httpx
from litestar import Litestar

from fondaco import cases
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.identity import create_api_key, save_view
from fondaco.integrations.blobs import Blobs
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.proofs.test_permission_matrix import STREAMS
from tests.support.app import application
from tests.support.goods import add_keys, make_article, make_listing
from tests.support.money import give_money
from tests.support.papers import some_papers
from tests.support.payouts import some_payouts
from tests.support.people import bearer, make_member, make_seller, make_user, sign_in

OURS = re.compile(r"^/(console|api/v1/console|static|media|l/|s/|c/|api/v1/stores|api/v1/listings)")
OPEN = ("/api/v1/cart/lines/{listing_id:uuid}",)  # one's own cart, whatever is in it

OF_ARTICLES = r"/listings/\{listing_id:uuid\}/(article|content|copies)"


async def things(
    db: Database, parts: Parts, client: httpx.AsyncClient
) -> tuple[dict[str, str], dict[str, str]]:
    """Ids of one of everything, by the name of the route's parameter; and the owners' tokens by desk."""
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    batch = await add_keys(db, parts.get(Vault), seller, listing, 3)
    article = await make_article(db, parts.get(Vault), seller)
    member = await make_member(db, seller, "fulfilment")
    key = await create_api_key(db, seller, name="mine", scopes=("catalog.read",))
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    line = {"listing_id": str(listing.id), "quantity": 1, "price": listing.price}
    order = {"pay_with": "wallet", "lines": [line]}
    bought = await client.post("/api/v1/orders", headers=await bearer(db, buyer), json=order)
    assert bought.status_code == 201, bought.text
    row = await db.fetchrow(SYSTEM, "SELECT id, order_id, line_id FROM delivery.entitlement")
    assert row
    top_up = await db.fetchval(
        SYSTEM,
        """INSERT INTO wallets.funding (id, user_id, purpose, amount, currency, state, expires_at, lines)
           VALUES (gen_random_uuid(), $1, 'top_up', 500, 'EUR', 'CREATED', now() + interval '1 hour', '[]')
           RETURNING id""",
        buyer.user(),
    )
    view = await save_view(db, buyer, list_name="orders", name="Mine", query="state=DELIVERED")
    case_id = await cases.open_case(
        db, parts.get(Settings), buyer, row["order_id"], reason="OTHER", text="It is not what I wanted."
    )
    by = cases.Acting("buyer", buyer)
    file_id = await cases.attach(db, parts.get(Blobs), by, case_id, name="a.txt", body=b"a text")
    await cases.offer(db, seller, case_id, amount=1, text="Take it.")
    report = await db.fetchval(
        SYSTEM,
        """INSERT INTO refunds.report (id, entitlement_id, line_id, order_id, buyer_id, seller_id, why, state,
             due_at)
           SELECT gen_random_uuid(), e.id, e.line_id, e.order_id, e.buyer_id, e.seller_id, 'It does not work',
             'OPEN', now() + interval '3 days' FROM delivery.entitlement e WHERE e.id = $1 RETURNING id""",
        row["id"],
    )
    chargeback = await db.fetchval(
        SYSTEM,
        """WITH c AS (INSERT INTO chargebacks.chargeback (id, provider_id, funding_id, user_id, amount,
             currency, reason, state, provider_status, opened_at)
             VALUES (gen_random_uuid(), 'du_1', $1, $2, 500, 'EUR', 'general', 'UNDER_REVIEW', 'under_review',
               now()) RETURNING id),
           l AS (INSERT INTO chargebacks.line (chargeback_id, line_id, order_id, buyer_id, seller_id, amount,
             policy, bps) SELECT c.id, l.id, l.order_id, l.buyer_id, l.seller_id, 500, 'platform', 0
             FROM c, orders.order_line l WHERE l.id = $3)
           SELECT id FROM c""",
        top_up,
        buyer.user(),
        row["line_id"],
    )
    await some_papers(parts, seller, 1)
    ids = {
        "report_id": report, "chargeback_id": chargeback,
        "payout_id": await some_payouts(db, parts.get(Settings), seller),
        "paper_id": await paper(db, "buyer_id"), "store_paper_id": await paper(db, "seller_id"),
        "case_id": case_id, "file_id": file_id, "line_id": row["line_id"],
        "listing_id": listing.id, "article_id": article.id, "batch_id": batch.id,
        "user_id": member.user(), "key_id": key.id,
        "order_id": row["order_id"], "group_id": bought.json()["order"]["id"], "entitlement_id": row["id"],
        "top_up_id": top_up, "session_id": buyer.session_id, "view_id": view.id,
    }  # fmt: skip
    owners = {"seller": await sign_in(db, seller), "buyer": await sign_in(db, buyer)}
    return {k: str(v) for k, v in ids.items()}, owners


async def paper(db: Database, owner: str) -> str:
    """A paper of a buyer (`buyer_id`) or of a store (`seller_id`)."""
    sql = f"SELECT id::text FROM statements.paper WHERE {owner} IS NOT NULL"
    return str(await db.fetchval(SYSTEM, sql))


def routes_with_ids(app: Litestar) -> list[tuple[str, str]]:
    """(method, path pattern) of every route of buyers and sellers whose path names a thing."""
    return [
        (str(method), route.path)
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
        if ":uuid}" in route.path and not OURS.match(route.path) and route.path not in OPEN
    ]


async def ask(client: httpx.AsyncClient, method: str, path: str, token: str) -> httpx.Response:
    if path.startswith("/api/"):
        body = {} if method == "GET" else {"json": {}}
        return await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **body)
    csrf = client.cookies.get("csrf") or ""
    headers = {"Cookie": f"csrf={csrf}; session={token}", "Accept": "text/html"}
    data = {} if method == "GET" else {"data": {"_csrf_token": csrf}}
    return await client.request(method, path, headers=headers, **data)


def faceless(answer: httpx.Response, path: str) -> tuple[int, str]:
    """The answer without what differs from request to request anyway: its own address."""
    return answer.status_code, answer.text.replace(path, "")


async def test_foreign_is_as_if_it_were_not(
    settings: Settings, parts: Parts, db: Database, client: httpx.AsyncClient
) -> None:
    with application(settings, parts) as app:
        routes = list(routes_with_ids(app))
    ids, owners = await things(db, parts, client)
    strangers = [await sign_in(db, await make_user(db)), await sign_in(db, await make_seller(db))]
    await client.get("/sign-in")
    faults, seen = list[str](), set[str]()
    for method, pattern in routes:
        name = re.search(r"\{(\w+):uuid\}", pattern)
        assert name, pattern
        fill = re.sub(r"\{act:str\}", "pause", pattern)
        which = "article_id" if re.search(OF_ARTICLES, pattern) else name[1]
        real = re.sub(r"\{(\w+):uuid\}", lambda m, w=which, n=name[1]: ids[w if m[1] == n else m[1]], fill)
        unreal = re.sub(r"\{\w+:uuid\}", str(uuid.uuid4()), fill)
        if not real.endswith(STREAMS):
            for token in strangers:
                told, random = (
                    await ask(client, method, real, token),
                    await ask(client, method, unreal, token),
                )
                if told.status_code < 300 or faceless(told, real) != faceless(random, unreal):
                    faults.append(f"{method} {real}: {told.status_code} against {random.status_code}")
        if method == "GET" and not real.endswith(STREAMS):
            codes = {(await ask(client, method, real, token)).status_code for token in owners.values()}
            if not codes & {200, 303, 307}:
                faults.append(f"GET {real}: {codes}, also for its owner")
            seen.add(name[1])
    assert not faults, "\n".join(faults)
    assert {"order_id", "entitlement_id", "listing_id", "batch_id", "top_up_id"} <= seen
