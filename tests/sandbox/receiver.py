"""A small webhook receiver: verifies with the SDK, keeps what came, answers as told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe


@dataclass
class Receiver:
    """What was received, in order. `answers` are used up first, then everything is answered with 200."""

    url: str = ""
    secret: str = ""
    endpoint: str = ""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refused: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    signatures: list[str] = field(default_factory=list[str])
    answers: list[int] = field(default_factory=list[int])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: bytes, signature: str) -> int:
        """Keep a delivery; the status to answer."""
        with self.lock:
            self.signatures.append(signature)
            try:
                stripe.Webhook.construct_event(body, signature, self.secret)
            except stripe.SignatureVerificationError:
                self.refused.append(json.loads(body))
                return 400
            self.events.append(json.loads(body))
            return self.answers.pop(0) if self.answers else 200

    @property
    def types(self) -> list[str]:
        """The types of all good deliveries, sorted: the order of arrival says nothing."""
        with self.lock:
            return sorted(event["type"] for event in self.events)


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.take(body, self.headers["stripe-signature"])
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
