"""The books: accounts, an account's entries, a journal, the trial balance."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.params import PathParameter

from fondaco import console, ledger, refunds
from fondaco.console.words import ACCOUNTS, JOURNALS
from fondaco.core.clock import now
from fondaco.core.problem import Invalid
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, SIZES, cursor_of, desk, known, read_list, words_facet
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb

BOOKS = f"{HOME}/ledger"
SPEC = ListSpec(BOOKS, facets=("kind", "currency", "balance"), sorts={"old": "Oldest first"}, sizes=SIZES)
Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
TABS = (("Accounts", BOOKS), ("Trial balance", f"{BOOKS}/trial-balance"))


def tabs(current: str) -> list[dict[str, Any]]:
    return [{"label": label, "href": href, "current": href == current} for label, href in TABS]


@get("/console/ledger", permit="console.ledger", include_in_schema=False)
async def list_accounts(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    found = await console.list_accounts(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        kinds=known(query, "kind", ACCOUNTS),
        currencies=query.values("currency"),
        nonzero="open" in query.values("balance"),
        limit=query.size,
        cursor=cursor_of(query),
    )
    sums = await ledger.trial_balance(request.db, request.viewer.as_staff)
    currencies = sorted({s.currency for s in sums} | {request.settings.currency})
    return await desk(
        request,
        "accounts.html",
        here=BOOKS,
        crumbs=[Crumb("Ledger")],
        tabs=tabs(BOOKS),
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        names=await console.names_of(request.db, request.viewer, {a.owner for a in found.items}),
        kinds=ACCOUNTS,
        facets=[
            words_facet("kind", "Kind", ACCOUNTS),
            words_facet("currency", "Currency", {c: c for c in currencies}),
            Facet("balance", "Balance", [FacetValue("open", "Not zero")]),
        ],
    )


@get("/console/ledger/accounts/{account_id:int}", permit="console.ledger", include_in_schema=False)
async def one_account(request: Call, account_id: Id) -> Response[str]:
    db, viewer = request.db, request.viewer
    found = await ledger.account(db, viewer.as_staff, account_id)
    spec = ListSpec(f"{BOOKS}/accounts/{account_id}", sizes=(50, 25, 100))
    query = read_list(request, spec)
    lines = await console.account_lines(
        db, viewer, request.cursors, account_id, limit=query.size, cursor=cursor_of(query)
    )
    refs = {found.owner} | {line.ref for line in lines.items} | {line.actor for line in lines.items}
    names = await console.names_of(db, viewer, refs)
    kind = ACCOUNTS.get(found.kind, found.kind)
    return await desk(
        request,
        "account.html",
        here=BOOKS,
        crumbs=[Crumb("Ledger", BOOKS), Crumb(f"{kind}: {names[found.owner].words}")],
        book=found,
        kind=kind,
        query=query,
        rows=lines.items,
        next=lines.next,
        previous=lines.previous,
        names=names,
        journals=JOURNALS,
        slots=any(line.slot for line in lines.items),
    )


@get("/console/ledger/journals/{journal_id:int}", permit="console.ledger", include_in_schema=False)
async def one_journal(request: Call, journal_id: Id) -> Response[str]:
    db, viewer = request.db, request.viewer
    found = await ledger.journal(db, viewer.as_staff, journal_id)
    refs = {found.ref, found.actor} | {e.owner for e in found.entries}
    return await desk(
        request,
        "journal.html",
        here=BOOKS,
        crumbs=[Crumb("Ledger", BOOKS), Crumb(f"Journal {found.id}")],
        journal=found,
        names=await console.names_of(db, viewer, refs),
        kinds=ACCOUNTS,
        words=JOURNALS.get(found.kind, found.kind),
        undoable=refunds.reversible(found),
    )


@get("/console/ledger/trial-balance", permit="console.ledger", include_in_schema=False)
async def trial_balance(request: Call) -> Response[str]:
    given = request.query_params.get("as_of", "")[:20]
    errors: dict[str, str] = {}
    moment = None
    try:
        moment = console.end_of_day(given)
    except Invalid as problem:
        errors = problem.fields
    lines = [] if errors else await ledger.trial_balance(request.db, request.viewer.as_staff, moment)
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        debit, credit = sums.get(line.currency, (0, 0))
        sums[line.currency] = (debit + line.debit, credit + line.credit)
    return await desk(
        request,
        "trial.html",
        here=BOOKS,
        crumbs=[Crumb("Ledger", BOOKS), Crumb("Trial balance")],
        status=422 if errors else 200,
        tabs=tabs(f"{BOOKS}/trial-balance"),
        as_of=given,
        moment=moment or now(),
        lines=lines,
        sums=sums,
        kinds=ACCOUNTS,
        errors=errors,
    )


@get("/console/ledger/trial-balance.csv", permit="console.ledger", include_in_schema=False)
async def trial_sheet(request: Call) -> Response[str]:
    """The same as a sheet. Raises Invalid for a day that is none."""
    moment = console.end_of_day(request.query_params.get("as_of", "")[:20])
    lines = await ledger.trial_balance(request.db, request.viewer.as_staff, moment)
    name = f"trial-balance-{(moment or now()).date().isoformat()}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(console.trial_csv(lines), media_type="text/csv; charset=utf-8", headers=headers)


routes = [list_accounts, one_account, one_journal, trial_balance, trial_sheet]
