-- chargebacks: disputes of card networks on a funding, and their early warnings. Never attached to an order.
CREATE SCHEMA chargebacks;
GRANT USAGE ON SCHEMA chargebacks TO fondaco_app;

CREATE TABLE chargebacks.chargeback (
  id             uuid PRIMARY KEY,
  provider_id    text NOT NULL UNIQUE,                 -- Stripe dispute
  funding_id     uuid NOT NULL REFERENCES wallets.funding,
  user_id        uuid NOT NULL REFERENCES identity.users,
  amount         bigint NOT NULL CHECK (amount > 0),   -- disputed, minor units
  currency       char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  reason         text NOT NULL,                        -- the network's word
  state          text NOT NULL,
  provider_state text NOT NULL,                        -- as last told
  due_by         timestamptz,                          -- until then evidence counts
  opened_at      timestamptz NOT NULL,
  heard_at       timestamptz NOT NULL DEFAULT now(),
  ended_at       timestamptz,
  taken          bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),       -- money the network has
  held           bigint NOT NULL DEFAULT 0 CHECK (held >= 0),        -- of the wallet, for as long as it is open
  owed           bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),        -- what the buyer still owes of a lost one
  written_off    bigint NOT NULL DEFAULT 0 CHECK (written_off >= 0),
  cleared_at     timestamptz,                          -- somebody let the wallet go although this was lost
  version        int NOT NULL DEFAULT 1,
  CHECK (held <= taken),
  CHECK (owed + written_off <= amount)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON chargebacks.chargeback
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('chargeback', 'state');
CREATE INDEX chargeback_funding ON chargebacks.chargeback (funding_id);
CREATE INDEX chargeback_user ON chargebacks.chargeback (user_id);
CREATE INDEX chargeback_newest ON chargebacks.chargeback (opened_at DESC, id DESC);
CREATE INDEX chargeback_due ON chargebacks.chargeback (due_by, id) WHERE ended_at IS NULL;

-- An issuer's early word that a payment may be fraud.
CREATE TABLE chargebacks.warning (
  id          uuid PRIMARY KEY,
  provider_id text NOT NULL UNIQUE,                    -- Stripe early fraud warning
  funding_id  uuid NOT NULL REFERENCES wallets.funding,
  user_id     uuid NOT NULL REFERENCES identity.users,
  fraud_type  text NOT NULL,
  actionable  boolean NOT NULL,
  refund_id   uuid REFERENCES wallets.refund,          -- what went back to the card because of it
  warned_at   timestamptz NOT NULL
);
CREATE INDEX warning_funding ON chargebacks.warning (funding_id);
CREATE INDEX warning_user ON chargebacks.warning (user_id);

GRANT SELECT, INSERT, UPDATE ON chargebacks.chargeback, chargebacks.warning TO fondaco_app;
SELECT core.wall('chargebacks.chargeback', 'user_id', '');
SELECT core.wall('chargebacks.warning', 'user_id', '');
