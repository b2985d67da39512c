"""The books over the API, for staff: accounts, entries, journals, trial balance."""

from datetime import datetime
from typing import Annotated, Any

from litestar import get
from litestar.params import PathParameter, QueryParameter

from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.ledger import reads
from fondaco.ledger.model import Journal, LedgerAccount, StatementLine, TrialLine

Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` of the page before this one.")
]
Kind = Annotated[
    str | None, QueryParameter(pattern="^[a-z_]{1,40}$", description="Kind of account, such as `wallet`.")
]
Owner = Annotated[
    str | None,
    QueryParameter(
        pattern="^[a-z]{1,20}(:[0-9a-f-]{36})?$", description="Owner, such as `platform` or `user:<id>`."
    ),
]
Currency = Annotated[str | None, QueryParameter(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]


@get("/api/v1/console/ledger/accounts", permit="console.ledger", summary="Accounts with their balances")
async def list_accounts(
    request: Call,
    *,
    kind: Kind = None,
    owner: Owner = None,
    currency: Currency = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[LedgerAccount]:
    after = request.cursors.read("ledger.accounts", cursor)[0] if cursor else 0
    found = await reads.accounts(
        request.db,
        request.viewer.as_staff,
        kind=kind,
        owner=owner,
        currency=currency,
        after=after,
        limit=limit + 1,
    )
    more = len(found) > limit
    following = request.cursors.make("ledger.accounts", [found[limit - 1].id]) if more else None
    return Page(found[:limit], next=following)


@get("/api/v1/console/ledger/accounts/{account_id:int}", permit="console.ledger", summary="One account")
async def get_account(request: Call, account_id: Id) -> LedgerAccount:
    return await reads.account(request.db, request.viewer.as_staff, account_id)


@get(
    "/api/v1/console/ledger/accounts/{account_id:int}/entries",
    permit="console.ledger",
    summary="An account's entries, newest first",
)
async def list_entries(
    request: Call, account_id: Id, limit: Limit = 50, cursor: PageCursor = None
) -> Page[StatementLine]:
    scope = request.viewer.as_staff
    await reads.account(request.db, scope, account_id)
    name = f"ledger.entries.{account_id}"
    before = request.cursors.read(name, cursor)[0] if cursor else None
    found = await reads.entries_of(request.db, scope, account_id, before=before, limit=limit + 1)
    following = request.cursors.make(name, [found[limit - 1].journal_id]) if len(found) > limit else None
    return Page(found[:limit], next=following)


@get("/api/v1/console/ledger/journals/{journal_id:int}", permit="console.ledger", summary="One journal")
async def get_journal(request: Call, journal_id: Id) -> Journal:
    return await reads.journal(request.db, request.viewer.as_staff, journal_id)


@get(
    "/api/v1/console/ledger/trial-balance",
    permit="console.ledger",
    summary="Debits, credits and balances per kind of account and currency",
)
async def get_trial_balance(
    request: Call,
    as_of: Annotated[
        datetime | None, QueryParameter(description="Up to this moment, with its offset. Default: now.")
    ] = None,
) -> list[TrialLine]:
    return await reads.trial_balance(request.db, request.viewer.as_staff, as_of)


routes: list[Any] = [list_accounts, get_account, list_entries, get_journal, get_trial_balance]
