"""A whole marketplace, as `fondaco up` starts it, and a real browser in front of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fondaco.up.ports import spare

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STEP_S = 30
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    named = os.environ.get("FONDACO_CHROMIUM")
    return named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@dataclass(frozen=True)
class Stack:
    """A running marketplace with its demo."""

    url: str
    sandbox: str
    data: Path
    accounts: dict[str, dict[str, str]]
    _used: dict[str, int] = field(default_factory=dict)

    def code(self, who: str) -> str:
        """A second-factor code of a member of the demo's staff. Each counts once, and those before and after
        the present one are taken too: only who asks for a fourth within half a minute waits."""
        step = max(self._used.get(who, 0) + 1, int(time.time()) // STEP_S - 1)
        time.sleep(max(0.0, (step - 1) * STEP_S - time.time()))
        self._used[who] = step
        return pyotp.TOTP(self.accounts[who]["totp"]).generate_otp(step)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """`fondaco up` with the demo, on a data folder of its own."""
    place = Path(tempfile.mkdtemp(prefix="fondaco-browser-", dir="/tmp" if os.name == "posix" else None))
    place.chmod(0o711)
    data, port = place / "data", spare()
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FONDACO_", "DATABASE_", "STRIPE_"))}
    with (place / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fondaco", "up", "--data", str(data), "--port", str(port)],
            cwd=place,
            env=bare,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, place / "up.log")
        state = json.loads((data / "state.json").read_text())
        accounts = {a["email"].split("@")[0]: a for a in json.loads((data / "demo.json").read_text())}
        yield Stack(url, state["sandbox_url"], data, accounts)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(place, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        try:
            if httpx.get(f"{url}/health/ready", timeout=2).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    else:
        raise AssertionError(f"not ready\n{log.read_text()}")
    while "is open" not in log.read_text():
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: while it is open its event loop runs, and no other test could have one."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: the browser tests did not run")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


@dataclass
class Visit:
    """A browser context that notes every complaint of the page: policy, console errors, broken requests."""

    context: BrowserContext
    page: Page
    complaints: list[str]


Visitor = Callable[..., Visit]


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    """Opens contexts: visitor(viewport=PHONE, scripts=False, dark=True)."""
    opened: list[Visit] = []

    def open_one(
        viewport: dict[str, int] | None = None, *, scripts: bool = True, dark: bool = False
    ) -> Visit:
        context = browser.new_context(
            viewport=viewport or DESKTOP,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            base_url=stack.url,
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(15_000)
        complaints: list[str] = []
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on(
            "response",
            lambda r: complaints.append(f"{r.status} {r.url}") if r.status >= 500 else None,
        )
        visit = Visit(context, page, complaints)
        opened.append(visit)
        return visit

    yield open_one
    for visit in opened:
        visit.context.close()
    for visit in opened:
        assert not visit.complaints
