-- Signals, rules, tiers.
CREATE SCHEMA risk;
GRANT USAGE ON SCHEMA risk TO fondaco_app;
