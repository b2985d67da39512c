"""Connected accounts: what is known of them, what is still asked of them, and what that allows.

The facts behind an account are kept hidden beside it (`Standing`); `evaluate` derives from them everything
that the API shows and tells of what changed.
"""

from dataclasses import asdict, dataclass, field

from fondaco_sandbox import ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj

LINK_SECONDS = 300
_EUROZONE = frozenset(
    (
        "AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR",
        "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PT", "SI", "SK",
    )
)  # fmt: skip
_CURRENCIES = {
    "AE": "aed", "AU": "aud", "BG": "bgn", "BR": "brl", "CA": "cad", "CH": "chf", "CZ": "czk", "DK": "dkk",
    "GB": "gbp", "HK": "hkd", "HU": "huf", "IS": "isk", "JP": "jpy", "KW": "kwd", "MX": "mxn", "NO": "nok",
    "NZ": "nzd", "PL": "pln", "RO": "ron", "SE": "sek", "SG": "sgd", "TH": "thb",
}  # fmt: skip
BANKS = {
    "000123456789": "",
    "000111111116": "no_account",
    "000111111113": "account_closed",
    "000222222227": "insufficient_funds",
    "000333333335": "debit_not_authorized",
    "000444444440": "invalid_currency",
}
"""Test bank accounts and the code with which payouts to them fail."""
_PERSON = (
    "business_type",
    "individual.dob.day",
    "individual.dob.month",
    "individual.dob.year",
    "individual.first_name",
    "individual.last_name",
)
_BANK = "external_account"
_TERMS = ("tos_acceptance.date", "tos_acceptance.ip")
_DOCUMENT = "individual.verification.document"
_TOLD = (
    "business_profile", "business_type", "capabilities", "charges_enabled", "details_submitted", "email",
    "external_accounts", "metadata", "payouts_enabled", "requirements", "settings", "tos_acceptance",
)  # fmt: skip


@dataclass(slots=True)
class Standing:
    """What the sandbox knows about an account. `identity`: "", "pending", "verified" or "refused"."""

    person: str = ""
    bank: str = ""
    """The number of its bank account."""
    bank_fails: bool = False
    """A payout came back: the bank account must be given anew."""
    accepted_at: int | None = None
    submitted: bool = False
    identity: str = ""
    extra: list[str] = field(default_factory=list[str])
    """What is asked beyond the usual, by the control API."""
    extra_past_due: bool = False
    extra_deadline: int | None = None
    rejected: str = ""
    capabilities: list[str] = field(default_factory=lambda: ["transfers"])
    manual_payouts: bool = False


def standing(box: Sandbox, account_id: str) -> Standing:
    return Standing(**box.store.hidden(account_id)["standing"])


def currency_of(country: str) -> str:
    return "eur" if country in _EUROZONE else _CURRENCIES.get(country, "usd")


def open_account(box: Sandbox, body: Obj, known: Standing) -> Obj:
    """Keep a new account; what it must still do is worked out from what is known."""
    _derive(box, body, known)
    box.store.insert("account", body, {"standing": asdict(known)})
    box.fact("account.created", account=body["id"], country=body["country"], metadata=body["metadata"])
    box.emit("account.updated", body, account=body["id"])
    return body


def evaluate(box: Sandbox, body: Obj, known: Standing) -> Obj:
    """Bring what is shown in line with what is known; events tell what changed."""
    held: Obj = box.store.need("account", body["id"])
    _derive(box, body, known)
    box.store.save(body)
    box.store.hide(body["id"], standing=asdict(known))
    previous = {name: held[name] for name in _TOLD if held[name] != body[name]}
    if not previous:
        return body
    names = ("charges_enabled", "payouts_enabled", "details_submitted")
    told: Obj = {name: body[name] for name in names}
    told |= {
        "transfers": body["capabilities"].get("transfers"),
        "disabled_reason": body["requirements"]["disabled_reason"],
    }
    box.fact("account.updated", account=body["id"], **told)
    box.emit("account.updated", body, previous, account=body["id"])
    for name, status in body["capabilities"].items():
        if held["capabilities"].get(name) != status:
            box.emit("capability.updated", capability(body, name), account=body["id"])
    return body


def _derive(box: Sandbox, body: Obj, known: Standing) -> None:
    asked = _requirements(body, known)
    body["requirements"] = asked
    barred = bool(asked["disabled_reason"])
    status = "inactive" if barred else "active"
    if asked["disabled_reason"] == "requirements.pending_verification":
        status = "pending"
    body["capabilities"] = dict.fromkeys(known.capabilities, status)
    body["details_submitted"] = known.submitted
    body["charges_enabled"] = known.submitted and not barred
    body["payouts_enabled"] = known.submitted and not barred and bool(known.bank) and not known.bank_fails
    body["tos_acceptance"] = {"date": known.accepted_at}
    banks = [_bank_account(body, known)] if known.bank else []
    body["external_accounts"] = {
        "object": "list",
        "data": banks,
        "has_more": False,
        "total_count": len(banks),
        "url": f"/v1/accounts/{body['id']}/external_accounts",
    }
    interval: Obj = {"interval": "manual"} if known.manual_payouts else {"interval": "daily"}
    body["settings"]["payouts"]["schedule"] = {"delay_days": 2, **interval}


def _requirements(body: Obj, known: Standing) -> Obj:
    due = [*(() if known.person else _PERSON), *(() if known.accepted_at else _TERMS)]
    if not known.bank or known.bank_fails:
        due.append(_BANK)
    if known.identity == "refused":
        due.append(_DOCUMENT)
    past_due = list(due) if not known.submitted or known.identity == "refused" else []
    due += [name for name in known.extra if name not in due]
    if known.extra_past_due:
        past_due += [name for name in known.extra if name not in past_due]
    pending = [_DOCUMENT] if known.identity == "pending" else []
    reason = None
    if known.rejected:
        reason = f"rejected.{known.rejected}"
    elif past_due:
        reason = "requirements.past_due"
    elif pending:
        reason = "requirements.pending_verification"
    return _asked(sorted(due)) | {
        "current_deadline": known.extra_deadline if known.extra else None,
        "disabled_reason": reason,
        "errors": _errors(known),
        "past_due": sorted(past_due),
        "pending_verification": pending,
    }


def _asked(due: list[str]) -> Obj:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": None,
        "errors": [],
        "eventually_due": due,
        "past_due": [],
        "pending_verification": [],
    }


def _errors(known: Standing) -> list[Obj]:
    errors: list[Obj] = []
    if known.identity == "refused":
        reason = "The document could not be read. Upload a clear picture of the whole document."
        errors.append(
            {"code": "verification_document_not_readable", "reason": reason, "requirement": _DOCUMENT}
        )
    if known.bank_fails:
        reason = "A payout to this bank account came back. Give another bank account."
        errors.append({"code": "verification_failed_other", "reason": reason, "requirement": _BANK})
    return errors


def capability(body: Obj, name: str) -> Obj:
    """One capability of an account, as an object."""
    asked = body["requirements"]
    return {
        "id": name,
        "object": "capability",
        "account": body["id"],
        "future_requirements": _asked([]),
        "requested": True,
        "requested_at": body["created"],
        "requirements": asked,
        "status": body["capabilities"][name],
    }


def bank_id(account_id: str, number: str) -> str:
    return f"ba_{account_id[-16:]}{number[-4:]}"


def _bank_account(body: Obj, known: Standing) -> Obj:
    return {
        "id": bank_id(body["id"], known.bank),
        "object": "bank_account",
        "account": body["id"],
        "account_holder_name": known.person or None,
        "account_holder_type": "individual",
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": body["country"],
        "currency": body["default_currency"],
        "default_for_currency": True,
        "fingerprint": ids.mark(known.bank),
        "future_requirements": _bank_asked(),
        "last4": known.bank[-4:],
        "metadata": {},
        "requirements": _bank_asked(),
        "routing_number": "110000000",
        "status": "errored" if known.bank_fails else "new",
    }


def _bank_asked() -> Obj:
    return {"currently_due": [], "errors": [], "past_due": [], "pending_verification": []}


def new_body(now: int, country: str, fields: Obj) -> Obj:
    """A fresh account in the shape of one whose dashboard is the Express one."""
    no_address: Obj = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    nobody = ("annual_revenue", "estimated_worker_count", "mcc", "minority_owned_business_designation")
    profile = ("name", "product_description", "support_email", "support_phone", "support_url", "url")
    body: Obj = {
        "id": f"acct_1S{ids.letters(14)}",
        "object": "account",
        "business_profile": dict.fromkeys((*nobody, *profile)) | {"support_address": no_address},
        "business_type": None,
        "capabilities": {},
        "charges_enabled": False,
        "controller": {
            "fees": {"payer": "application"},
            "is_controller": True,
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
            "type": "application",
        },
        "country": country,
        "created": now,
        "default_currency": currency_of(country),
        "details_submitted": False,
        "email": None,
        "external_accounts": {},
        "future_requirements": _asked([]),
        "metadata": {},
        "payouts_enabled": False,
        "requirements": {},
        "settings": _settings(),
        "tos_acceptance": {"date": None},
        "type": "express",
    }
    return body | fields


def _settings() -> Obj:
    names = ("statement_descriptor", "statement_descriptor_kana", "statement_descriptor_kanji")
    prefixes: Obj = dict.fromkeys(("statement_descriptor_prefix_kana", "statement_descriptor_prefix_kanji"))
    declines: Obj = {"avs_failure": False, "cvc_failure": False}
    return {
        "bacs_debit_payments": {"display_name": None, "service_user_number": None},
        "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {"decline_on": declines, "statement_descriptor_prefix": None, **prefixes},
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": None},
        "payments": dict.fromkeys(names) | prefixes,
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }
