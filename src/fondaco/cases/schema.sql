-- cases: disagreements between buyer and seller, decided on evidence.
CREATE SCHEMA cases;
GRANT USAGE ON SCHEMA cases TO fondaco_app;
