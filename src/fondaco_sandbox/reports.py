"""Reports of what moved on the balance, as files of comma-separated values."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fondaco_sandbox import ids, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import json_of

ITEMIZED = "balance_change_from_activity.itemized.3"
COLUMNS = (
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
)
NOT_ACTIVITY = ("payout", "payout_reversal")
_PIECE = 1 << 16


def folder(box: Sandbox) -> Path:
    return box.settings.data / "files"


def finish_later(box: Sandbox, run: Obj) -> None:
    """Write the file of a report that was asked for."""
    if run["status"] != "pending":
        return
    parameters: Obj = run["parameters"]
    file_id = ids.new_id("file")
    path = folder(box) / f"{file_id}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        columns: list[str] = parameters.get("columns") or list(COLUMNS)
        writer.writerow(columns)
        for entry in _activity(box, parameters):
            row = _row(entry)
            writer.writerow([row[name] for name in columns])
    result: Obj = {
        "id": file_id,
        "object": "file",
        "created": box.now(),
        "expires_at": box.now() + 365 * 86_400,
        "filename": f"{file_id}.csv",
        "links": {"object": "list", "data": [], "has_more": False, "url": f"/v1/file_links?file={file_id}"},
        "purpose": "finance_report_run",
        "size": path.stat().st_size,
        "title": f"FinanceReportRun {run['id']}",
        "type": "csv",
        "url": f"{box.store.hidden(run['id'])['base_url']}/v1/files/{file_id}/contents",
    }
    box.store.insert("file", result)
    run |= {"status": "succeeded", "succeeded_at": box.now(), "result": result}
    box.store.save(run)
    box.emit("reporting.report_run.succeeded", run)


def _activity(box: Sandbox, parameters: Obj) -> Iterator[Obj]:
    """The movements of the interval, oldest first, one at a time."""
    rows = box.store.db.execute(
        "select body from objects where kind = 'balance_transaction' and created >= ? and created < ?"
        " order by created, seq",
        (parameters["interval_start"], parameters["interval_end"]),
    )
    for row in rows:
        entry = json_of(row)
        if entry["reporting_category"] in NOT_ACTIVITY:
            continue
        if parameters.get("currency", entry["currency"]) != entry["currency"]:
            continue
        if parameters.get("reporting_category", entry["reporting_category"]) == entry["reporting_category"]:
            yield entry


def _row(entry: Obj) -> dict[str, str]:
    created, available = _moment(entry["created"]), _moment(entry["available_on"])
    amounts = {"gross": entry["amount"], "fee": entry["fee"], "net": entry["net"]}
    return {
        "balance_transaction_id": entry["id"],
        "created_utc": created,
        "created": created,
        "available_on_utc": available,
        "available_on": available,
        "currency": entry["currency"],
        **{name: money.decimal(amount, entry["currency"]) for name, amount in amounts.items()},
        "reporting_category": entry["reporting_category"],
        "source_id": entry["source"],
        "description": entry["description"] or "",
    }


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def pieces(path: Path) -> Iterator[bytes]:
    """A file, little by little."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
