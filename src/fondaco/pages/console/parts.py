"""What the console's pages share: the sidebar by permission, reading lists, confirmations, reasons."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from litestar import Response

from fondaco import console
from fondaco.console import may
from fondaco.core import counting
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.context import Said, form_faults, form_status, page
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import Crumb, Link, LinkGroup
from fondaco.pages.states import state_mark

HOME = "/console"
SIZES = (25, 50, 100)
# Group, then (words, path, icon, permission).
_NAV: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "",
        (
            ("Overview", "/console", "gauge", "console.see"),
            ("Find", "/console/find", "search", "console.see"),
            ("Approvals", "/console/approvals", "badge-check", "console.approvals"),
        ),
    ),
    (
        "Trade",
        (
            ("Orders", "/console/orders", "receipt", "console.orders"),
            ("Cases", "/console/cases", "flag", "console.cases"),
            ("People", "/console/people", "users", "console.people"),
            ("Stores", "/console/sellers", "store", "console.see"),
            ("Listings", "/console/listings", "tags", "console.see"),
            ("Risk", "/console/risk", "shield", "console.risk"),
        ),
    ),
    (
        "Money",
        (
            ("Payments", "/console/fundings", "credit-card", "console.orders"),
            ("Refunds", "/console/refunds", "undo-2", "console.orders"),
            ("Chargebacks", "/console/chargebacks", "shield-x", "console.chargebacks"),
            ("Payouts", "/console/payouts", "banknote", "console.payouts"),
            ("Credit", "/console/credit", "clock", "console.credit"),
        ),
    ),
    (
        "Books",
        (
            ("Ledger", "/console/ledger", "book-open", "console.ledger"),
            ("Reconciliation", "/console/reconciliation", "scale", "console.reconcile"),
            ("Papers", "/console/papers", "file-text", "console.ledger"),
            ("Commission", "/console/commission", "percent", "console.commission"),
            ("Adjustments", "/console/adjustments", "coins", "console.adjust"),
        ),
    ),
    (
        "Machinery",
        (
            ("Inbox", "/console/inbox", "inbox", "console.inbox"),
            ("Mails", "/console/mails", "mail", "console.mails"),
            ("Audit log", "/console/audit", "scroll-text", "console.audit"),
            ("Checks", "/console/checks", "shield-check", "console.checks"),
        ),
    ),
)


async def desk(
    request: Call, template: str, *, here: str, crumbs: Sequence[Crumb] = (), **context: Any
) -> Response[str]:
    """A page of the console. `here` is the path of its entry in the sidebar."""

    def allowed(permission: str) -> bool:
        return may(request.viewer, permission)

    return await page(
        request,
        f"console/{template}",
        desk_name="Console",
        desk_home=HOME,
        palette_url="/palette",
        nav=_nav(request, here),
        crumbs=[Crumb("Console", HOME), *crumbs] if crumbs else (),
        may=allowed,
        **context,
    )


def _nav(request: Call, here: str) -> list[LinkGroup]:
    groups = [
        LinkGroup(
            label,
            [
                Link(words, href, icon, current=href == here)
                for words, href, icon, permission in links
                if may(request.viewer, permission)
            ],
        )
        for label, links in _NAV
    ]
    return [g for g in groups if g.links]


def read_list(request: Call, spec: ListSpec) -> ListQuery:
    """The list the address asks for."""
    return ListQuery.parse(spec, request.query_params.multi_items())


def cursor_of(query: ListQuery) -> str | None:
    return query.after or query.before or None


def ids_of(query: ListQuery, facet: str) -> list[UUID]:
    """The ids chosen of a facet; what is no id is left out."""
    return [i for i in map(parse_uuid, query.values(facet)) if i]


def known(query: ListQuery, facet: str, allowed: Iterable[str]) -> list[str]:
    """The chosen values of a facet that exist."""
    return [v for v in query.values(facet) if v in set(allowed)]


def states_facet(
    states: Iterable[str], machine: str, counts: Mapping[str, int] | None = None, label: str = "State"
) -> Facet:
    """The states of a machine as chips, in people's words."""
    told = counting.shown(counts or {})
    values = [
        FacetValue(s, state_mark(s, machine).words, None if counts is None else told.get(s, 0))
        for s in states
    ]
    return Facet("state", label, values)


def words_facet(name: str, label: str, words: Mapping[str, str]) -> Facet:
    return Facet(name, label, [FacetValue(value, text) for value, text in words.items()])


async def sellers_facet(request: Call, query: ListQuery) -> Facet:
    """The best-selling stores, and those chosen."""
    values = {str(i): name for i, name in await console.store_names(request.db, request.viewer)}
    chosen = [v for v in query.values("seller") if v not in values]
    others = await console.names_of(request.db, request.viewer, [f"seller:{v}" for v in chosen])
    values |= {v: others[f"seller:{v}"].words for v in chosen}
    return words_facet("seller", "Store", values)


def refusal(problem: Problem) -> Said:
    """A refusal as the message on the next page."""
    faults, words = form_faults(problem)
    return ("bad", words or next(iter(faults.values()), problem.detail))


async def confirm(
    request: Call,
    *,
    heading: str,
    text: str,
    action: str,
    label: str,
    back: str,
    danger: bool = False,
    fields: Sequence[tuple[str, str]] = (),
) -> Response[str]:
    """The page behind a confirmation dialog."""
    return await page(
        request,
        "layouts/confirm.html",
        heading=heading,
        text=text,
        action=action,
        fields=list(fields),
        confirm_label=label,
        danger=danger,
        back_href=back,
    )


async def ask_reason(
    request: Call,
    *,
    here: str,
    crumbs: Sequence[Crumb],
    heading: str,
    texts: Sequence[str],
    help_text: str,
    action: str,
    label: str,
    back: str,
    given: str = "",
    problem: Problem | None = None,
) -> Response[str]:
    """The page that says what will happen, asks why, and does it."""
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "reason.html",
        here=here,
        crumbs=crumbs,
        status=form_status(problem) if problem else 200,
        heading=heading,
        texts=texts,
        help_text=help_text,
        action=action,
        label=label,
        back=back,
        given=given,
        errors=errors,
        alert=alert,
    )
