-- Cases and evidence.
CREATE SCHEMA cases;
GRANT USAGE ON SCHEMA cases TO fondaco_app;
