"""Settings that only reach this machine; with nothing loaded that a forked process would not need."""

import base64
import functools
import os
import ssl
from typing import Any, cast

from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.support.bouncer import database_settings

# Each client reads the certificates of the world's authorities, 40 ms of work, and none of them calls anybody
# beyond this machine: they are read once.
ssl.create_default_context = cast(Any, functools.cache(ssl.create_default_context))


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def make_settings(endpoints: Endpoints, **changes: object) -> Settings:
    """Settings that only reach this machine."""
    values: dict[str, object] = {
        **{name.lower(): value for name, value in database_settings(endpoints).items()},
        "secret_key": key(),
        "vault_keys": f"k1:{key()}",
        "fingerprint_key": key(),
        "signing_key": key(),
        "stripe_webhook_secrets": "whsec_" + "t" * 32,
        "stripe_api_base": "http://127.0.0.1:1",
        "blob_url": "memory://",
        "base_url": "http://127.0.0.1:8000",
        "api_rate": 100_000,  # tests of the limit itself set their own
    }
    return Settings(_env_file=None, **{**values, **changes})  # type: ignore[arg-type]
