"""What will be done to the marketplace and when: drawn from the seed alone, before anything runs."""

import random
from dataclasses import dataclass

KILLS = ("web", "web_process", "worker", "backend", "postgres", "everything")
KIND_WEIGHTS = {
    "web": 12,
    "web_process": 12,
    "worker": 16,
    "backend": 12,
    "postgres": 9,
    "everything": 7,
    "failpoint": 30,
    "provider": 8,
    "clock": 4,
}
WEB_POINTS = (
    "web.webhook.after_verify",
    "web.webhook.after_insert_before_commit",
    "web.webhook.after_commit_before_answer",
    "web.checkout.after_debit_before_commit",
    "web.checkout.after_reserve",
    "web.checkout.after_commit_before_answer",
    "web.idempotency.after_effect_before_keep",
    "buy.before_call",
    "buy.after_call",
    "pay.session.before_call",
    "pay.session.after_call_before_store",
    "delivery.reveal.before_commit",
    "delivery.reveal.after_commit",
    "delivery.after_decrypt",
)
WORKER_POINTS = (
    "worker.claim.after",
    "worker.job.before_commit",
    "worker.job.after_commit_before_ack",
    "inbox.after_ask",
    "settle.after_money_before_order",
    "refund.before_call",
    "refund.after_call_before_store",
    "refund.after_store_before_commit",
    "payout.run.before_commit",
    "payout.before_call",
    "payout.after_call_before_store",
    "payout.after_store_before_commit",
    "delivery.after_row_before_mail",
    "stock.import.after_claim",
    "stock.import.mid_batch",
    "sweeper.events.after_select",
    "sweeper.fundings.after_select",
    "seal.after_block_before_sign",
)
ACTIONS = ("kill", "kill", "kill", "exit", "raise", "lose_connection", "sleep:700")
PROVIDER = (
    {"lose_answer": {"count": 3, "path": "/v1/"}},
    {"fail_before": {"count": 3, "path": "/v1/"}},
    {"fail_after": {"count": 2, "path": "/v1/checkout"}},
    {"rate_limit": {"count": 3, "path": "/v1/"}},
    {"lose_answer": {"count": 2, "path": "/v1/refunds"}},
    {"latency_ms": 900},
    {"latency_ms": 0},
)
SKEWS = (-400, -240, -60, 0, 60, 240, 400)


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing to be done, `pause_ms` after the marketplace has recovered from the one before."""

    number: int
    pause_ms: int
    kind: str
    detail: str = ""
    value: tuple[int, int] = (0, 0)

    @property
    def words(self) -> str:
        return f"{self.number:4d}  +{self.pause_ms:5d} ms  {self.kind:12s} {self.detail}".rstrip()


def draw(seed: int, count: int) -> list[Strike]:
    """The first `count` strikes of this seed; a longer plan begins with the shorter one."""
    dice = random.Random(seed)  # noqa: S311 - the same plan for the same seed
    kinds, weights = list(KIND_WEIGHTS), list(KIND_WEIGHTS.values())
    # Every kind of kill comes once, soon; then as the dice say.
    first = list(KILLS)
    dice.shuffle(first)
    found: list[Strike] = []
    for number in range(1, count + 1):
        kind = first.pop() if first and number % 2 else dice.choices(kinds, weights)[0]
        found.append(_strike(dice, number, kind))
    return found


def _strike(dice: random.Random, number: int, kind: str) -> Strike:
    pause = dice.randrange(200, 2500)
    if kind == "failpoint":
        point = dice.choice(WEB_POINTS if dice.random() < 0.5 else WORKER_POINTS)
        action, turn = dice.choice(ACTIONS), dice.choice((1, 1, 2, 3))
        return Strike(number, pause, kind, f"{point}={action}@{turn}")
    if kind == "provider":
        which = dice.randrange(len(PROVIDER))
        return Strike(number, pause, kind, str(PROVIDER[which]), (which, 0))
    if kind == "clock":
        web, worker = dice.choice(SKEWS), dice.choice(SKEWS)
        return Strike(number, pause, kind, f"web {web:+d} s, worker {worker:+d} s", (web, worker))
    return Strike(number, pause, kind)
