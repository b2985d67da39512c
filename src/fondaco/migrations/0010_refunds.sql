-- Approvals, refunds of lines, release policies.
CREATE SCHEMA approvals;
GRANT USAGE ON SCHEMA approvals TO fondaco_app;
CREATE SCHEMA refunds;
GRANT USAGE ON SCHEMA refunds TO fondaco_app;
