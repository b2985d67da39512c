-- wallets: money entering from outside (fundings) and going back where it came from (refunds).
-- What a wallet holds is the ledger's business: account kind 'wallet', owner 'user:<id>'.
CREATE SCHEMA wallets;
GRANT USAGE ON SCHEMA wallets TO fondaco_app;

CREATE TABLE wallets.funding (
  id           uuid PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES identity.users,
  purpose      text NOT NULL CHECK (purpose IN ('top_up', 'order')),
  group_id     uuid,                                   -- the order group a card checkout pays
  amount       bigint NOT NULL CHECK (amount > 0),
  currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  lines        jsonb NOT NULL,                         -- what the payment page shows: [{name, quantity, unit_amount}]
  state        text NOT NULL,
  session_id   text UNIQUE,                            -- Stripe Checkout Session
  session_url  text,
  intent_id    text UNIQUE,                            -- Stripe PaymentIntent
  charge_id    text UNIQUE,
  refunded     bigint NOT NULL DEFAULT 0,
  refund_pending bigint NOT NULL DEFAULT 0,
  failure      text,                                   -- in words for the buyer
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  succeeded_at timestamptz,
  called_at    timestamptz,                            -- when the provider was last asked to create it
  checked_at   timestamptz,                            -- when the provider was last asked how it stands
  disputed     bigint NOT NULL DEFAULT 0,              -- what card networks dispute of it
  seller_id    uuid,                                   -- of a payment to a store's own account: whose,
  account      text,                                   -- which one at the provider,
  passed_on    bigint,                                 -- how much of it goes there,
  kept         jsonb,                                  -- what our accounts get of the rest,
  transfer_id  text UNIQUE,                            -- and the provider's transfer of it
  CHECK ((purpose = 'order') = (group_id IS NOT NULL)),
  CHECK (refunded >= 0 AND refund_pending >= 0 AND refunded + refund_pending <= amount),
  CONSTRAINT funding_given_back_once CHECK (disputed >= 0 AND refunded + refund_pending + disputed <= amount),
  CONSTRAINT funding_passed_on CHECK (CASE WHEN account IS NULL
    THEN num_nonnulls(seller_id, passed_on, kept, transfer_id) = 0
    ELSE num_nonnulls(seller_id, passed_on, kept, group_id) = 4 AND passed_on BETWEEN 1 AND amount END)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON wallets.funding
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('payment', 'state');
CREATE INDEX funding_user ON wallets.funding (user_id, created_at DESC, id DESC);
CREATE INDEX funding_newest ON wallets.funding (created_at DESC, id DESC);
CREATE INDEX funding_group ON wallets.funding (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX funding_open ON wallets.funding (created_at) WHERE state IN ('CREATED', 'PROCESSING');

CREATE TABLE wallets.refund (
  id          uuid PRIMARY KEY,
  funding_id  uuid NOT NULL REFERENCES wallets.funding,
  user_id     uuid NOT NULL REFERENCES identity.users,
  amount      bigint NOT NULL CHECK (amount > 0),
  currency    char(3) NOT NULL,
  reason      text NOT NULL,
  state       text NOT NULL,
  provider_id text UNIQUE,                             -- Stripe refund
  attempt     int NOT NULL DEFAULT 0,
  called_at   timestamptz,                             -- when this attempt was last sent
  key_burnt   boolean NOT NULL DEFAULT false,          -- the provider keeps a failure under this attempt's key
  checked_at  timestamptz,                             -- when the provider was last asked how it stands
  failure     text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  done_at     timestamptz
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON wallets.refund
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('refund', 'state');
CREATE INDEX refund_funding ON wallets.refund (funding_id);
CREATE INDEX refund_newest ON wallets.refund (created_at DESC, id DESC);
CREATE INDEX refund_open ON wallets.refund (created_at)
  WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING');

GRANT SELECT, INSERT, UPDATE ON wallets.funding, wallets.refund TO fondaco_app;
SELECT core.wall('wallets.funding', 'user_id', '');
SELECT core.wall('wallets.refund', 'user_id', '');

-- Fees of the provider that are still to be booked: written with the payment's money, deleted with its journal.
CREATE TABLE wallets.fee_due (
  key      text PRIMARY KEY,                           -- 'fee:' and the balance transaction's id
  ref      text NOT NULL,
  amount   bigint NOT NULL CHECK (amount > 0),
  currency char(3) NOT NULL,
  noted_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON wallets.fee_due TO fondaco_app;
SELECT core.wall('wallets.fee_due', '', '');

-- Wallets that cannot be spent from. No row: all is well.
CREATE TABLE wallets.standing (
  user_id    uuid PRIMARY KEY REFERENCES identity.users,
  state      text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON wallets.standing
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('wallet_standing', 'state');
GRANT SELECT ON wallets.standing TO fondaco_app;
SELECT core.wall('wallets.standing', 'user_id', '');

-- Says how a user's wallets stand. Their balances are locked first, as a purchase does before it looks: once this
-- is committed no purchase from them is. Answers how they stood before.
CREATE FUNCTION wallets.stand(p_user uuid, p_state text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallets, pg_temp AS $$
DECLARE
  before text;
BEGIN
  PERFORM 1 FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
    WHERE a.kind = 'wallet' AND a.owner = 'user:' || p_user ORDER BY a.id FOR UPDATE OF b;
  SELECT s.state INTO before FROM standing s WHERE s.user_id = p_user FOR UPDATE;
  IF before IS NULL AND p_state <> 'OK' THEN
    INSERT INTO standing (user_id, state) VALUES (p_user, p_state)
      ON CONFLICT (user_id) DO UPDATE SET state = excluded.state, changed_at = now();
  ELSIF before <> p_state THEN
    UPDATE standing SET state = p_state, changed_at = now() WHERE user_id = p_user;
  END IF;
  RETURN coalesce(before, 'OK');
END $$;
REVOKE ALL ON FUNCTION wallets.stand FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wallets.stand TO fondaco_app;
