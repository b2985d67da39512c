"""Connected accounts and the links to their onboarding page."""

import re

from fondaco_sandbox import connect, ids, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.connect import Standing
from fondaco_sandbox.errors import ApiError, invalid, missing, unsupported
from fondaco_sandbox.params import is_web_address, metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import listing, page

_CREATE = (
    "business_profile",
    "business_type",
    "capabilities",
    "controller",
    "country",
    "default_currency",
    "email",
    "metadata",
    "settings",
    "type",
)
_UPDATE = ("business_profile", "capabilities", "email", "metadata", "settings")
_CONTROLLER: Obj = {
    "fees": {"payer": "application"},
    "losses": {"payments": "application"},
    "requirement_collection": "stripe",
    "stripe_dashboard": {"type": "express"},
}
_CAPABILITIES = ("card_payments", "transfers")


def create(call: Call) -> Obj:
    call.only(*_CREATE)
    params = call.params
    _check_kind(params)
    country: str = params.get("country", "US")
    if not re.fullmatch("[A-Z]{2}", country):
        raise invalid(f"Country '{country}' is unknown. Try using a 2-character code instead.", "country")
    fields: Obj = {"metadata": metadata(params.get("metadata"))}
    fields |= {name: params[name] for name in ("business_type", "email") if name in params}
    if "default_currency" in params:
        fields["default_currency"] = money.currency(params["default_currency"], "default_currency")
    body = connect.new_body(call.box.now(), country, fields)
    body["business_profile"] |= params.get("business_profile", {})
    known = Standing()
    _apply(params, known)
    return connect.open_account(call.box, body, known)


def _check_kind(params: Obj) -> None:
    """Express accounts, named by `type` or described by `controller`."""
    if "type" in params and "controller" in params:
        raise invalid("You may only specify one of these parameters: type, controller.", "controller")
    if params.get("type", "express") != "express":
        raise unsupported(f"type={params['type']}", "type")
    if "type" not in params and "controller" not in params:
        raise missing("type")
    for name, value in params.get("controller", {}).items():
        if value != _CONTROLLER.get(name):
            raise unsupported(f"controller[{name}]={value}", f"controller[{name}]")


def _apply(params: Obj, known: Standing) -> None:
    for name, wanted in params.get("capabilities", {}).items():
        if name not in _CAPABILITIES:
            raise unsupported(f"the capability {name}", f"capabilities[{name}]")
        if wanted.get("requested") and name not in known.capabilities:
            known.capabilities.append(name)
    for name, value in params.get("settings", {}).items():
        if name != "payouts":
            raise unsupported(f"settings[{name}]", f"settings[{name}]")
        interval = value.get("schedule", {}).get("interval", "daily")
        if interval not in ("daily", "manual"):
            raise unsupported(f"interval={interval}", "settings[payouts][schedule][interval]")
        known.manual_payouts = interval == "manual"


def retrieve(call: Call) -> Obj:
    return _known(call)


def _known(call: Call) -> Obj:
    body = call.box.store.get("account", call.id)
    if body is None:
        message = f"The provided key does not have access to account '{call.id}' (or it does not exist)."
        raise ApiError(403, message, code="account_invalid")
    return body


def update(call: Call) -> Obj:
    call.only(*_UPDATE)
    body, params = _known(call), call.params
    if "metadata" in params:
        body["metadata"] = metadata(params["metadata"], body["metadata"])
    if "email" in params:
        body["email"] = params["email"]
    body["business_profile"] |= params.get("business_profile", {})
    known = connect.standing(call.box, body["id"])
    _apply(params, known)
    return connect.evaluate(call.box, body, known)


def list_(call: Call) -> Obj:
    return page(call, "account", "/v1/accounts", {})


def capabilities(call: Call) -> Obj:
    body = _known(call)
    shown = [connect.capability(body, name) for name in body["capabilities"]]
    return listing(shown, f"/v1/accounts/{body['id']}/capabilities", more=False)


def delete(call: Call) -> Obj:
    """Only without money on it; transfers to it are refused from then on."""
    body = _known(call)
    sql = "select 1 from funds where account = ? and amount <> 0"
    if call.box.store.db.execute(sql, (body["id"],)).fetchone():
        raise invalid("You cannot delete an account that has a balance other than zero.")
    call.box.store.db.execute("delete from objects where id = ? and kind = 'account'", (body["id"],))
    call.box.fact("account.deleted", account=body["id"])
    return {"id": body["id"], "object": "account", "deleted": True}


def create_link(call: Call) -> Obj:
    """The address of the onboarding page: good once, for some minutes."""
    call.only("account", "collect", "collection_options", "refresh_url", "return_url", "type")
    params = call.params
    body = call.named("account", "account")
    if body is None:
        raise missing("account")
    if params["type"] != "account_onboarding":
        raise unsupported(f"type={params['type']}", "type")
    for name in ("refresh_url", "return_url"):
        if name not in params:
            raise missing(name)
        if not is_web_address(params[name]):
            raise invalid(f"Not a valid URL: {params[name]}", name, "url_invalid")
    now = call.box.now()
    token = ids.letters(24)
    kept: Obj = {"account": body["id"], "refresh_url": params["refresh_url"]}
    kept |= {"return_url": params["return_url"], "expires_at": now + connect.LINK_SECONDS, "used": False}
    call.box.store.insert("link", {"id": f"link_{token}", "created": now}, kept)
    return {
        "object": "account_link",
        "created": now,
        "expires_at": now + connect.LINK_SECONDS,
        "url": f"{call.base_url}/c/connect/{token}",
    }


def destination(box: Sandbox, account_id: str, param: str = "destination") -> Obj:
    """An account that can take money now; else Stripe's refusal."""
    body = box.store.get("account", account_id)
    if body is None:
        raise ApiError(400, f"No such destination: '{account_id}'", code="resource_missing", param=param)
    if body["capabilities"].get("transfers") != "active":
        raise ApiError(
            400,
            "Your destination account needs to have at least one of the following capabilities enabled: "
            "transfers, crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
        )
    return body
