-- refunds: money of order lines going back to the buyer, by policy, whole or in part, before and after release.
CREATE SCHEMA refunds;
GRANT USAGE ON SCHEMA refunds TO fondaco_app;
