"""THE permission table: what each role may do. Every route names one of these permissions.

Roles: anonymous; customer (any signed-in user); seller.owner, seller.manager, seller.fulfilment,
seller.finance, seller.read_only (a member of a seller's team); staff.support, staff.ops, staff.finance,
staff.admin, staff.auditor; api_key (a seller's key that was given the permission).
"""

_SELLERS = frozenset(
    {"seller.owner", "seller.manager", "seller.fulfilment", "seller.finance", "seller.read_only"}
)
_STAFF = frozenset({"staff.support", "staff.ops", "staff.finance", "staff.admin", "staff.auditor"})


def _seller(*roles: str, key: bool = True) -> frozenset[str]:
    return frozenset(f"seller.{r}" for r in roles) | ({"api_key"} if key else frozenset[str]())


def _staff(*roles: str) -> frozenset[str]:
    return frozenset(f"staff.{r}" for r in roles)


PERMISSIONS: dict[str, frozenset[str]] = {
    "public.see": frozenset({"anonymous"}),  # catalogue, sign-in, static files, health
    "provider.deliver": frozenset({"anonymous"}),  # webhooks: the signature decides
    "cart.use": frozenset({"anonymous"}),  # one's own cart, guest or signed in
    # A customer's own things; the WHERE clause says whose.
    "account.own": frozenset({"customer"}),
    "wallet.own": frozenset({"customer"}),
    "orders.buy": frozenset({"customer"}),
    "orders.own": frozenset({"customer"}),
    "library.own": frozenset({"customer"}),
    "library.reveal": frozenset({"customer"}),
    "cases.own": frozenset({"customer"}),  # open, write in, withdraw, settle one's own cases
    "store.open": frozenset({"customer"}),
    # The seller desk
    "seller.see": _SELLERS,
    "store.edit": _seller("owner", "manager", key=False),
    "team.see": _SELLERS,
    "team.edit": _seller("owner", key=False),
    "api_keys.edit": _seller("owner", "manager", key=False),
    "catalog.read": _SELLERS | {"api_key"},
    "catalog.write": _seller("owner", "manager"),
    "stock.read": _SELLERS | {"api_key"},
    "stock.write": _seller("owner", "manager", "fulfilment"),
    "sales.read": _SELLERS | {"api_key"},
    "cases.answer": _seller("owner", "manager", "fulfilment"),
    "sales.refund": _seller("owner", "manager", "finance"),
    "balance.read": _seller("owner", "finance", "read_only", "manager"),
    "payouts.request": _seller("owner", "finance"),
    "store.connect": _seller("owner", key=False),  # where the money goes
    # The staff console
    "console.see": _STAFF,
    "console.orders": _STAFF,
    "console.people": _STAFF,
    "console.mails": _staff("support", "ops", "admin", "auditor"),
    "console.mail_again": _staff("support", "ops", "admin"),
    "console.cases": _STAFF,
    "console.case_work": _staff("support", "ops", "admin"),  # take, ask, close: never money
    "console.case_decide": _staff("finance", "admin"),  # decides, which moves money
    "console.chargebacks": _STAFF,
    "console.chargeback_submit": _staff(
        "finance", "admin"
    ),  # words, confirmation, write-off, let a wallet go
    "console.risk": _STAFF,
    "console.risk_decide": _staff("ops", "admin"),  # set a tier, answer appeals, block, ask for a ban
    "console.risk_ban": _staff("admin"),  # the second of two people
    "console.inbox": _staff("ops", "finance", "admin", "auditor"),
    "console.replay": _staff("ops", "admin"),
    "console.ledger": _staff("finance", "admin", "auditor"),
    "console.payouts": _staff("ops", "finance", "admin", "auditor"),
    "console.payouts_hold": _staff("ops", "finance", "admin"),
    "console.payouts_run": _staff("finance", "admin"),  # run, let go, cancel, take back
    "console.audit": _staff("admin", "auditor"),
    "console.checks": _staff("ops", "admin", "auditor"),
    "console.moderate": _staff("ops", "admin"),
    "console.cancel_order": _staff("support", "ops", "admin"),
    "console.roles": _staff("admin"),
    "console.approvals": _staff("ops", "finance", "admin", "auditor"),
    "console.approve": _staff("ops", "finance", "admin"),
    "console.refund": _staff("ops", "finance", "admin"),
    "console.refund_approve": _staff("finance", "admin"),
    "console.adjust": _staff("finance", "admin"),
    "console.reconcile": _staff("ops", "finance", "admin", "auditor"),
    "console.reconcile_run": _staff("ops", "finance", "admin"),
    "console.resolve_break": _staff("finance", "admin"),  # explain, book, settle what is in suspense
    "console.commission": _staff("finance", "admin"),
    "console.credit": _staff("ops", "finance", "admin", "auditor"),  # who owes what
    "console.credit_policy": _staff("finance", "admin"),  # how much credit is given, to whom
}

ROLES: tuple[str, ...] = (
    "anonymous",
    "customer",
    *sorted(_SELLERS),
    "api_key",
    *sorted(_STAFF),
)
KEY_SCOPES: tuple[str, ...] = tuple(sorted(p for p, roles in PERMISSIONS.items() if "api_key" in roles))
