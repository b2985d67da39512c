"""The web process: granian serving the application, each of its workers on a leash."""

import gc
from typing import Any


def serve(host: str, port: int, workers: int) -> None:
    """Serves until SIGTERM or SIGINT. Raises PortTaken."""
    from granian.constants import Interfaces
    from granian.server import Server

    from fondaco.up.counts import shared_counts
    from fondaco.up.ports import claim

    claim(host, port)
    server = Server(
        "fondaco.up.web:application",
        factory=True,
        address=host,
        port=port,
        workers=workers,
        interface=Interfaces.ASGI,
        log_access=False,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=3,
    )
    with shared_counts(workers):
        server.serve()


def application() -> Any:
    """The application in one worker process, which ends should its server be killed."""
    from fondaco.app import create_app
    from fondaco.core.garbage import settle
    from fondaco.logs import setup_logs
    from fondaco.settings import arm_faults, load
    from fondaco.up.leash import follow_parent

    follow_parent()
    settings = load()
    setup_logs(settings)
    arm_faults(settings)
    app = create_app(settings)
    # Looking for garbage again and again was a tenth of the work. Requests leave little: it is looked for
    # less often.
    settle()
    gc.set_threshold(10_000, 20, 50)
    return app
