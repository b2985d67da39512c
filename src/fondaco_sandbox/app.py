"""The ASGI application: who may come in, and which part answers."""

import os
import re
import socket
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

from fondaco_sandbox import checkout, onboarding, panel
from fondaco_sandbox.api import Api, base_url, error_answer
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.control import Control
from fondaco_sandbox.delivery import Courier
from fondaco_sandbox.errors import ApiError, broken
from fondaco_sandbox.html import document
from fondaco_sandbox.resources import webhook_endpoints
from fondaco_sandbox.settings import Settings
from fondaco_sandbox.web import (
    Receive,
    Request,
    Response,
    Scope,
    Send,
    TooLarge,
    read_request,
    write_response,
)

_OWN_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?")
_CSS = Path(__file__).with_name("sandbox.css").read_bytes()


class App:
    """The sandbox as an ASGI 3 application with lifespan. `box` is open from the start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.box = Sandbox(settings)
        with self.box.store.transaction():
            self.webhook_secret = webhook_endpoints.configure(self.box)
        self._api = Api(self.box)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Begin to deliver events and to run timers."""
        self._courier = Courier(self.box)
        self._control = Control(self.box, self._api, self._courier)
        self._courier.start()

    async def stop(self) -> None:
        await self._courier.stop()
        self.box.store.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await read_request(scope, receive)
        except TooLarge:
            await write_response(error_answer(ApiError(413, "The request is too large.")), send)
            return
        try:
            response = self._stranger(request) or await self._answer(request)
        except ApiError as error:
            response = error_answer(error)
        except Exception as error:  # a fault of the sandbox: answered as Stripe answers its own
            sys.stderr.write(f"sandbox: {request.method} {request.path} failed: {error!r}\n")
            response = error_answer(broken())
        if response.lost:
            hang_up(request.client)
        await write_response(response, send)

    def _stranger(self, request: Request) -> Response | None:
        """Refuse names that are not this machine's (DNS rebinding) and forms of other sites."""
        if not self.settings.allow_remote and not _OWN_HOST.fullmatch(request.host):
            return error_answer(ApiError(403, "The sandbox answers to localhost and 127.0.0.1 only."))
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != request.host and not request.path.startswith("/v1/"):
            return error_answer(ApiError(403, "This form was sent by another site."))
        return None

    def _hosted(self, request: Request) -> Response:
        """The pages that Stripe hosts: onboarding of sellers, payment."""
        if request.path.startswith("/c/connect/"):
            return onboarding.answer(self.box, request)
        return checkout.answer(self.box, request, base_url(request))

    async def _answer(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/v1/"):
            return await self._api.answer(request)
        if path == "/sandbox/sandbox.css":
            return Response(
                200, _CSS, {"content-type": "text/css; charset=utf-8", "cache-control": "max-age=300"}
            )
        if path.startswith("/sandbox/"):
            return await self._control.answer(request)
        if path.startswith("/c/") and request.method in ("GET", "HEAD", "POST"):
            return self._hosted(request)
        if path == "/" and request.method in ("GET", "HEAD"):
            return panel.panel(self.box)
        return document(
            "Nothing here", '<body class="panel"><main><h1>Nothing here</h1></main></body>', status=404
        )


def create_app(settings: Settings) -> App:
    """The sandbox's ASGI application, its state opened in `settings.data`."""
    return App(settings)


def hang_up(client: tuple[str, int] | None) -> None:
    """Close the connection to this client at once, without an answer: find its socket among our own."""
    for number in range(3, min(os.sysconf("SC_OPEN_MAX"), 4096)):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getpeername()[:2] == client:
                    copy.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or a socket that listens
