-- Stores that are paid at the sale.
ALTER TABLE sellers.seller ADD COLUMN at_sale boolean NOT NULL DEFAULT false;
ALTER TYPE orders.quoted_line ADD ATTRIBUTE at_sale boolean;

ALTER TABLE wallets.funding ADD COLUMN seller_id uuid, ADD COLUMN account text, ADD COLUMN passed_on bigint,
  ADD COLUMN kept jsonb, ADD COLUMN transfer_id text;
CREATE UNIQUE INDEX funding_transfer_id_key ON wallets.funding (transfer_id);
ALTER TABLE wallets.funding ADD CONSTRAINT funding_transfer_id_key UNIQUE USING INDEX funding_transfer_id_key;
ALTER TABLE wallets.funding ADD CONSTRAINT funding_passed_on CHECK (CASE WHEN account IS NULL
    THEN num_nonnulls(seller_id, passed_on, kept, transfer_id) = 0
    ELSE num_nonnulls(seller_id, passed_on, kept, group_id) = 4 AND passed_on BETWEEN 1 AND amount END) NOT VALID;
ALTER TABLE wallets.funding VALIDATE CONSTRAINT funding_passed_on;

ALTER TABLE orders.order_group DROP CONSTRAINT order_group_funding_policy_check;
ALTER TABLE orders.order_group ADD CONSTRAINT order_group_funding_policy_check
  CHECK (funding_policy IN ('wallet', 'card', 'instant_credit', 'destination')) NOT VALID;
ALTER TABLE orders.order_group VALIDATE CONSTRAINT order_group_funding_policy_check;

INSERT INTO ledger.posting_rule (journal_kind, account_kind, sign) VALUES
  ('destination_refund', 'wallet', -1),
  ('destination_returned', 'dest_clearing', 1), ('destination_returned', 'seller_receivable', -1),
  ('destination_returned', 'seller_available', -1),
  ('chargeback_lost', 'dest_clearing', 1), ('chargeback_lost', 'chargeback_loss', 1),
  ('chargeback_reversed', 'dest_clearing', -1);
INSERT INTO core.edge (machine, source, target) VALUES
  ('escrow', 'EMPTY', 'DIRECT'), ('escrow', 'DIRECT', 'REFUNDED'),
  ('direct_reversal', '', 'REQUESTED'), ('direct_reversal', 'REQUESTED', 'SENDING'),
  ('direct_reversal', 'SENDING', 'UNKNOWN'), ('direct_reversal', 'UNKNOWN', 'SENDING'),
  ('direct_reversal', 'SENDING', 'DONE'), ('direct_reversal', 'SENDING', 'OWED');

CREATE SCHEMA destination;
GRANT USAGE ON SCHEMA destination TO fondaco_app;

-- How a store is paid: a row for each decision, the newest counts. Sales keep the version they were made under.
CREATE TABLE destination.policy (
  seller_id  uuid NOT NULL REFERENCES sellers.seller,
  version    int NOT NULL CHECK (version > 0),
  policy     text NOT NULL CHECK (policy IN ('standard', 'destination')),
  reason     text NOT NULL CHECK (length(reason) BETWEEN 3 AND 500),
  decided_by text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (seller_id, version),
  UNIQUE (seller_id, version, policy)
);
GRANT SELECT, INSERT ON destination.policy TO fondaco_app;
SELECT core.wall('destination.policy', '', 'seller_id');

-- An order that is paid to the store's own account: which one, and what of it goes there, pinned when it is placed.
CREATE TABLE destination.sale (
  order_id       uuid PRIMARY KEY REFERENCES orders.orders,
  group_id       uuid NOT NULL UNIQUE REFERENCES orders.order_group,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  policy_version int NOT NULL,
  policy         text NOT NULL DEFAULT 'destination' CHECK (policy = 'destination'),
  account        text NOT NULL,                        -- the provider's account
  amount         bigint NOT NULL CHECK (amount > 0),
  passed_on      bigint NOT NULL CHECK (passed_on BETWEEN 1 AND amount),
  kept           jsonb NOT NULL,                       -- the rest: [{kind, owner, amount}] of our accounts
  currency       char(3) NOT NULL,
  placed_at      timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (seller_id, policy_version, policy) REFERENCES destination.policy (seller_id, version, policy)
);
CREATE INDEX sale_seller ON destination.sale (seller_id, placed_at DESC, order_id DESC);
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON destination.sale
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
GRANT SELECT ON destination.sale TO fondaco_app;
SELECT core.wall('destination.sale', 'buyer_id', 'seller_id');

-- Money that is taken back from a seller's own account, because the buyer got theirs back. What cannot be taken back
-- the seller owes.
CREATE TABLE destination.reversal (
  id          uuid PRIMARY KEY,                        -- names the calls: 'direct:<id>:<attempt>'
  cause       text NOT NULL UNIQUE,                    -- 'refund:<id>', 'undelivered:<funding>'
  funding_id  uuid NOT NULL REFERENCES wallets.funding,
  seller_id   uuid NOT NULL REFERENCES sellers.seller,
  amount      bigint NOT NULL CHECK (amount > 0),
  currency    char(3) NOT NULL,
  state       text NOT NULL,
  attempt     int NOT NULL DEFAULT 0,
  called_at   timestamptz,                             -- when this attempt was first sent
  key_burnt   boolean NOT NULL DEFAULT false,          -- the provider keeps a failure under this attempt's key
  checked_at  timestamptz,                             -- when somebody last worked on it
  provider_id text UNIQUE,
  failure     text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  done_at     timestamptz,
  CHECK ((state = 'DONE') = (provider_id IS NOT NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON destination.reversal
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('direct_reversal', 'state');
CREATE INDEX reversal_open ON destination.reversal (checked_at) WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN');
CREATE INDEX reversal_funding ON destination.reversal (funding_id);
CREATE INDEX reversal_seller ON destination.reversal (seller_id, created_at DESC, id DESC);
GRANT SELECT, INSERT ON destination.reversal TO fondaco_app;
GRANT UPDATE (state, attempt, called_at, key_burnt, checked_at, provider_id, failure, done_at) ON destination.reversal TO fondaco_app;
SELECT core.wall('destination.reversal', '', 'seller_id');

-- The account at the provider that a store can be paid to right now; NULL: none.
CREATE FUNCTION destination.account_of(p_seller uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = destination, pg_temp AS $$
BEGIN
  RETURN (SELECT a.provider_id FROM payouts.account a
          WHERE a.seller_id = p_seller AND a.state = 'ACTIVE' AND a.transfers_active);
END $$;

-- What the marketplace keeps of an order: its commission, and tax it remits.
CREATE FUNCTION destination.kept_of(p_order uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = destination, pg_temp AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', k.kind, 'owner', k.owner, 'amount', k.amount)
                            ORDER BY k.kind, k.owner), '[]')
          FROM (SELECT t.kind, t.owner, sum(t.amount)::bigint AS amount FROM orders.order_line l
                CROSS JOIN LATERAL (VALUES ('commission', 'platform', l.commission), ('tax_payable', 'platform', l.tax),
                  ('tax_payable', 'country:' || (l.terms->'commission_tax'->>'country'), l.commission_tax)
                ) t(kind, owner, amount)
                WHERE l.order_id = p_order AND t.amount > 0 GROUP BY t.kind, t.owner) k);
END $$;

-- Pins where the payment of a group goes, once it is placed. NULL: not one order of a store that is paid at the sale
-- and can be paid now.
CREATE FUNCTION destination.place(p_group uuid) RETURNS destination.sale
LANGUAGE plpgsql SECURITY DEFINER SET search_path = destination, pg_temp AS $$
DECLARE
  s sale;
BEGIN
  INSERT INTO sale (order_id, group_id, buyer_id, seller_id, policy_version, account, amount, passed_on, kept,
                    currency)
    SELECT o.id, g.id, g.buyer_id, o.seller_id, p.version, account_of(o.seller_id), g.total,
           (SELECT sum(orders.seller_part(l)) FROM orders.order_line l WHERE l.order_id = o.id), kept_of(o.id),
           g.currency
    FROM orders.order_group g JOIN orders.orders o ON o.group_id = g.id
    JOIN LATERAL (SELECT * FROM policy p WHERE p.seller_id = o.seller_id ORDER BY p.version DESC LIMIT 1) p
      ON p.policy = 'destination'
    WHERE g.id = p_group AND g.funding_policy = 'destination' AND o.total = g.total
      AND account_of(o.seller_id) IS NOT NULL
    RETURNING * INTO s;
  RETURN s;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA destination FROM PUBLIC;
GRANT EXECUTE ON FUNCTION destination.account_of, destination.place TO fondaco_app;
