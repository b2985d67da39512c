"""Credit: small orders delivered before they are paid, off until finance sets a policy.

What is bought so is the same purchase as from the wallet, with what it costs owed. Nobody owes more than
their tier allows, and all together not more than the marketplace lends: the database refuses it. The next
money that reaches the wallet pays, the soonest due first; a refund pays before it fills the wallet. What
stays unpaid so long that its terms give it up is written off: what was not opened is taken back, sellers
keep their money, and the buyer gets no credit again.
"""

from fondaco.credit.desk import AGES, STATES, CreditRow, CreditSum, credit_sums, list_credits
from fondaco.credit.model import NoCreditOwed, NothingToPayWith
from fondaco.credit.owing import Credit, Offer, Owing, credit_of, offer, own_credit, pay_now, settle
from fondaco.credit.terms import (
    DEFAULT_CAP,
    CreditPolicy,
    CreditTerms,
    check,
    end_policy,
    policies,
    set_policy,
)

__all__ = [
    "AGES",
    "DEFAULT_CAP",
    "STATES",
    "Credit",
    "CreditPolicy",
    "CreditRow",
    "CreditSum",
    "CreditTerms",
    "NoCreditOwed",
    "NothingToPayWith",
    "Offer",
    "Owing",
    "check",
    "credit_of",
    "credit_sums",
    "end_policy",
    "list_credits",
    "offer",
    "own_credit",
    "pay_now",
    "policies",
    "set_policy",
    "settle",
]
