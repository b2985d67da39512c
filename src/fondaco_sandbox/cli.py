"""The command: read the options, serve until told to stop."""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server

from fondaco_sandbox.app import App, create_app
from fondaco_sandbox.resources.webhook_endpoints import LOOPBACK
from fondaco_sandbox.settings import Settings

_STOP_SECONDS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGTERM or SIGINT; the exit code."""
    settings = read_options(argv)
    if not comes_free(settings.host, settings.port):
        sys.stderr.write(
            f"Port {settings.port} on {settings.host} cannot be used: another program has it, or it needs "
            "more rights. Choose another with --port, or 0 for a free one.\n"
        )
        return 1
    try:
        app = create_app(settings)
    except Exception as error:
        sys.stderr.write(f"The Stripe sandbox cannot open its data in {settings.data}: {error}\n")
        return 1
    code = asyncio.run(_serve(app, settings))
    sys.stdout.flush()
    # The server's threads wait for connections that clients keep open; the state is closed, so leave.
    os._exit(code)


def read_options(argv: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="fondaco_sandbox", description="A Stripe sandbox for this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, default=12111, help="port; 0 takes a free one (12111)")
    parser.add_argument("--data", type=Path, required=True, help="folder for the state and truth.jsonl")
    parser.add_argument("--webhook-url", help="deliver all events to this address")
    parser.add_argument(
        "--webhook-secret",
        default=os.environ.get("SANDBOX_WEBHOOK_SECRET"),
        help="sign them with this secret (whsec_...); better given as SANDBOX_WEBHOOK_SECRET, "
        "as everybody on the machine can read a command line",
    )
    parser.add_argument("--settle-seconds", type=int, default=5, help="how long late things take (5)")
    parser.add_argument(
        "--available-after-seconds", type=int, default=2 * 86_400, help="how long money is pending (2 days)"
    )
    parser.add_argument("--allow-remote", action="store_true", help="take other host names and addresses")
    given = parser.parse_args(argv)
    if given.host not in LOOPBACK and not given.allow_remote:
        parser.error(f"--host {given.host} can be reached from outside; say --allow-remote if you mean that")
    secret: str | None = given.webhook_secret
    if secret is not None and (not secret.startswith("whsec_") or len(secret) < 16):
        parser.error("--webhook-secret must begin with whsec_ and have at least 16 characters")
    return Settings(
        data=given.data,
        host=given.host,
        port=given.port or free_port(given.host),
        webhook_url=given.webhook_url,
        webhook_secret=secret,
        settle_seconds=given.settle_seconds,
        available_after_seconds=given.available_after_seconds,
        allow_remote=given.allow_remote,
    )


def free_port(host: str) -> int:
    """A port nobody listens on, below those the system hands out: no other program is given it meanwhile."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if _is_free(host, port):
            return port


def comes_free(host: str, port: int, patience_s: float = 10) -> bool:
    """Whether nobody listens there, at once or within `patience_s`: a killed server needs a moment to go. The
    web server would share the port with another one without a word, and each would get half of the calls."""
    until = time.monotonic() + patience_s
    while not _is_free(host, port):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def _serve(app: App, settings: Settings) -> int:
    server = Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    sys.stdout.write(
        f"Stripe sandbox at http://{settings.host}:{settings.port} (no real money){_hook(app)}\n"
    )
    sys.stdout.flush()
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        sys.stderr.write(f"The Stripe sandbox cannot serve: {serving.exception()}\n")
        return 1
    server.stop()
    await asyncio.wait({serving}, timeout=_STOP_SECONDS)
    return 0


def _hook(app: App) -> str:
    if app.webhook_secret is None:
        return ""
    given = app.settings.webhook_secret is not None
    return f", events go to {app.settings.webhook_url}" + (
        "" if given else f", signed with {app.webhook_secret}"
    )
