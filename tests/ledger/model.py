"""A ledger in plain Python, as simple as can be: what the real one is compared with."""

from dataclasses import dataclass, field

Account = tuple[str, str, str]
CREDIT = {
    "wallet",
    "escrow",
    "seller_pending",
    "seller_available",
    "refund_in_flight",
    "suspense",
    "commission",
}
FLOORED = CREDIT - {"commission"}
RULES: dict[str, set[tuple[str, int]]] = {
    "top_up": {("psp_clearing", 1), ("wallet", -1)},
    "purchase": {("wallet", 1), ("escrow", -1)},
    "release": {("escrow", 1), ("seller_pending", -1), ("commission", -1)},
    "mature": {("seller_pending", 1), ("seller_available", -1)},
    "refund_line": {("escrow", 1), ("wallet", -1)},
    "refund_intent": {("wallet", 1), ("refund_in_flight", -1)},
    "refund_done": {("refund_in_flight", 1), ("psp_clearing", -1)},
    "refund_failed": {("refund_in_flight", 1), ("wallet", -1)},
    "provider_fee": {("psp_fees", 1), ("psp_clearing", -1)},
}


@dataclass(frozen=True)
class Posting:
    kind: str
    key: str
    legs: tuple[tuple[Account, int], ...]


@dataclass
class Model:
    """Balances on the normal side, and what each key stands for."""

    balances: dict[Account, int] = field(default_factory=dict)
    known: dict[str, tuple[str, frozenset[tuple[Account, int]]]] = field(default_factory=dict)

    def post(self, posting: Posting) -> str:
        """The verdict in a word; only 'posted' changes balances."""
        sums: dict[Account, int] = {}
        for account, amount in posting.legs:
            sums[account] = sums.get(account, 0) + amount
        sums = {a: n for a, n in sums.items() if n}
        content = (posting.kind, frozenset(sums.items()))
        if posting.key in self.known:
            return "again" if self.known[posting.key] == content else "other_content"
        rules = RULES[posting.kind]
        forbidden = any((a[0], 1 if n > 0 else -1) not in rules for a, n in sums.items())
        after = {a: self.balances.get(a, 0) + (-n if a[0] in CREDIT else n) for a, n in sums.items()}
        floor = any(n < 0 and a[0] in FLOORED for a, n in after.items())
        per_currency: dict[str, int] = {}
        for account, amount in sums.items():
            per_currency[account[2]] = per_currency.get(account[2], 0) + amount
        if forbidden or floor:
            return (
                "forbidden" if forbidden and not floor else "floor" if not forbidden else "forbidden_or_floor"
            )
        if len(sums) < 2 or any(per_currency.values()):
            return "unbalanced"
        self.balances |= after
        self.known[posting.key] = content
        return "posted"
