"""Checks: the invariants by name, and what a run and a fault look like to those who read them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

# Name -> what must hold, in plain words.
INVARIANTS: dict[str, str] = {
    "I01": "Money is neither made nor lost: debits equal credits in every currency.",
    "I02": "Every journal balances, has two entries or more, and is what was posted.",
    "I03": "Every balance is the sum of its entries; their chain has no gap and no change.",
    "I04": "No account is below its floor.",
    "I05": "Every entry is in its account's currency.",
    "I06": "A journal is reversed once at most, and its reversal is its exact mirror.",
    "I07": "A journal moves only the accounts its kind may move, in the direction it may.",
    "I08": "An order that is paid is delivered; one that is not paid is closed in time.",
    "I09": "A delivered line has exactly its quantity; a unit is delivered once, to its own buyer.",
    "I10": "Nothing is delivered without its money; no money is taken without a delivery.",
    "I11": "Stock adds up: imported, on hand, held, sold; the stock word is true.",
    "I12": "What is reserved belongs to an order that still waits for its payment.",
    "I13": "A line's escrow holds what it must, and nothing once it is over.",
    "I14": "States and totals agree: line, order, purchase and ledger.",
    "I15": "A payment is never refunded beyond its amount.",
    "I16": "Every payment and refund has exactly its journal, to the cent, and the other way round.",
    "I17": "The provider's account is what payments and refunds make it.",
    "I18": "A payout is one transfer, of its amount, to the account it was decided for.",
    "I19": "A payout is the sum of its lines; no line is paid more than its seller's part.",
    "I20": "Nobody is paid who may not be.",
    "I21": "A seller has one daily payout a day and currency.",
    "I22": "Money in flight arrives or is looked at in time; none is held too long.",
    "I23": "Every event of the provider is kept once and handled once; none is stuck.",
    "I24": "No job, mail or consumer of events is left without a worker.",
    "I25": "The audit log is whole, linked, signed, and sealed up to now.",
    "I26": "Every critical change has its event in the audit log.",
    "I27": "Every state is a state of its machine.",
    "I30": "A row belongs to the same buyer and seller as what it points to.",
    "I31": "No secret stands anywhere in plain text.",
    "I33": "Where somebody stands is what was decided; every decision of the rules replays; bans need two.",
    "I34": "Commission and tax in the books are those of the released lines.",
    "I35": "The database's own guards are switched on and valid.",
    "I36": "An open case holds its money frozen; a decided one moved it once; its evidence is as kept.",
    "I37": "Papers have numbers without a gap, are as they were issued, and say what the books say.",
    "I38": "What chargebacks say is taken, held and owed is what the books say; wallets at risk are blocked.",
    "I39": "What buyers owe for goods on credit is what the books say, and never more than they may.",
    "I40": "What passes to a store's own account arrives there or is taken back; nothing is left in between.",
}
# Of the numbering, what fondaco has nothing of yet, or what is proved from outside.
ELSEWHERE: dict[str, str] = {
    "I28": "Coupons: not built yet.",
    "I29": "Reviews: not built yet.",
    "I32": "Nobody lost what we acknowledged: proved by the clients' own records in `fondaco chaos`.",
}


class Run(msgspec.Struct, frozen=True):
    """One run. `kind`: 'minute' (what is cheap, and what is newest) or 'full'. `ended_at` is None while it is
    under way, `lost` when its worker died in the middle. `left_out`: what took too long."""

    id: int
    kind: str
    asked_by: str
    started_at: datetime
    ended_at: datetime | None
    doing: str
    looked: int
    faults: int
    left_out: Sequence[str]
    lost: bool


class OpenFault(msgspec.Struct, frozen=True):
    """A fault as it is kept: from when it was first seen until it was gone."""

    id: int
    name: str
    place: str
    words: str
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None
    told_at: datetime | None


class Summary(msgspec.Struct, frozen=True):
    """How things stand: faults open now, and the newest finished run of each kind."""

    open: int
    minute: Run | None
    full: Run | None
    under_way: Run | None
