"""Settings for commands run beside `fondaco up`, or with its data while it is down."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from fondaco.up.data import DataFolder, default_folder


@contextmanager
def settings_of_this_machine() -> Generator[None]:
    """Puts the data folder's settings into the environment, unless DATABASE_URL says where to go.

    Starts the folder's PostgreSQL for the length of the block when it is not running.
    """
    folder = DataFolder(default_folder())
    if os.environ.get("DATABASE_URL") or not folder.exists:
        yield
        return
    cluster = folder.cluster()
    ours = not cluster.running()
    endpoints = cluster.start() if ours else cluster.endpoints()
    state = folder.state()
    base_url = state.get("base_url", "http://127.0.0.1:8000")
    sandbox_url = state.get("sandbox_url", "http://127.0.0.1:12111")
    try:
        os.environ.update(folder.environment(endpoints, base_url, sandbox_url))
        os.environ["DATABASE_OWNER_URL"] = endpoints.owner_dsn
        yield
    finally:
        if ours:
            cluster.stop()
