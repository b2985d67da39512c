-- Chargebacks, early warnings, wallets at risk.
CREATE SCHEMA chargebacks;
GRANT USAGE ON SCHEMA chargebacks TO fondaco_app;
