"""A case as pages, without scripts: the buyer's, the store's, the desk's."""

import re
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from fondaco import cases
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from tests.cases.steps import Sale, bring, make_sale
from tests.cases.test_files import PNG
from tests.support.money import make_staff
from tests.support.people import sign_in


@dataclass
class Window:
    """Somebody's browser."""

    client: httpx.AsyncClient
    token: str

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path, headers=self._headers())
        assert answer.status_code == status, (path, answer.status_code, answer.text[:3000])
        return answer.text

    async def post(
        self, path: str, status: int = 303, file: tuple[str, bytes] | None = None, **fields: object
    ) -> httpx.Response:
        if "csrf" not in self.client.cookies:
            await self.client.get("/sign-in")
        data = {"_csrf_token": self.client.cookies.get("csrf") or "", **fields}
        files = {"file": file} if file else None
        answer = await self.client.post(path, data=data, files=files, headers=self._headers())
        assert answer.status_code == status, (path, answer.status_code, answer.text[:3000])
        return answer

    def _headers(self) -> dict[str, str]:
        return {"Cookie": f"csrf={self.client.cookies.get('csrf') or ''}; session={self.token}"}


async def window(client: httpx.AsyncClient, db: Database, viewer: Viewer) -> Window:
    return Window(client, await sign_in(db, viewer))


async def test_from_the_order_to_the_decision(client: httpx.AsyncClient, sale: Sale) -> None:
    buyer = await window(client, sale.db, sale.buyer)
    seller = await window(client, sale.db, sale.shop.owner)
    support = await window(client, sale.db, sale.support)
    finance = await window(client, sale.db, sale.finance)
    order = await client.get(f"/orders/{sale.order_id}", headers=buyer._headers())
    page = await buyer.get(order.headers["location"].split("#")[0])
    assert f"/orders/{sale.order_id}/case" in page
    await buyer.get(f"/orders/{sale.order_id}/case")
    answer = await buyer.post(
        f"/orders/{sale.order_id}/case",
        line_ids=str(sale.line_id),
        reason="NOT_WORKING",
        text="It says it was used.",
        wish="REFUND",
        file=("shot.png", PNG),
    )
    where = answer.headers["location"]
    case_id = UUID(where.rsplit("/", 1)[1])
    page = await buyer.get(where)
    assert "It says it was used." in page
    assert "shot.png" in page
    assert "frozen meanwhile" in page
    assert f"/cases/{case_id}" in await buyer.get("/cases")
    assert where in await buyer.get(order.headers["location"].split("#")[0])

    assert "It says it was used." in await seller.get(f"/seller/cases/{case_id}")
    await seller.post(f"/seller/cases/{case_id}/write", text="Which client do you use?")
    await seller.post(f"/seller/cases/{case_id}/offer", kind="REFUND", amount="5.00", offer="Half and half.")
    assert "€5.00" in await buyer.get(where)
    assert "Accept the offer" in await buyer.get(f"{where}/accept")
    await buyer.post(f"{where}/decline")

    assert "Take it" in await support.get(f"/console/cases/{case_id}")
    await support.post(f"/console/cases/{case_id}/take", version="3")
    await support.post(
        f"/console/cases/{case_id}/ask", party="seller", question="Where is it from?", version="4"
    )
    assert "You are asked" in await seller.get(f"/seller/cases/{case_id}")
    await seller.post(
        f"/seller/cases/{case_id}/answer", answer="From the maker.", version="5", file=("a.txt", b"bill")
    )
    assert f"/console/cases/{case_id}/decide" in await finance.get(f"/console/cases/{case_id}")
    await finance.get(f"/console/cases/{case_id}/decide")
    await finance.post(
        f"/console/cases/{case_id}/decide", outcome="BUYER", decision="It was used.", version="6"
    )
    page = await buyer.get(where)
    assert "You got €19.99 back." in page
    assert "Refunded" in await buyer.get("/orders")
    await seller.post(f"/seller/cases/{case_id}/appeal", appeal="Look at the log.")
    assert "Appeals" in await support.get("/console/cases?only=appeal")
    await support.post(f"/console/cases/{case_id}/close", last="We looked; it stays.", version="8")
    assert "data-live-final" in await buyer.get(where)
    assert "Case closed" in await support.get(f"/console/orders/{sale.order_id}")


async def test_what_is_typed_wrong_is_said_at_its_field(client: httpx.AsyncClient, sale: Sale) -> None:
    buyer = await window(client, sale.db, sale.buyer)
    path = f"/orders/{sale.order_id}/case"
    assert "Choose what it is about." in (await buyer.post(path, 422, text="x" * 9, reason="OTHER")).text
    line = str(sale.line_id)
    page = (await buyer.post(path, 422, line_ids=line, text="x", reason="OTHER")).text
    assert 'id="f-text-error"' in page
    page = (await buyer.post(path, 422, line_ids=line, text="long enough", reason="")).text
    assert "Choose what is wrong." in page
    assert "long enough" in page
    page = (
        await buyer.post(
            path, 422, line_ids=line, text="long enough", reason="OTHER", file=("a.exe", b"MZ\x00\x01")
        )
    ).text
    assert 'id="f-file-error"' in page
    case_id = await sale.open()
    page = (await buyer.post(f"/cases/{case_id}/write", 422, text="x")).text
    assert 'id="f-text-error"' in page
    seller = await window(client, sale.db, sale.shop.owner)
    for amount in ("", "abc", "1e3", "99999"):
        answer = await seller.post(
            f"/seller/cases/{case_id}/offer", 422, kind="REFUND", amount=amount, offer="Take it."
        )
        assert 'id="f-amount-error"' in answer.text
    await bring(sale, case_id, "UNDER_REVIEW")
    finance = await window(client, sale.db, sale.finance)
    decide = f"/console/cases/{case_id}/decide"
    for fields, fault in (
        ({"outcome": "", "decision": "Because."}, "f-outcome-error"),
        ({"outcome": "SELLER", "decision": ""}, "f-decision-error"),
        ({"outcome": "SPLIT", "decision": "Because.", f"amount-{line}": "abc"}, f"f-amount-{line}-error"),
        ({"outcome": "SPLIT", "decision": "Because."}, "Shared means"),
    ):
        assert fault in (await finance.post(decide, 422, **fields)).text
    stale = await finance.post(decide, 409, outcome="SELLER", decision="Because.", version="1")
    assert "went on since you opened the page" in stale.text
    assert (await sale.line())["escrow_state"] == "FROZEN"


async def test_each_role_sees_what_it_may_do(client: httpx.AsyncClient, sale: Sale) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "UNDER_REVIEW")
    for role, sees, not_sees in (
        ("support", "/ask", "/decide"),
        ("finance", "/decide", "/ask"),
        ("auditor", "Evidence", "/ask"),
    ):
        desk = await window(client, sale.db, await make_staff(sale.db, role))
        page = await desk.get(f"/console/cases/{case_id}")
        assert f"{sees}" in page
        assert f"/console/cases/{case_id}{not_sees}" not in page
    support = await window(client, sale.db, sale.support)
    await support.post(f"/console/cases/{case_id}/decide", 403, outcome="SELLER", decision="I may not.")
    finance = await window(client, sale.db, sale.finance)
    await finance.post(f"/console/cases/{case_id}/ask", 403, party="buyer", question="I may not.")


@pytest.mark.parametrize("ending", ["evidence.pdf", "evidence.json", "fragment"])
async def test_each_side_reads_its_own(client: httpx.AsyncClient, sale: Sale, ending: str) -> None:
    case_id = await sale.open()
    other = await make_sale(sale.db, sale.settings)
    for viewer, base in (
        (sale.buyer, "/cases"),
        (sale.shop.owner, "/seller/cases"),
        (sale.support, "/console/cases"),
    ):
        own = await window(client, sale.db, viewer)
        answer = await client.get(f"{base}/{case_id}/{ending}", headers=own._headers())
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    for viewer, base in ((other.buyer, "/cases"), (other.shop.owner, "/seller/cases")):
        stranger = await window(client, sale.db, viewer)
        await stranger.get(f"{base}/{case_id}/{ending}", 404)
        await stranger.get(f"{base}/{case_id}", 404)


async def test_files_run_nothing_and_are_private(client: httpx.AsyncClient, sale: Sale) -> None:
    case_id = await sale.open()
    buyer = await window(client, sale.db, sale.buyer)
    script = b"<html><script>alert(1)</script></html>"
    await buyer.post(f"/cases/{case_id}/write", text="See the page I saw.", file=('p"<b>.html', script))
    page = await buyer.get(f"/cases/{case_id}")
    found = re.search(r"/cases/files/([0-9a-f-]{36})", page)
    assert found
    answer = await client.get(found[0], headers=buyer._headers())
    assert answer.content == script
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "<b>" not in page
    stranger = await window(client, sale.db, (await make_sale(sale.db, sale.settings)).buyer)
    await stranger.get(found[0], 404)
    await stranger.get(found[0].replace("/cases/", "/seller/cases/"), 404)
    await stranger.get(found[0].replace("/cases/", "/console/cases/"), 404)
    assert (await client.get(found[0])).status_code == 303


async def test_texts_of_strangers_are_only_text(client: httpx.AsyncClient, sale: Sale) -> None:
    evil = "<img src=x onerror=alert(1)> {{ 7*7 }} [link](javascript:alert(1))"
    case_id = await sale.open(text=evil)
    await cases.write(sale.db, sale.as_seller, case_id, evil)
    for viewer, base in (
        (sale.buyer, "/cases"),
        (sale.shop.owner, "/seller/cases"),
        (sale.support, "/console/cases"),
    ):
        page = await (await window(client, sale.db, viewer)).get(f"{base}/{case_id}")
        assert "&lt;img src=x" in page
        assert "<img src=x" not in page
        assert "49" not in re.findall(r"\{\{|49 \[link\]", page)


async def test_lists_when_there_is_nothing(client: httpx.AsyncClient, sale: Sale) -> None:
    assert "You have no case" in await (await window(client, sale.db, sale.buyer)).get("/cases")
    assert "No cases" in await (await window(client, sale.db, sale.shop.owner)).get("/seller/cases")
    assert "No cases" in await (await window(client, sale.db, sale.support)).get("/console/cases")
