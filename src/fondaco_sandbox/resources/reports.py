"""Reports: which there are, asking for one, and its file."""

from fondaco_sandbox import ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, missing, no_such, unsupported
from fondaco_sandbox.reports import COLUMNS, ITEMIZED, folder, pieces
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import listing, page
from fondaco_sandbox.web import Response

_PARAMETERS = ("columns", "currency", "interval_end", "interval_start", "reporting_category")


def _type(box: Sandbox) -> Obj:
    """The one report that the sandbox writes."""
    rows = box.store.db.execute("select min(created) from objects where kind = 'balance_transaction'")
    first: int | None = rows.fetchone()[0]
    now = box.now()
    return {
        "id": ITEMIZED,
        "object": "reporting.report_type",
        "data_available_end": now,
        "data_available_start": min(first or now, now),
        "default_columns": list(COLUMNS),
        "livemode": False,
        "name": "Balance change from activity: Itemized",
        "updated": now,
        "version": 3,
    }


def retrieve_type(call: Call) -> Obj:
    if call.id != ITEMIZED:
        raise no_such("reporting.report_type", call.id)
    return _type(call.box)


def list_types(call: Call) -> Obj:
    return listing([_type(call.box)], "/v1/reporting/report_types", more=False)


def create(call: Call) -> Obj:
    box, params = call.box, call.params
    if params["report_type"] != ITEMIZED:
        raise unsupported(f"the report {params['report_type']}", "report_type")
    given: Obj = params.get("parameters", {})
    for name in given:
        if name not in _PARAMETERS:
            raise unsupported(f"parameters[{name}]", f"parameters[{name}]")
    for name in ("interval_start", "interval_end"):
        if name not in given:
            raise missing(f"parameters[{name}]")
    if not given["interval_start"] < given["interval_end"] <= box.now():
        raise invalid(
            "interval_end must be after interval_start and not after data_available_end.",
            "parameters[interval_end]",
        )
    unknown = set(given.get("columns", [])) - set(COLUMNS)
    if unknown:
        raise invalid(f"There are no columns {', '.join(sorted(unknown))}.", "parameters[columns]")
    run: Obj = {
        "id": ids.new_id("frr"),
        "object": "reporting.report_run",
        "created": box.now(),
        "error": None,
        "livemode": False,
        "parameters": given,
        "report_type": ITEMIZED,
        "result": None,
        "status": "pending",
        "succeeded_at": None,
    }
    box.store.insert("reporting.report_run", run, {"base_url": call.base_url})
    box.later(box.settings.settle_seconds, "write_report", run["id"])
    box.on_work()
    return run


def retrieve(call: Call) -> Obj:
    return call.object("reporting.report_run")


def list_(call: Call) -> Obj:
    return page(call, "reporting.report_run", "/v1/reporting/report_runs", {})


def retrieve_file(call: Call) -> Obj:
    return call.object("file")


def contents(box: Sandbox, file_id: str) -> Response:
    """The file itself, sent little by little."""
    path = folder(box) / f"{file_id}.csv"
    if box.store.get("file", file_id) is None or not path.exists():
        raise no_such("file", file_id)
    headers = {"content-type": "text/csv; charset=utf-8", "content-length": str(path.stat().st_size)}
    return Response(200, b"", headers, chunks=pieces(path))
