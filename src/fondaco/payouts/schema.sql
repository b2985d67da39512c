-- payouts: how sellers are paid. Accounts at the provider, daily batches, withdrawals, one executor.
CREATE SCHEMA payouts;
GRANT USAGE ON SCHEMA payouts TO fondaco_app;
