"""Webhook endpoints."""

from urllib.parse import urlsplit

from fondaco_sandbox import ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, unsupported
from fondaco_sandbox.params import api_version, is_web_address, metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page

CONFIGURED = "we_configured_at_start"
CONFIGURED_CONNECT = "we_configured_for_accounts"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def create(call: Call) -> Obj:
    call.only("api_version", "connect", "description", "enabled_events", "metadata", "url")
    params = call.params
    if params.get("api_version", api_version()) != api_version():
        raise unsupported(f"api_version={params['api_version']}", "api_version")
    fields: Obj = {
        "api_version": params.get("api_version"),
        "description": params.get("description") or None,
        "enabled_events": _events(params["enabled_events"]),
        "metadata": metadata(params.get("metadata")),
        "url": _address(call.box, params["url"]),
    }
    secret = ids.webhook_secret()
    body = _new(call.box, ids.new_id("we"), fields, secret, connect=params.get("connect", False))
    return body | {"secret": secret}


def configure(box: Sandbox) -> str | None:
    """Make or renew the endpoint that the sandbox was started with; its secret.

    Beside it stands one for the events of connected accounts: the same address, the same secret.
    """
    url = box.settings.webhook_url
    if url is None:
        return None
    kept: list[Obj] = box.store.hidden(CONFIGURED).get("secrets", [])
    secret: str = box.settings.webhook_secret or (kept[0]["secret"] if kept else "") or ids.webhook_secret()
    for name in (CONFIGURED, CONFIGURED_CONNECT):
        known = box.store.get("webhook_endpoint", name)
        if known is None:
            fields: Obj = {"enabled_events": ["*"], "url": _address(box, url)}
            _new(box, name, fields, secret, connect=name == CONFIGURED_CONNECT)
            continue
        box.store.save(known | {"url": _address(box, url)})
        if secret != box.store.hidden(name)["secrets"][0]["secret"]:
            box.store.hide(name, secrets=[{"secret": secret, "until": None}])
    return secret


def _new(box: Sandbox, endpoint_id: str, fields: Obj, secret: str, *, connect: bool) -> Obj:
    body: Obj = {
        "id": endpoint_id,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": box.now(),
        "description": None,
        "enabled_events": [],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": "",
    }
    return box.store.insert(
        "webhook_endpoint",
        body | fields,
        {"secrets": [{"secret": secret, "until": None}], "connect": connect},
    )


def retrieve(call: Call) -> Obj:
    return call.object("webhook_endpoint")


def list_(call: Call) -> Obj:
    return page(call, "webhook_endpoint", "/v1/webhook_endpoints", {})


def update(call: Call) -> Obj:
    call.only("description", "disabled", "enabled_events", "metadata", "url")
    endpoint, params = call.object("webhook_endpoint"), call.params
    if "description" in params:
        endpoint["description"] = params["description"] or None
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "enabled_events" in params:
        endpoint["enabled_events"] = _events(params["enabled_events"])
    if "metadata" in params:
        endpoint["metadata"] = metadata(params["metadata"], endpoint["metadata"])
    if "url" in params:
        endpoint["url"] = _address(call.box, params["url"])
    return call.box.store.save(endpoint)


def delete(call: Call) -> Obj:
    call.object("webhook_endpoint")
    call.box.store.db.execute("delete from deliveries where endpoint = ? and state = 'pending'", (call.id,))
    call.box.store.db.execute("delete from objects where id = ?", (call.id,))
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}


def roll_secret(box: Sandbox, endpoint: Obj, keep_seconds: int) -> str:
    """A new signing secret; the old ones sign beside it for so many seconds more."""
    secret = ids.webhook_secret()
    until = box.now() + keep_seconds
    old = [
        each | {"until": min(until, each["until"] or until)}
        for each in box.store.hidden(endpoint["id"])["secrets"]
    ]
    box.store.hide(endpoint["id"], secrets=[{"secret": secret, "until": None}, *old])
    return secret


def signing_secrets(box: Sandbox, endpoint_id: str) -> list[str]:
    """The secrets that sign now, newest first."""
    known: list[Obj] = box.store.hidden(endpoint_id).get("secrets", [])
    return [each["secret"] for each in known if each["until"] is None or each["until"] > box.now()]


def _events(wanted: list[str]) -> list[str]:
    if not wanted:
        raise invalid("Give at least one event.", "enabled_events")
    return wanted


def _address(box: Sandbox, url: str) -> str:
    if not is_web_address(url):
        raise invalid(f"Not a valid URL: {url}", "url", "url_invalid")
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK and not host.startswith("127.") and not box.settings.allow_remote:
        raise invalid(
            f"The sandbox delivers to this machine only, not to {host} (--allow-remote changes that).",
            "url",
            "url_invalid",
        )
    return url
