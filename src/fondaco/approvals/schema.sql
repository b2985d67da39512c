-- approvals: acts that need two people. One asks, another decides, and the act happens with the decision.
CREATE SCHEMA approvals;
GRANT USAGE ON SCHEMA approvals TO fondaco_app;
