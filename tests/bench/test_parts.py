"""The small parts the figures rest on."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fondaco.bench import chart, flame
from fondaco.bench.load import KEY, Outcome, Plan, play, request
from fondaco.bench.processes import cpu_ticks, family, own_kib, pss_kib
from fondaco.bench.report import BEGIN, END, between_marks, ms, percentile
from fondaco.bench.soak import slope_per_hour
from fondaco.bench.webhook import signed


class Server:
    """Answers every request with 201, but every third with 409; keeps the keys it saw."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.n = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
                await reader.readexactly(int(lines.get("Content-Length", "0")))
                self.keys.append(lines.get("Idempotency-Key", ""))
                self.n += 1
                answer = b"x" * (self.n % 7)
                status = b"409 Conflict" if self.n % 3 == 0 else b"201 Created"
                head_bytes = b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\n\r\n" % len(answer)
                writer.write(head_bytes[:9])  # in two pieces, as a network may bring it
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(head_bytes[9:] + answer)
        except asyncio.IncompleteReadError:
            writer.close()


async def test_the_load_counts_every_answer_and_never_repeats_a_key() -> None:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    text = request("POST", "/x", token="t", key=True, body={"a": 1})
    outcome = await play(Plan(port=port, seconds=0.3, clients=[[text]] * 3, first_key=7, warm=0.0))
    listening.close()
    assert set(outcome.statuses) == {"201", "409"}
    assert sum(outcome.statuses.values()) == len(outcome.micros) > 10
    assert outcome.first_refusal == "x" * 3 or set(outcome.first_refusal) <= {"x"}
    assert len(set(server.keys)) == len(server.keys) >= len(outcome.micros)
    assert all(len(key) == 32 and KEY not in key for key in server.keys)


def test_refusals_are_no_purchases() -> None:
    outcome = Outcome(2.0, 0.1, [1, 2, 3, 4], {"201": 3, "409": 1})
    assert outcome.good == 3 and outcome.rate == 1.5


def test_a_family_is_a_process_and_what_it_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in family(os.getpid())
        assert 0 < pss_kib(child.pid) < pss_kib(os.getpid())
        assert cpu_ticks(os.getpid()) > 0
    finally:
        child.communicate()
    assert child.pid not in family(os.getpid())


HOLDS = {
    "written": "held = b'x' * (32 << 20)",
    "mapped": "import mmap; file = open({file!r}, 'rb'); "
    "held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); held.find(b'y')",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("held", HOLDS)
def test_the_pages_of_files_are_no_memory_of_its_own(tmp_path: Path, held: str) -> None:
    """Others that map the same file change whose part is whose: a slope must not see that."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * (32 << 20))
    program = HOLDS[held].format(file=str(file)) + "; print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdout.readline()
        assert (own_kib(child.pid) > 32 << 10) == (held == "written")
        assert pss_kib(child.pid) > 32 << 10
    finally:
        child.communicate()


def test_percentiles_and_units() -> None:
    assert percentile(range(1, 101), 0.5) == 51
    assert percentile(range(1, 101), 0.99) == 100
    assert percentile([], 0.99) == 0
    assert ms(1234) == "1.2" and ms(250_000) == "250"


def test_the_slope_of_a_soak() -> None:
    rising = [(float(m), 100 + m / 60) for m in range(60)]
    slope, error = slope_per_hour(rising)
    assert slope == pytest.approx(1.0) and error == pytest.approx(0.0, abs=1e-6)
    level = [(float(m), 100 + (-1) ** m) for m in range(60)]
    slope, error = slope_per_hour(level)
    assert abs(slope) < 2 * error
    assert slope_per_hour(rising[:2]) == (0.0, 0.0)


def test_results_go_between_the_marks_and_nothing_else_changes() -> None:
    text = f"# Bench\n\nWords.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    fresh = between_marks(text, "new")
    assert fresh == text.replace("old", "new")
    assert between_marks(fresh, "newer") == text.replace("old", "newer")
    assert between_marks("# Bench\n", "new").startswith("# Bench\n\n" + BEGIN)


def test_a_flame_graph_adds_up() -> None:
    root = flame.read("a;b;c 6\na;b 2\na;d 2\nnonsense\n")
    assert root.samples == 10
    assert root.below["a"].below["b"].samples == 8
    shares = flame.shares(root, {"cs": ("c",), "bs": ("b",)})
    assert shares == {"cs": 0.6, "bs": 0.2, "other": 0.2}
    drawing = flame.svg(flame.read("<evil>;b 1\n"), "T & T")
    assert "<evil>" not in drawing and "&lt;evil&gt;" in drawing and "T &amp; T" in drawing


def test_a_chart_draws_every_series() -> None:
    drawing = chart.lines("M", {"web": [(0, 1), (1, 2)], "worker": [(0, 3)]}, across="minutes", unit="MiB")
    assert drawing.count("<path stroke") == 2 and ">web 2<" in drawing
    assert "<path stroke" not in chart.lines("M", {"none": []}, across="minutes", unit="MiB")


def test_events_are_signed_as_the_provider_signs() -> None:
    from stripe import WebhookSignature

    head, _, body = signed({"id": "evt_1"}, "whsec_x").partition(b"\r\n\r\n")
    mark = next(line for line in head.decode().splitlines() if line.startswith("Stripe-Signature: "))
    assert WebhookSignature.verify_header(body.decode(), mark.partition(": ")[2], "whsec_x", tolerance=30)
