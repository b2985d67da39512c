"""What runs with the owner's rights is callable by the application's role alone, and named here."""

import asyncpg

# Each runs as its definer: whoever adds one says here that the application may call it.
CALLABLE = {
    "audit.record",
    "core.claim_run",
    "core.hit",
    "credit.buy",
    "credit.offer",
    "credit.settle",
    "credit.write_off",
    "delivery.reveal_unit",
    "delivery.reveal_within",
    "destination.account_of",
    "destination.place",
    "identity.resolve_api_key",
    "identity.resolve_session",
    "identity.resolve_sessions",
    "inventory.add_content",
    "inventory.left_of",
    "inventory.left_up_to",
    "inventory.refresh_in_stock",
    "inventory.set_copies",
    "ledger.open_account",
    "ledger.post",
    "orders.as_bought",
    "orders.buy",
    "orders.freeze",
    "orders.give_up",
    "orders.mature_due",
    "orders.pay_group",
    "orders.place",
    "orders.put_in_cart",
    "orders.quoted",
    "orders.release",
    "orders.release_due",
    "orders.thaw",
    "refunds.note_source",
    "refunds.refund_line",
    "refunds.replace_unit",
    "payouts.stopped",
    "statements.draw",
    "payouts.begin_run",
    "payouts.free_reserve",
    "payouts.give_back",
    "payouts.intend",
    "payouts.note_reversal",
    "payouts.run_step",
    "wallets.stand",
}
DEFINERS = """
SELECT n.nspname || '.' || p.proname AS name, p.proconfig,
  has_function_privilege('fondaco_app', p.oid, 'EXECUTE') AS app,
  EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
    WHERE grantee = 0) AS everybody
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


async def test_what_runs_as_its_definer_is_for_the_application_alone(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(DEFINERS)
    assert not [r["name"] for r in rows if r["everybody"]]
    assert {r["name"] for r in rows if r["app"]} == CALLABLE
    assert all("pg_temp" in str(r["proconfig"]) for r in rows), "a definer's search path ends in pg_temp"
