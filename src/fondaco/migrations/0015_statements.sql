-- Papers that never change.
CREATE SCHEMA statements;
GRANT USAGE ON SCHEMA statements TO fondaco_app;
