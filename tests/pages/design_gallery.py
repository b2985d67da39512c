"""Serve the design gallery on this machine, and picture it: `python -m tests.pages.design_gallery FOLDER`.

Without a folder it serves until interrupted. The pages answer with the strict content policy the
product uses, so an inline style or script shows at once.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fondaco.pages.render import environment
from fondaco.pages.static import static_response
from tests.pages.design_samples import pages

POLICY = "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; object-src 'none'"
CHROMIUM = Path(os.environ.get("FONDACO_CHROMIUM", "/usr/bin/chromium"))
CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


# Pages for the scripts' own tests: live over a stream, live by asking the page, an upload.
SCRIPTED = {
    "/live": '<section id="order" data-live-url="/live-stream">Waiting</section>',
    "/polled": '<section id="order" data-live-url="/no-stream">Waiting</section>',
    "/polled-done": '<section id="order" data-live-url="/no-stream" data-live-final>Delivered</section>',
    "/upload": (
        '{% import "macros/forms.html" as f %}{% call f.form("/upload", "t", upload=true) %}'
        '{{ f.file("keys", "Key file") }}{{ f.upload_progress() }}<button>Import</button>{% endcall %}'
    ),
}


def scripted(content: str) -> str:
    """A plain page with the live and upload scripts."""
    source = (
        '{% extends "layouts/plain.html" %}{% block title %}Scripts{% endblock %}{% block scripts %}'
        """<script type="module" src="{{ asset_url('live.js') }}"></script>"""
        """<script type="module" src="{{ asset_url('import.js') }}"></script>{% endblock %}"""
        "{% block content %}" + content + "{% endblock %}"
    )
    return environment().from_string(source).render()


class Gallery(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        theme = parse_qs(url.query).get("theme", ["auto"])[0]
        if url.path.startswith("/static/"):
            accepts = self.headers.get("Accept-Encoding", "")
            self._send(*static_response(url.path.removeprefix("/static/"), accepts))
            return
        if url.path == "/palette":
            found = b'{"items": [{"label": "Order #1042", "hint": "Delivered", "href": "/desk"}]}'
            self._send(200, {"Content-Type": "application/json"}, found)
            return
        if url.path == "/live-stream":
            self._stream()
            return
        if url.path in SCRIPTED:
            self._html(200, scripted(SCRIPTED[url.path]))
            return
        html = pages(theme).get(url.path.strip("/") or "shop")  # type: ignore[arg-type]
        self._html(200 if html else 404, html or "none")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self._html(200, "<title>kept</title><h1>kept</h1>") if b"KEY-1" in sent else self._html(
            422, "<title>refused</title><body><h1>No keys in this file</h1></body>"
        )

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for state, final in (("Paid", ""), ("Delivered", " data-live-final")):
            fragment = f'<section id="order" data-live-url="/live-stream"{final}>{state}</section>'
            self.wfile.write(f"data: {fragment}\n\n".encode())

    def _html(self, status: int, html: str) -> None:
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
        self._send(status, headers, html.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[str]:
    """The gallery's base URL while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gallery)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def picture(folder: Path) -> None:
    """Pictures of every page at phone and desktop width, light and dark."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with serving() as base, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        for width in (390, 1280):
            for theme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.on("console", lambda message: print(message.type, message.text))
                for name in ("shop", "desk", "covers", "signin"):
                    page.goto(f"{base}/{name}?theme={theme}", wait_until="networkidle")
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        print(f"{name} at {width} scrolls sideways: {wide}")
                page.close()
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        picture(Path(sys.argv[1]))
    else:
        with serving() as url:
            print(url)
            threading.Event().wait()
