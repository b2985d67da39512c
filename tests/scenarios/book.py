"""The book of stories: what is done is told in words, and what the ledger did because of it stands beside."""

import re
from dataclasses import dataclass, field
from uuid import UUID

from fondaco.core.db import SYSTEM
from fondaco.core.money import Money
from tests.support.money import Till

HEAD = "<!-- Written by tests/scenarios. FONDACO_WRITE_STORIES=1 writes it anew. -->\n\n"
_OWNER = re.compile(r"^([a-z_]+):(.+)$")


@dataclass
class Book:
    """One story being told."""

    till: Till
    title: str
    about: str
    rows: list[str] = field(default_factory=list[str])
    names: dict[str, str] = field(default_factory=dict[str, str])
    seen: int = 0

    def name(self, what: str, one: UUID, words: str) -> None:
        """What somebody is called in this story."""
        self.names[f"{what}:{one}"] = words

    async def tell(self, words: str) -> None:
        """What has just happened, with the journals it made."""
        rows = await self.till.db.fetch(
            SYSTEM,
            """SELECT j.id, j.kind, a.kind AS account, a.owner, e.currency::text AS currency,
                 (e.amount * k.side)::bigint AS amount
               FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
               JOIN ledger.account a ON a.id = e.account_id JOIN ledger.account_kind k ON k.kind = a.kind
               WHERE j.id > $1 ORDER BY j.id, a.kind, a.owner""",
            self.seen,
        )
        journals: dict[int, list[str]] = {}
        kinds: dict[int, str] = {}
        for row in rows:
            sign = "+" if row["amount"] > 0 else "−"
            amount = Money(abs(row["amount"]), row["currency"])
            journals.setdefault(row["id"], []).append(
                f"{self._account(row['account'], row['owner'])} {sign}{amount}"
            )
            kinds[row["id"]] = row["kind"]
        if not journals:
            self.rows.append(f"| {words} | | |")
        for i, (journal, legs) in enumerate(journals.items()):
            self.rows.append(f"| {words if i == 0 else ''} | `{kinds[journal]}` | {'<br>'.join(legs)} |")
        self.seen = max([self.seen, *journals])

    def _account(self, kind: str, owner: str) -> str:
        if owner == "platform":
            return f"`{kind}`"
        if owner not in self.names:
            found = _OWNER.match(owner)
            what = found.group(1) if found else owner
            others = sum(1 for known in self.names if known.startswith(f"{what}:"))
            self.names[owner] = f"{what} {others + 1}"
        return f"`{kind}` of {self.names[owner]}"

    async def written(self) -> str:
        """The story as a page: what happened, and what stands on the accounts after it."""
        rows = await self.till.db.fetch(
            SYSTEM,
            """SELECT kind, owner, currency::text AS currency, amount FROM ledger.account_balance
               WHERE amount <> 0 ORDER BY kind, owner""",
        )
        ends = sorted(
            f"| {self._account(r['kind'], r['owner'])} | {Money(r['amount'], r['currency'])} |" for r in rows
        )
        parts = [
            f"{HEAD}# {self.title}\n\n{self.about}\n",
            "| what happened | journal | what moved |\n|---|---|---|\n" + "\n".join(self.rows) + "\n",
            "What stands on the accounts in the end:\n",
            "| account | balance |\n|---|---:|\n" + "\n".join(ends) + "\n",
        ]
        return "\n".join(parts)
