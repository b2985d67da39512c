"""Disputes and early fraud warnings through the API: read, answered, given up."""

from fondaco_sandbox import disputes
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, no_such, unsupported
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page

_LONGEST_EVIDENCE = 150_000
_WARNING = "radar.early_fraud_warning"


def retrieve(call: Call) -> Obj:
    return call.object("dispute")


def list_(call: Call) -> Obj:
    return page(call, "dispute", "/v1/disputes", {"charge": "charge", "payment_intent": "payment_intent"})


def update(call: Call) -> Obj:
    """Write evidence down; unless `submit` is false it goes to the bank, which is possible once."""
    call.only("evidence", "metadata", "submit")
    box, params = call.box, call.params
    dispute = call.object("dispute")
    if "metadata" in params:
        dispute["metadata"] = metadata(params["metadata"], dispute["metadata"])
    if "evidence" in params or "submit" in params:
        _check_open(dispute)
        _write_evidence(call, dispute, params.get("evidence", {}))
    box.store.save(dispute)
    if params.get("submit", "evidence" in params):
        disputes.submitted(box, dispute)
    else:
        box.emit("charge.dispute.updated", dispute)
    return dispute


def _check_open(dispute: Obj) -> None:
    if dispute["evidence_details"]["submission_count"] or dispute["status"] not in disputes.OPEN:
        raise invalid(
            f"This dispute has a status of {dispute['status']}; evidence can be given only once, and only "
            "while a response is needed."
        )


def _write_evidence(call: Call, dispute: Obj, given: Obj) -> None:
    for name, value in given.items():
        if name not in disputes.EVIDENCE:
            raise unsupported(f"evidence[{name}]", f"evidence[{name}]")
        if name in disputes.FILE_FIELDS and value and call.box.store.get("file", value) is None:
            raise no_such("file upload", value, f"evidence[{name}]")
        dispute["evidence"][name] = value or None
    texts = [value for value in dispute["evidence"].values() if isinstance(value, str)]
    if sum(len(text) for text in texts) > _LONGEST_EVIDENCE:
        raise invalid(f"Evidence can have up to {_LONGEST_EVIDENCE:,} characters in all.", "evidence")
    dispute["evidence_details"]["has_evidence"] = bool(texts)


def close(call: Call) -> Obj:
    """Give up: lost at once."""
    dispute = call.object("dispute")
    if "lost" not in disputes.can_become(dispute):
        raise invalid(f"This dispute has a status of {dispute['status']}; it cannot be closed.")
    return disputes.resolve(call.box, dispute, "lost")


def retrieve_warning(call: Call) -> Obj:
    return call.object(_WARNING)


def list_warnings(call: Call) -> Obj:
    filters = {"charge": "charge", "payment_intent": "payment_intent"}
    return page(call, _WARNING, "/v1/radar/early_fraud_warnings", filters)
