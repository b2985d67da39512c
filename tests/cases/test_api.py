"""Cases over the API: the buyer's program, the store's, the desk's."""

import httpx
import pytest

from fondaco.cases import verify_evidence
from tests.cases.steps import Sale, make_sale
from tests.cases.test_files import PNG
from tests.support.people import bearer


async def test_a_whole_case_by_programs(client: httpx.AsyncClient, sale: Sale) -> None:
    buyer, seller = await bearer(sale.db, sale.buyer), await bearer(sale.db, sale.shop.owner)
    support, finance = await bearer(sale.db, sale.support), await bearer(sale.db, sale.finance)
    asked = {"order_id": str(sale.order_id), "reason": "NOT_WORKING", "text": "It does not work."}
    opened = await client.post("/api/v1/cases", headers=buyer, json=asked)
    assert opened.status_code == 201, opened.text
    case = opened.json()["case"]
    assert opened.json()["acts"] == ["write", "attach", "withdraw"]
    again = await client.post("/api/v1/cases", headers=buyer, json=asked)
    assert (again.status_code, again.json()["code"]) == (409, "case_open")
    mine, theirs = f"/api/v1/cases/{case['id']}", f"/api/v1/seller/cases/{case['id']}"
    desk = f"/api/v1/console/cases/{case['id']}"

    added = await client.post(f"{mine}/files?name=shot.png", headers=buyer, content=PNG)
    assert added.status_code == 201, added.text
    file = f"/api/v1/case-files/{added.json()['id']}"
    assert (await client.get(file, headers=buyer)).content == PNG
    assert (await client.get(file.replace("v1/", "v1/seller/"), headers=seller)).content == PNG
    assert (await client.get(file.replace("v1/", "v1/console/"), headers=support)).content == PNG
    bad = await client.post(f"{mine}/files?name=x", headers=buyer, content=b"MZ\x00")
    assert (bad.status_code, bad.json()["code"]) == (422, "bad_file")

    offered = await client.post(f"{theirs}/offer", headers=seller, json={"amount": 500, "text": "Take it."})
    assert offered.json()["offer"]["amount"] == 500
    assert (await client.delete(f"{theirs}/offer", headers=seller)).status_code == 204
    said = await client.post(f"{mine}/messages", headers=buyer, json={"text": "No, thank you."})
    assert said.json()["messages"][-1]["body"] == "No, thank you."
    assert (await client.get("/api/v1/seller/cases", headers=seller)).json()["items"][0]["id"] == case["id"]

    taken = await client.post(f"{desk}/take", headers=support, json={})
    assert taken.json()["case"]["state"] == "UNDER_REVIEW"
    question = {"party": "seller", "text": "Where is it from?"}
    assert (await client.post(f"{desk}/ask", headers=support, json=question)).json()["case"]["asked_party"]
    assert (
        await client.post(f"{desk}/notes", headers=support, json={"text": "Between us."})
    ).status_code == 201
    answered = await client.post(f"{theirs}/answer", headers=seller, json={"text": "From the maker."})
    version = answered.json()["case"]["version"]
    refused = await client.post(
        f"{desk}/decide", headers=support, json={"outcome": "BUYER", "text": "I may not."}
    )
    assert refused.status_code == 403
    decision = {
        "outcome": "SPLIT",
        "text": "Both are right.",
        "amounts": {str(sale.line_id): 999},
        "version": version,
    }
    decided = await client.post(f"{desk}/decide", headers=finance, json=decision)
    assert (decided.status_code, decided.json()["case"]["refunded"]) == (200, 999), decided.text
    late = await client.post(f"{desk}/decide", headers=finance, json=decision)
    assert (late.status_code, late.json()["code"]) == (409, "case_moved")
    assert (await client.post(f"{theirs}/appeal", headers=seller, json={"text": "Once more."})).is_success
    closed = await client.post(f"{desk}/close", headers=support, json={"text": "It stays so."})
    assert closed.json()["case"]["state"] == "CLOSED"
    figures = (await client.get("/api/v1/console/case-outcomes", headers=support)).json()
    assert figures == {"outcomes": {"SPLIT": 1}, "open": 0, "late": 0}

    key = (await client.get("/api/v1/evidence/key")).json()["public_key"]
    for address, headers in ((mine, buyer), (theirs, seller), (desk, support)):
        pack = await client.get(f"{address}/evidence", headers=headers)
        assert verify_evidence.check(pack.content, key)
    assert (await client.get("/api/v1/evidence/verifier")).text.startswith("#!/usr/bin/env python3")


async def test_lists_page_and_search(client: httpx.AsyncClient, sale: Sale) -> None:
    numbers = set[str]()
    for _ in range(3):
        one = await make_sale(sale.db, sale.settings)
        await one.open()
        found = await client.get("/api/v1/cases", headers=await bearer(sale.db, one.buyer))
        numbers |= {row["number"] for row in found.json()["items"]}
    support = await bearer(sale.db, sale.support)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get(
                "/api/v1/console/cases",
                headers=support,
                params={"limit": 1, **({"cursor": cursor} if cursor else {})},
            )
        ).json()
        seen += [row["number"] for row in page["items"]]
        cursor = page["next"]
    assert sorted(seen) == sorted(numbers)
    one = await client.get("/api/v1/console/cases", headers=support, params={"q": seen[0]})
    assert [row["number"] for row in one.json()["items"]] == seen[:1]
    none = await client.get("/api/v1/console/cases", headers=support, params={"state": "WON"})
    assert none.json()["items"] == []
    assert none.json()["states"] == {"OPEN": 3}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"order_id": "x", "reason": "OTHER", "text": "abc"},
        {"reason": "OTHER", "text": "abc"},
        {"order_id": "01930000-0000-7000-8000-000000000000", "reason": "NONE", "text": "abc"},
        {"order_id": "01930000-0000-7000-8000-000000000000", "reason": "OTHER", "text": ""},
        {
            "order_id": "01930000-0000-7000-8000-000000000000",
            "reason": "OTHER",
            "text": "abc",
            "line_ids": [],
        },
    ],
)
async def test_bad_bodies_are_refused_in_words(
    client: httpx.AsyncClient, sale: Sale, body: dict[str, object]
) -> None:
    answer = await client.post("/api/v1/cases", headers=await bearer(sale.db, sale.buyer), json=body)
    assert answer.status_code == 422
    assert answer.json()["fields"]
