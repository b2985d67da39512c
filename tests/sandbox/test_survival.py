"""State, keys, timers, deliveries and the truth file outlive the process, however it ends."""

import json
import threading
from pathlib import Path

import httpx
import pytest
import stripe

from tests.sandbox.conftest import CheckedClient, connect, intent_params, session_params
from tests.sandbox.receiver import run_receiver
from tests.support.sandbox import RunningSandbox, run_sandbox

SECRET = "whsec_a_secret_for_this_test"


def lines(data: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (data / "truth.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kill", [True, False])
def test_restart(tmp_path: Path, checked: CheckedClient, kill: bool) -> None:
    with run_receiver() as receiver, run_sandbox(tmp_path, receiver.url, SECRET) as sandbox:
        receiver.secret, receiver.answers = SECRET, [500] * 4
        api = connect(sandbox.url, checked)
        session = api.v1.checkout.sessions.create(session_params(), {"idempotency_key": "key"})
        sandbox.pay(session.id, "bank_debit_success")
        sandbox.settle()
        sandbox.post("/sandbox/faults", drop=0, seed=5)
        sandbox.kill() if kill else sandbox.stop()
        before = lines(tmp_path)
        sandbox.start()
        assert lines(tmp_path)[: len(before)] == before
        again = api.v1.checkout.sessions.create(session_params(), {"idempotency_key": "key"})
        assert again.id == session.id
        assert sandbox.control.get("/sandbox/faults").json()["seed"] == 5
        sandbox.advance(5)
        assert api.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
        assert {"checkout.session.completed", "checkout.session.async_payment_succeeded"} <= set(
            receiver.types
        )
        assert api.v1.events.list({"delivery_success": False}).data == []
        assert lines(tmp_path) == sandbox.truth()


def test_clock_outlives_a_restart(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as sandbox:
        sandbox.advance(86_400)
        sandbox.kill()
        sandbox.start()
        assert sandbox.control.get("/sandbox/clock").json()["ahead_of_real_time_ms"] == 86_400_000


def test_killed_at_work_the_truth_is_what_the_api_says(tmp_path: Path, checked: CheckedClient) -> None:
    """Payments from four clients, kill -9 in their midst, three times: no acknowledged one is lost."""
    acknowledged: list[str] = []
    with run_sandbox(tmp_path) as sandbox:
        for _ in range(3):
            stop = threading.Event()
            threads = [
                threading.Thread(target=pay_until, args=(sandbox.url, stop, acknowledged)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            known = len(acknowledged)
            while len(acknowledged) < known + 20:
                assert any(thread.is_alive() for thread in threads)
            sandbox.kill()
            stop.set()
            for thread in threads:
                thread.join()
            sandbox.start()
        api = connect(sandbox.url, checked)
        charged = [charge.payment_intent for charge in api.v1.charges.list({"limit": 100}).auto_paging_iter()]
        truth = lines(tmp_path)
        told = [line["payment_intent"] for line in truth if line["fact"] == "charge.succeeded"]
        assert sorted(told) == sorted(map(str, charged))  # type: ignore[type-var]
        assert set(acknowledged) <= set(told) and len(set(told)) == len(told)
        assert [line["seq"] for line in truth] == sorted({line["seq"] for line in truth})  # type: ignore[type-var]


def pay_until(url: str, stop: threading.Event, acknowledged: list[str]) -> None:
    client = connect(url, CheckedClient())
    while not stop.is_set():
        try:
            made = client.v1.payment_intents.create(intent_params())  # type: ignore[arg-type]
        except stripe.StripeError:
            continue
        acknowledged.append(made.id)


def test_a_half_written_line_is_cut_off_and_written_whole(tmp_path: Path, checked: CheckedClient) -> None:
    with run_sandbox(tmp_path) as sandbox:
        connect(sandbox.url, checked).v1.payment_intents.create(intent_params())  # type: ignore[arg-type]
        sandbox.stop()
        whole = (tmp_path / "truth.jsonl").read_bytes()
        (tmp_path / "truth.jsonl").write_bytes(whole[:-25])
        sandbox.start()
        assert (tmp_path / "truth.jsonl").read_bytes() == whole


def test_reset_keeps_the_old_truth_and_the_configured_endpoint(
    tmp_path: Path, checked: CheckedClient
) -> None:
    with run_receiver() as receiver, run_sandbox(tmp_path, receiver.url, SECRET) as sandbox:
        receiver.secret = SECRET
        api = connect(sandbox.url, checked)
        api.v1.customers.create({"email": "buyer@example.com"})
        sandbox.advance(60)
        sandbox.reset()
        assert sandbox.truth() == [] == lines(tmp_path)
        assert len((tmp_path / "truth-1.jsonl").read_text().splitlines()) == 2
        assert sandbox.control.get("/sandbox/clock").json()["ahead_of_real_time_ms"] == 0
        api.v1.customers.create({"email": "buyer@example.com"})
        sandbox.settle()
        assert len(receiver.events) == 2


def test_ends_promptly_with_open_connections(tmp_path: Path) -> None:
    with run_sandbox(tmp_path) as sandbox, httpx.Client(base_url=sandbox.url) as idle:
        idle.get("/sandbox/health")
        assert sandbox.process is not None
        sandbox.process.terminate()
        assert sandbox.process.wait(timeout=5) == 0


def test_memory_is_modest(sandbox: RunningSandbox) -> None:
    assert sandbox.process is not None
    status = Path(f"/proc/{sandbox.process.pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    kilobytes = int(status.read_text().split("VmRSS:")[1].split()[0])
    assert kilobytes < 60_000
