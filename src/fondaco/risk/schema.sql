-- risk: recorded signals, rules that explain themselves, tiers of buyers and sellers, and what each tier forbids.
CREATE SCHEMA risk;
GRANT USAGE ON SCHEMA risk TO fondaco_app;
