"""Serve the design gallery on this machine, and picture it: `python tests/pages/design_gallery.py FOLDER`.

Without a folder it serves until interrupted. The pages answer with the strict content policy the
product uses, so an inline style or script shows at once.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fondaco.pages.static import static_response
from tests.pages.design_samples import pages

POLICY = "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; object-src 'none'"
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


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
        html = pages(theme).get(url.path.strip("/") or "shop")  # type: ignore[arg-type]
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
        self._send(200 if html else 404, headers, (html or "none").encode())

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
