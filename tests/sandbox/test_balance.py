"""The balance: its sums, very many movements, and reports of them."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import stripe

from fondaco_sandbox.store import Store
from fondaco_sandbox.views import INDEXED
from tests.sandbox.conftest import KEY, intent_params
from tests.sandbox.test_transfers import fund, seller, send
from tests.support.sandbox import RunningSandbox

BEGAN = 1_700_000_000


def plan_of(folder: Path, sql: str) -> list[str]:
    """How the sandbox's store would answer a query."""
    store = Store(folder)
    rows = store.db.execute(f"explain query plan {sql}", ("x",) * sql.count("?"))
    plan = [row["detail"] for row in rows]
    store.close()
    return plan


def all_of(api: stripe.StripeClient, **params: object) -> Iterator[stripe.BalanceTransaction]:
    found = api.v1.balance_transactions.list({"limit": 100, **params})  # type: ignore[arg-type]
    return found.auto_paging_iter()


def test_sums_are_those_of_the_movements(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    fund(api)
    fund(api, 3000, "jpy")
    intent = api.v1.payment_intents.create(intent_params(currency="eur"))  # type: ignore[arg-type]
    api.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    transfer = send(api, account)
    api.v1.transfers.reversals.create(transfer.id, {"amount": 300})
    sandbox.post(f"/sandbox/charges/{intent.id}/dispute")
    api.v1.payouts.create({"amount": 100, "currency": "eur"})
    for still_pending in (2000 - 88, 0):
        shown = api.v1.balance.retrieve()
        for currency in ("eur", "jpy"):
            movements = [each for each in all_of(api) if each.currency == currency]
            for state, funds in (("available", shown.available), ("pending", shown.pending)):
                of_state = sum(each.net for each in movements if each.status == state)
                assert {each.currency: each.amount for each in funds}[currency] == of_state
        assert {each.currency: each.amount for each in shown.pending} == {"eur": still_pending, "jpy": 0}
        sandbox.advance(3 * 86_400)


def test_generated_movements_are_listed_whole(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    fund(api)
    sums = sandbox.post("/sandbox/generate", count=2500, since=BEGAN, until=BEGAN + 100)
    found = list(all_of(api, created={"gte": BEGAN, "lt": BEGAN + 100}))
    assert [each.id for each in found] == [f"txn_gen{n:012}" for n in range(2500, 0, -1)]
    assert (sum(each.net for each in found), sum(each.fee for each in found)) == (sums["net"], sums["fee"])
    assert {each.type for each in found} == {"charge", "refund"}
    known = {each.currency: each.amount for each in api.v1.balance.retrieve().available}
    assert known["eur"] == sums["net"] + 10_000 - 320
    assert next(iter(all_of(api))).created > BEGAN + 100, "the newest by its date comes first"
    backwards = api.v1.balance_transactions.list({"ending_before": found[-1].id, "limit": 3})
    assert [each.id for each in backwards] == [f"txn_gen{n:012}" for n in (4, 3, 2)]
    assert len(list(all_of(api, type="refund", created={"gte": BEGAN + 40, "lt": BEGAN + 60}))) == 50
    again = sandbox.control.post("/sandbox/generate", json={"count": 10, "first": 2500})
    assert again.status_code == 400 and "there already" in again.text


@pytest.mark.parametrize(
    "asked",
    [
        "kind = ? and created >= ? and created < ?",
        "kind = ? and +created >= ? and +created < ? and (created, seq) < (?, ?)",
    ],
)
def test_a_page_is_read_along_an_index(tmp_path: Path, asked: str) -> None:
    """However many rows there are, a page costs a hundred: nothing is sorted."""
    plan = plan_of(
        tmp_path, f"select body from objects where {asked} order by created desc, seq desc limit 101"
    )
    assert len(plan) == 1 and "USING INDEX objects_created" in plan[0]


@pytest.mark.parametrize(
    ("field", "index"),
    [
        ("transfer_group", "objects_group"),
        ("source", "objects_of_source"),
        ("payment_intent", "objects_of_intent"),
        ("charge", "objects_of_charge"),
        ("customer", "objects_of_customer"),
    ],
)
def test_the_few_of_a_field_are_found_by_its_index(tmp_path: Path, field: str, index: str) -> None:
    assert field in INDEXED
    asked = f"select 1 from objects where kind = ? and json_extract(body, '$.{field}') = ?"
    plan = plan_of(tmp_path, f"{asked} and (+created, seq) < (?, ?) order by +created desc, seq desc limit 3")
    assert index in plan[0]


def test_a_report_has_every_movement_but_payouts(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/generate", count=300, currency="kwd", since=BEGAN, until=BEGAN + 100)
    fund(api)
    api.v1.payouts.create({"amount": 100, "currency": "eur"})
    kinds = api.v1.reporting.report_types.list().data
    assert [kind.id for kind in kinds] == ["balance_change_from_activity.itemized.3"]
    assert api.v1.reporting.report_types.retrieve(kinds[0].id).data_available_start == BEGAN
    sandbox.advance(1)
    interval = {"interval_start": BEGAN, "interval_end": kinds[0].data_available_end + 1}
    run = api.v1.reporting.report_runs.create({"report_type": kinds[0].id, "parameters": interval})  # type: ignore[arg-type]
    assert (run.status, run.result) == ("pending", None)
    sandbox.advance(5)
    done = api.v1.reporting.report_runs.retrieve(run.id)
    assert done.status == "succeeded" and done.result and done.result.url
    assert httpx.get(done.result.url).status_code == 401
    answer = httpx.get(done.result.url, auth=(KEY, ""))
    assert len(answer.content) == done.result.size == api.v1.files.retrieve(done.result.id).size
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 301
    assert (rows[0]["balance_transaction_id"], rows[0]["gross"], rows[0]["currency"]) == (
        "txn_gen000000000001",
        "8.419",
        "kwd",
    )
    assert rows[-1]["gross"] == "100.00" and rows[-1]["reporting_category"] == "charge"
    assert [each.id for each in api.v1.reporting.report_runs.list()] == [run.id]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"interval_end": BEGAN - 1}, "parameters[interval_end]"),
        ({"interval_end": 2**33}, "parameters[interval_end]"),
        ({"columns": ["colour"]}, "parameters[columns]"),
    ],
)
def test_reports_that_are_refused(api: stripe.StripeClient, change: dict[str, object], param: str) -> None:
    parameters = {"interval_start": BEGAN, "interval_end": BEGAN + 1, **change}
    kind = "balance_change_from_activity.itemized.3"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.reporting.report_runs.create({"report_type": kind, "parameters": parameters})  # type: ignore[arg-type]
    assert caught.value.param == param


def test_a_movement_that_nobody_asked_for(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    made = sandbox.post("/sandbox/movement", amount=-250, type="stripe_fee", description="Monthly fee")
    known = api.v1.balance_transactions.retrieve(made["id"])
    assert (known.type, known.reporting_category, known.net, known.source) == (
        "stripe_fee",
        "fee",
        -250,
        None,
    )
    assert api.v1.balance.retrieve().available[0].amount == -250
    for wrong in ({"amount": 0}, {"amount": "much"}, {"amount": 1, "type": "gift"}):
        assert sandbox.control.post("/sandbox/movement", json=wrong).status_code == 400
