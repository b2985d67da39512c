-- Sellers are paid.
CREATE SCHEMA payouts;
GRANT USAGE ON SCHEMA payouts TO fondaco_app;
