-- Signals, decisions, tiers, and what each tier forbids.
CREATE SCHEMA risk;
GRANT USAGE ON SCHEMA risk TO fondaco_app;

CREATE TABLE risk.signal (
  id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  party text NOT NULL CHECK (party ~ '^(user|seller):[0-9a-f-]{36}$'),
  kind  text NOT NULL CHECK (kind ~ '^[a-z_]+[.][a-z_]+$'),
  ref   text NOT NULL,                                 -- what it is about: the same fact counts once
  at    timestamptz NOT NULL DEFAULT now(),
  data  jsonb NOT NULL DEFAULT '{}',
  UNIQUE (party, kind, ref)
);
CREATE INDEX signal_newest ON risk.signal (id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.signal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE risk.signal ENABLE ALWAYS TRIGGER append_only;

CREATE TABLE risk.decision (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  party   text NOT NULL,
  at      timestamptz NOT NULL DEFAULT now(),
  actor   text NOT NULL,                               -- 'rules', 'user:<id>' of staff
  before  text NOT NULL,
  after   text NOT NULL,
  since   timestamptz NOT NULL,                        -- how long they had been in `before`
  score   bigint NOT NULL,                             -- thousandths of a point
  rules   text NOT NULL,
  signals bigint[] NOT NULL,                           -- all that was known
  reasons text[] NOT NULL,
  note    text NOT NULL DEFAULT '',
  CHECK (before <> after)
);
CREATE INDEX decision_party ON risk.decision (party, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.decision
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE risk.decision ENABLE ALWAYS TRIGGER append_only;

-- Who is anything but NORMAL without a past has a row.
CREATE TABLE risk.standing (
  party       text PRIMARY KEY CHECK (party ~ '^(user|seller):[0-9a-f-]{36}$'),
  user_id     uuid GENERATED ALWAYS AS (CASE WHEN party LIKE 'user:%' THEN substr(party, 6)::uuid END) STORED,
  seller_id   uuid GENERATED ALWAYS AS (CASE WHEN party LIKE 'seller:%' THEN substr(party, 8)::uuid END) STORED,
  tier        text NOT NULL,
  score       bigint NOT NULL DEFAULT 0,
  rules       text NOT NULL,
  since       timestamptz NOT NULL DEFAULT now(),
  reasons     text[] NOT NULL DEFAULT '{}',
  decision_id bigint REFERENCES risk.decision,
  store_shut  boolean NOT NULL DEFAULT false,          -- a store: suspended by its tier, not by a person
  looked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF tier ON risk.standing
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('risk_tier', 'tier');
CREATE UNIQUE INDEX standing_user ON risk.standing (user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX standing_seller ON risk.standing (seller_id) WHERE seller_id IS NOT NULL;
CREATE INDEX standing_raised ON risk.standing (tier, score DESC) WHERE tier <> 'NORMAL';

CREATE TABLE risk.appeal (
  id          uuid PRIMARY KEY,
  party       text NOT NULL,
  decision_id bigint NOT NULL REFERENCES risk.decision,
  made_by     uuid NOT NULL REFERENCES identity.users,
  text        text NOT NULL CHECK (length(text) BETWEEN 1 AND 5000),
  state       text NOT NULL,
  answer      text,
  decided_by  uuid REFERENCES identity.users,
  made_at     timestamptz NOT NULL DEFAULT now(),
  decided_at  timestamptz,
  CHECK ((state = 'OPEN') = (decided_at IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON risk.appeal
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('risk_appeal', 'state');
CREATE UNIQUE INDEX appeal_one ON risk.appeal (party) WHERE state = 'OPEN';
CREATE INDEX appeal_newest ON risk.appeal (made_at DESC, id DESC);

-- Addresses and cards nobody may use, until when and why.
CREATE TABLE risk.blocked (
  kind     text NOT NULL CHECK (kind IN ('domain', 'card')),
  value    text NOT NULL,
  reason   text NOT NULL,
  until    timestamptz,
  added_by uuid REFERENCES identity.users,
  added_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, value)
);

-- Which cards somebody paid with, by the provider's mark of the card (never its number).
CREATE TABLE risk.card (
  user_id  uuid NOT NULL REFERENCES identity.users,
  mark     text NOT NULL,
  first_at timestamptz NOT NULL,
  PRIMARY KEY (user_id, mark)
);
CREATE INDEX card_mark ON risk.card (mark, first_at DESC, user_id);

-- What each tier forbids; the same as ENFORCEMENT in the code.
CREATE TABLE risk.enforcement (
  side                 text NOT NULL CHECK (side IN ('user', 'seller')),
  tier                 text NOT NULL,
  hidden               boolean NOT NULL,
  maturity_days        int NOT NULL,
  reserve_bps          int NOT NULL,
  payouts              boolean NOT NULL,
  quarantine           boolean NOT NULL,
  buys                 boolean NOT NULL,
  units_per_day        int,
  open_cases           int,
  reveal_after_minutes int NOT NULL,
  source_only          boolean NOT NULL,
  PRIMARY KEY (side, tier)
);
INSERT INTO risk.enforcement VALUES
  ('user', 'NORMAL', false, 0, 0, true, false, true, NULL, NULL, 0, false),
  ('user', 'WARNING', false, 0, 0, true, false, true, 20, NULL, 0, false),
  ('user', 'AT_RISK', false, 0, 0, true, false, true, 5, 1, 60, false),
  ('user', 'RESTRICTED', false, 0, 0, true, false, false, NULL, 1, 60, true),
  ('user', 'BANNED', false, 0, 0, true, false, false, NULL, 0, 60, true),
  ('seller', 'NORMAL', false, 0, 0, true, false, true, NULL, NULL, 0, false),
  ('seller', 'WARNING', false, 7, 500, true, false, true, NULL, NULL, 0, false),
  ('seller', 'AT_RISK', false, 14, 2000, true, true, true, NULL, NULL, 0, false),
  ('seller', 'RESTRICTED', true, 14, 2000, false, true, true, NULL, NULL, 0, false),
  ('seller', 'BANNED', true, 14, 2000, false, true, true, NULL, NULL, 0, false);

-- What holds for a store and for a buyer now, by their tier.
CREATE FUNCTION risk.seller_limits(p_seller uuid) RETURNS risk.enforcement LANGUAGE sql STABLE AS $$
  SELECT e FROM risk.enforcement e WHERE e.side = 'seller'
    AND e.tier = coalesce((SELECT s.tier FROM risk.standing s WHERE s.seller_id = p_seller), 'NORMAL')
$$;
CREATE FUNCTION risk.buyer_limits(p_user uuid) RETURNS risk.enforcement LANGUAGE sql STABLE AS $$
  SELECT e FROM risk.enforcement e WHERE e.side = 'user'
    AND e.tier = coalesce((SELECT s.tier FROM risk.standing s WHERE s.user_id = p_user), 'NORMAL')
$$;

-- Nobody signs up with a mail address of a blocked domain, or of one below it.
CREATE FUNCTION risk.refuse_blocked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = risk, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM blocked b WHERE b.kind = 'domain' AND (b.until IS NULL OR b.until > now())
             AND '.' || split_part(lower(NEW.email), '@', 2) LIKE '%.' || b.value) THEN
    RAISE EXCEPTION 'this mail domain is blocked' USING ERRCODE = '23514', CONSTRAINT = 'address_blocked';
  END IF;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION risk.seller_limits, risk.buyer_limits, risk.refuse_blocked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION risk.seller_limits, risk.buyer_limits TO fondaco_app;
CREATE TRIGGER address_blocked BEFORE INSERT OR UPDATE OF email ON identity.users
  FOR EACH ROW EXECUTE FUNCTION risk.refuse_blocked();

GRANT SELECT, INSERT ON risk.signal, risk.decision, risk.card TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON risk.standing, risk.appeal TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON risk.blocked TO fondaco_app;
GRANT SELECT ON risk.enforcement TO fondaco_app;
SELECT core.wall('risk.signal', '', '');
SELECT core.wall('risk.decision', '', '');
SELECT core.wall('risk.standing', 'user_id', 'seller_id');
SELECT core.wall('risk.appeal', 'made_by', '');
SELECT core.wall('risk.blocked', '', '');
SELECT core.wall('risk.card', '', '');

INSERT INTO core.edge (machine, source, target) VALUES
  ('stock_unit', '', 'QUARANTINED'), ('stock_unit', 'QUARANTINED', 'AVAILABLE'),
  ('stock_unit', 'QUARANTINED', 'INVALID'),
  ('risk_appeal', '', 'OPEN'),
  ('risk_appeal', 'OPEN', 'GRANTED'),
  ('risk_appeal', 'OPEN', 'REFUSED'),
  ('risk_tier', '', 'AT_RISK'),
  ('risk_tier', '', 'BANNED'),
  ('risk_tier', '', 'NORMAL'),
  ('risk_tier', '', 'RESTRICTED'),
  ('risk_tier', '', 'WARNING'),
  ('risk_tier', 'AT_RISK', 'BANNED'),
  ('risk_tier', 'AT_RISK', 'RESTRICTED'),
  ('risk_tier', 'AT_RISK', 'WARNING'),
  ('risk_tier', 'BANNED', 'RESTRICTED'),
  ('risk_tier', 'NORMAL', 'AT_RISK'),
  ('risk_tier', 'NORMAL', 'BANNED'),
  ('risk_tier', 'NORMAL', 'RESTRICTED'),
  ('risk_tier', 'NORMAL', 'WARNING'),
  ('risk_tier', 'RESTRICTED', 'AT_RISK'),
  ('risk_tier', 'RESTRICTED', 'BANNED'),
  ('risk_tier', 'WARNING', 'AT_RISK'),
  ('risk_tier', 'WARNING', 'BANNED'),
  ('risk_tier', 'WARNING', 'NORMAL'),
  ('risk_tier', 'WARNING', 'RESTRICTED');

-- Where a tier's limits hold.
-- How many units somebody bought, or is about to pay for, in the last 24 hours.
CREATE FUNCTION orders.units_lately(p_buyer uuid) RETURNS int
LANGUAGE sql STABLE SET search_path = orders, pg_temp AS $$
  SELECT coalesce(sum(i.quantity), 0)::int FROM order_group g JOIN orders o ON o.group_id = g.id
    JOIN order_line i ON i.order_id = o.id
    WHERE g.buyer_id = p_buyer AND g.created_at > now() - interval '24 hours' AND o.state NOT IN ('EXPIRED', 'CANCELLED')
$$;

-- A purchase that waits for a card: its stock is reserved, no money moves yet.
CREATE OR REPLACE FUNCTION orders.place(p jsonb) RETURNS orders.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v verdict;
BEGIN
  -- Of a buyer who may have so many units a day one purchase is decided at a time, from whatever wallet or card.
  PERFORM 1 FROM risk.standing t WHERE t.user_id = (p->>'buyer')::uuid AND t.tier <> 'NORMAL' FOR UPDATE;
  IF FOUND THEN
    PERFORM 1 FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
      WHERE a.kind = 'wallet' AND a.owner = 'user:' || (p->>'buyer') ORDER BY b.account_id FOR UPDATE OF b;
  END IF;
  v := (buy_all(jsonb_build_array(p), coalesce(p->>'pay', 'card'), '{}'))[1];
  IF v.verdict = 'bought' THEN
    PERFORM audit.record('order.placed', 'order:' || o.id, p->>'actor', jsonb_build_object('group_id', v.group_id,
              'buyer_id', o.buyer_id, 'seller_id', o.seller_id))
      FROM orders o WHERE o.group_id = v.group_id ORDER BY o.id;
  END IF;
  RETURN v;
END $$;

-- Protection ends: what is left of a held line's money goes to the seller (what they owe first, the rest
-- pending) and the marketplace (commission). p_even_frozen: a case has been decided for the seller.
-- One release at a time in the whole database, so that no two wait for each other's accounts.
CREATE OR REPLACE FUNCTION orders.release(p_lines uuid[], p_actor text, p_even_frozen boolean DEFAULT false) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l order_line;
  accounts bigint[];
  amounts bigint[];
  net bigint;
  debt bigint;
  released int := 0;
  touched uuid[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('orders.release'));
  FOR l IN SELECT * FROM order_line WHERE id = ANY (p_lines)
           AND (escrow_state = 'HELD' OR p_even_frozen AND escrow_state = 'FROZEN')
           ORDER BY seller_id, id FOR UPDATE LOOP
    UPDATE order_line SET escrow_state = CASE WHEN l.refunded > 0 THEN 'SPLIT' ELSE 'RELEASED' END, released_at = now(),
        frozen_at = NULL, matures_at = now() + make_interval(
          days => greatest((l.terms->>'maturity_days')::int, (risk.seller_limits(l.seller_id)).maturity_days))
      WHERE id = l.id;
    net := seller_part(l);
    debt := coalesce((SELECT b.amount FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
      WHERE a.kind = 'seller_receivable' AND a.owner = 'seller:' || l.seller_id AND a.currency = l.currency
      FOR UPDATE OF b), 0);
    debt := least(debt, net);
    accounts := ARRAY[ledger.open_account('escrow', 'line:' || l.id, l.currency),
                      ledger.open_account('seller_pending', 'seller:' || l.seller_id, l.currency),
                      ledger.open_account('commission', 'platform', l.currency)];
    amounts := ARRAY[l.total - l.refunded, debt - net, l.refunded_commission - l.commission];
    IF debt > 0 THEN
      accounts := accounts || ledger.open_account('seller_receivable', 'seller:' || l.seller_id, l.currency);
      amounts := amounts || -debt;
    END IF;
    IF l.tax > l.refunded_tax THEN
      accounts := accounts || ledger.open_account('tax_payable', 'platform', l.currency);
      amounts := amounts || l.refunded_tax - l.tax;
    END IF;
    IF l.commission_tax > l.refunded_commission_tax THEN
      accounts := accounts || ledger.open_account('tax_payable', 'country:' || (l.terms->'commission_tax'->>'country'), l.currency);
      amounts := amounts || l.refunded_commission_tax - l.commission_tax;
    END IF;
    PERFORM ledger.post('release', 'release:' || l.id, 'order:' || l.order_id, p_actor, accounts, amounts);
    PERFORM audit.record('line.released', 'order:' || l.order_id, p_actor, jsonb_strip_nulls(jsonb_build_object(
              'line_id', l.id, 'buyer_id', l.buyer_id, 'seller_id', l.seller_id, 'netted', nullif(debt, 0),
              'currency', CASE WHEN debt > 0 THEN l.currency END)));
    released := released + 1;
    touched := touched || l.order_id;
  END LOOP;
  PERFORM settle_orders(touched, p_actor);
  RETURN released;
END $$;

-- How many seconds a buyer's tier keeps this closed yet, after they last put money in; 0: not at all. What was
-- opened before opens again.
CREATE FUNCTION delivery.closed_for(p_entitlement uuid, p_user uuid) RETURNS int
LANGUAGE sql STABLE SET search_path = delivery, pg_temp AS $$
  SELECT greatest(0, ceil(extract(epoch FROM
      max(f.succeeded_at) + make_interval(mins => l.reveal_after_minutes) - clock_timestamp())))::int
    FROM risk.buyer_limits(p_user) l
    JOIN wallets.funding f ON f.user_id = p_user AND f.succeeded_at > now() - make_interval(mins => l.reveal_after_minutes)
    JOIN entitlement e ON e.id = p_entitlement AND e.buyer_id = p_user AND e.revealed_at IS NULL
    WHERE l.reveal_after_minutes > 0 GROUP BY l.reveal_after_minutes
$$;

-- The same at most p_limit times in p_window seconds for one user, whether anything is found or not. `wait`: how
-- many seconds to wait, below zero those the buyer's tier asks for; then nothing was looked for.
CREATE OR REPLACE FUNCTION delivery.reveal_within(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
                                       p_as_bought boolean, p_limit int, p_window int)
RETURNS TABLE (wait int, unit_id uuid, key_id uuid, sealed bytea, listing_id uuid, content_version int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
BEGIN
  wait := core.hit('reveal:' || p_user, p_limit, p_window);
  IF wait = 0 THEN
    wait := -coalesce(closed_for(p_entitlement, p_user), 0);
  END IF;
  IF wait <> 0 THEN
    RETURN NEXT;
  ELSE
    RETURN QUERY SELECT 0, r.unit_id, r.key_id, r.sealed, r.listing_id, r.content_version
      FROM reveal_unit(p_entitlement, p_user, p_ip, p_user_agent, p_actor, p_as_bought) r;
  END IF;
END $$;

-- The seller's risk tier.
CREATE OR REPLACE FUNCTION payouts.tier(p_seller uuid) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT t.tier FROM risk.standing t WHERE t.seller_id = p_seller), 'NORMAL')
$$;

-- Basis points of maturing money that are kept back for a while.
CREATE OR REPLACE FUNCTION payouts.reserve_bps(p_seller uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT (risk.seller_limits(p_seller)).reserve_bps
$$;

-- Why this seller is not paid now; {} when nothing stands in the way.
CREATE OR REPLACE FUNCTION payouts.gates(p_seller uuid, p_currency text) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_remove(ARRAY[
    CASE WHEN s.state <> 'OPEN' THEN 'store_' || lower(s.state) END,
    CASE WHEN a.state IS DISTINCT FROM 'ACTIVE' THEN 'account_' || lower(coalesce(a.state, 'NONE')) END,
    CASE WHEN NOT (risk.seller_limits(s.id)).payouts THEN 'risk' END,
    CASE WHEN payouts.balance_of('seller_receivable', s.id, p_currency) > 0 THEN 'debt' END,
    CASE WHEN payouts.stopped() IS NOT NULL THEN 'stopped' END], NULL)
  FROM sellers.seller s LEFT JOIN payouts.account a ON a.seller_id = s.id AND a.state <> 'CLOSED'
  WHERE s.id = p_seller
$$;

REVOKE ALL ON FUNCTION orders.units_lately, delivery.closed_for FROM PUBLIC;
