-- Runs and breaks.
CREATE SCHEMA reconciliation;
GRANT USAGE ON SCHEMA reconciliation TO fondaco_app;
