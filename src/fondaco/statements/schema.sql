-- statements: papers about money that never change: statements, receipts, invoices, credit notes, trial balances.
CREATE SCHEMA statements;
GRANT USAGE ON SCHEMA statements TO fondaco_app;
