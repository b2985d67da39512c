-- chargebacks: disputes of card networks and their early warnings. They attach to a funding, never to an order.
CREATE SCHEMA chargebacks;
GRANT USAGE ON SCHEMA chargebacks TO fondaco_app;
