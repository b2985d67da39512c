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
  provider_status text NOT NULL,                       -- as last told
  due_by         timestamptz,                          -- until then evidence counts
  opened_at      timestamptz NOT NULL,
  heard_at       timestamptz NOT NULL DEFAULT now(),
  ended_at       timestamptz,
  taken          bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),       -- money the network has
  held           bigint NOT NULL DEFAULT 0 CHECK (held >= 0),        -- of the wallet, for as long as it is open
  owed           bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),        -- what the buyer still owes of a lost one
  written_off    bigint NOT NULL DEFAULT 0 CHECK (written_off >= 0),
  repaid         bigint NOT NULL DEFAULT 0 CHECK (repaid >= 0),      -- by the buyer, of what was owed
  borne          bigint NOT NULL DEFAULT 0 CHECK (borne >= 0),       -- by sellers, where their terms said so
  cleared_at     timestamptz,                          -- somebody let the wallet go although this was lost
  reversed_at    timestamptz,                          -- when a lost one came back after all
  asked_at       timestamptz,                          -- when the provider was last asked of itself
  version        int NOT NULL DEFAULT 1,
  CHECK (held <= taken),
  CHECK (owed + written_off + repaid + borne <= amount)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON chargebacks.chargeback
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('chargeback', 'state');
CREATE INDEX chargeback_funding ON chargebacks.chargeback (funding_id);
CREATE INDEX chargeback_user ON chargebacks.chargeback (user_id);
CREATE INDEX chargeback_newest ON chargebacks.chargeback (opened_at DESC, id DESC);
CREATE INDEX chargeback_owed ON chargebacks.chargeback (user_id) WHERE owed > 0;
CREATE INDEX chargeback_state ON chargebacks.chargeback (state);
CREATE INDEX chargeback_due ON chargebacks.chargeback (due_by, id) WHERE ended_at IS NULL;

-- What the disputed money had paid for when the dispute came; each line with the liability its terms gave it.
CREATE TABLE chargebacks.line (
  chargeback_id uuid NOT NULL REFERENCES chargebacks.chargeback,
  line_id       uuid NOT NULL REFERENCES orders.order_line,
  order_id      uuid NOT NULL REFERENCES orders.orders,
  buyer_id      uuid NOT NULL,
  seller_id     uuid NOT NULL REFERENCES sellers.seller,
  amount        bigint NOT NULL CHECK (amount > 0),    -- of the disputed money, minor units
  policy        text NOT NULL CHECK (policy IN ('platform', 'seller', 'shared')),
  bps           int NOT NULL CHECK (bps BETWEEN 0 AND 10000),
  borne         bigint NOT NULL DEFAULT 0 CHECK (borne BETWEEN 0 AND amount),
  PRIMARY KEY (chargeback_id, line_id)
);
CREATE INDEX line_seller ON chargebacks.line (seller_id, chargeback_id);
CREATE INDEX line_order ON chargebacks.line (order_id);

-- What is said to the bank: drafted by us, added to by sellers, confirmed by finance, sent once for each stage.
CREATE TABLE chargebacks.evidence (
  id            uuid PRIMARY KEY,
  chargeback_id uuid NOT NULL REFERENCES chargebacks.chargeback,
  user_id       uuid NOT NULL REFERENCES identity.users,  -- the buyer
  stage         text NOT NULL CHECK (stage IN ('inquiry', 'chargeback')),
  state         text NOT NULL,
  snapshot_id   uuid REFERENCES cases.snapshot,
  fields        jsonb NOT NULL,                        -- the provider's names and our texts
  words         text NOT NULL DEFAULT '' CHECK (length(words) <= 10000),  -- of finance
  made_at       timestamptz NOT NULL DEFAULT now(),
  window_ends   timestamptz NOT NULL,                  -- until then sellers may add
  confirmed_by  uuid REFERENCES identity.users,
  confirmed_at  timestamptz,
  sent          jsonb,                                 -- exactly what was sent
  sha256        bytea,
  before        int,                                   -- submissions the provider had before ours
  attempt       int NOT NULL DEFAULT 0,
  called_at     timestamptz,
  key_burnt     boolean NOT NULL DEFAULT false,
  ended_at      timestamptz,
  failure       text,
  version       int NOT NULL DEFAULT 1,
  UNIQUE (chargeback_id, stage),
  CHECK ((sent IS NULL) = (sha256 IS NULL)),
  CHECK (state NOT IN ('SENDING', 'UNKNOWN', 'SENT') OR sent IS NOT NULL)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON chargebacks.evidence
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('chargeback_evidence', 'state');
CREATE INDEX evidence_open ON chargebacks.evidence (called_at)
  WHERE state IN ('DRAFT', 'CONFIRMED', 'SENDING', 'UNKNOWN');
CREATE INDEX evidence_user ON chargebacks.evidence (user_id);

-- What was sent never changes.
CREATE FUNCTION chargebacks.keep_sent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.sent IS NOT NULL AND (NEW.sent, NEW.sha256, NEW.snapshot_id) IS DISTINCT FROM
     (OLD.sent, OLD.sha256, OLD.snapshot_id) THEN
    RAISE EXCEPTION 'evidence that was sent never changes'
      USING ERRCODE = '23514', CONSTRAINT = 'evidence_sent_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER sent_stays BEFORE UPDATE ON chargebacks.evidence
  FOR EACH ROW EXECUTE FUNCTION chargebacks.keep_sent();

-- What a seller adds to it.
CREATE TABLE chargebacks.statement (
  id            uuid PRIMARY KEY,
  chargeback_id uuid NOT NULL REFERENCES chargebacks.chargeback,
  seller_id     uuid NOT NULL REFERENCES sellers.seller,
  actor         text NOT NULL,
  body          text NOT NULL CHECK (length(body) BETWEEN 3 AND 4000),
  at            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX statement_chargeback ON chargebacks.statement (chargeback_id, at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON chargebacks.statement
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();

-- An issuer's early word that a payment may be fraud.
CREATE TABLE chargebacks.warning (
  id          uuid PRIMARY KEY,
  provider_id text NOT NULL UNIQUE,                    -- Stripe early fraud warning
  funding_id  uuid NOT NULL REFERENCES wallets.funding,
  user_id     uuid NOT NULL REFERENCES identity.users,
  fraud_type  text NOT NULL,
  actionable  boolean NOT NULL,
  refund_id   uuid REFERENCES wallets.refund,          -- what went back to the card because of it
  answered_at timestamptz,                             -- when what is unspent was sent back, or left
  blocks      boolean NOT NULL,                        -- the wallet, for what was spent already
  cleared_at  timestamptz,                             -- somebody let the wallet go
  warned_at   timestamptz NOT NULL,
  noted_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX warning_funding ON chargebacks.warning (funding_id);
CREATE INDEX warning_unanswered ON chargebacks.warning (noted_at) WHERE answered_at IS NULL;
CREATE INDEX warning_user ON chargebacks.warning (user_id);

GRANT SELECT, INSERT, UPDATE ON chargebacks.chargeback, chargebacks.line, chargebacks.evidence,
  chargebacks.warning TO fondaco_app;
GRANT SELECT, INSERT ON chargebacks.statement TO fondaco_app;
SELECT core.wall('chargebacks.chargeback', 'user_id', '');
SELECT core.wall('chargebacks.line', 'buyer_id', 'seller_id');
SELECT core.wall('chargebacks.evidence', 'user_id', '');
SELECT core.wall('chargebacks.statement', '', 'seller_id');
SELECT core.wall('chargebacks.warning', 'user_id', '');
