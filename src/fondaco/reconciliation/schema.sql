-- reconciliation: every balance transaction of the provider against our journals, both ways, to the cent.
CREATE SCHEMA reconciliation;
GRANT USAGE ON SCHEMA reconciliation TO fondaco_app;
