-- Chargebacks, early warnings, wallets at risk.
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

-- What card networks dispute of a funding; it cannot be refunded as well.
ALTER TABLE wallets.funding ADD COLUMN disputed bigint NOT NULL DEFAULT 0;
ALTER TABLE wallets.funding ADD CONSTRAINT funding_given_back_once
  CHECK (disputed >= 0 AND refunded + refund_pending + disputed <= amount);

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

-- Everything that decides about the purchases of a call, read at once. p_locked: the wallets that were locked.
CREATE OR REPLACE FUNCTION orders.look(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.asked[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW(h.n, h.buyer, h.actor, h.idem, decode(h.fingerprint, 'hex'), h."group", h.number, h.currency,
        coalesce(h.from_cart, false), h.until, h.protection_days, h.orders, g.id, g.fingerprint, a.id,
        coalesce(b.amount, 0), found.lines, found.total,
        CASE WHEN e.units_per_day IS NOT NULL THEN e.units_per_day - units_lately(h.buyer) END)::asked
    FROM ROWS FROM (jsonb_to_recordset(p_batch) AS (
        buyer uuid, country text, idem text, fingerprint text, actor text, "group" uuid, number text,
        currency text, from_cart boolean, bps int, protection_days int, maturity_days int, until timestamptz,
        orders jsonb, lines jsonb, release jsonb, refund jsonb)) WITH ORDINALITY
      h(buyer, country, idem, fingerprint, actor, "group", number, currency, from_cart, bps, protection_days,
        maturity_days, until, orders, lines, release, refund, n)
    LEFT JOIN order_group g ON g.buyer_id = h.buyer AND g.idem = h.idem
    LEFT JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || h.buyer
      AND a.currency = h.currency::char(3)
    LEFT JOIN ledger.balance b ON b.account_id = a.id AND b.slot = 0 AND a.id = ANY (p_locked)
    LEFT JOIN wallets.standing s ON s.user_id = h.buyer AND s.state <> 'OK'
    LEFT JOIN risk.standing t ON t.user_id = h.buyer AND t.tier <> 'NORMAL'
    LEFT JOIN risk.enforcement e ON e.side = 'user' AND e.tier = t.tier
    CROSS JOIN LATERAL (
      SELECT array_agg(ROW(
          w.line_id, w.listing_id, w.quantity, w.seller_id, w.part, w.price,
          w.price * w.quantity * w.bps / 10000, w.kind = 'article', w.price_version, w.low_price, w.max_per_order,
          w.currency,
          CASE
            WHEN s.user_id IS NOT NULL THEN 'wallet_at_risk'
            WHEN NOT e.buys THEN 'tier_forbids'
            WHEN w.state IS DISTINCT FROM 'PUBLISHED' OR w.store <> 'OPEN' THEN 'unavailable'
            WHEN w.kind = 'article' AND NOT EXISTS (SELECT 1 FROM inventory.counted c
                         WHERE c.listing_id = w.listing_id AND c.content_version > 0) THEN 'unavailable'
            WHEN EXISTS (SELECT 1 FROM identity.membership m
                         WHERE m.user_id = h.buyer AND m.seller_id = w.seller_id) THEN 'own_goods'
            WHEN NOT region_fits(w.region, h.country) THEN 'region'
            WHEN w.quantity > w.max_per_order THEN 'too_many'
            WHEN w.low_price <> w.price OR w.high_price <> w.price
              OR w.low_price IS NULL AND w.seen_version IS DISTINCT FROM w.price_version THEN 'price_changed'
            WHEN w.currency <> h.currency THEN 'currency'
            ELSE ''
          END,
          jsonb_build_object('title', w.title, 'slug', w.slug, 'kind', w.kind, 'platform', w.platform,
            'region', w.region, 'edition', w.edition, 'activation', w.activation, 'seller', w.name,
            'seller_slug', w.seller_slug, 'price_version', w.price_version, 'listing_version', w.version,
            'commission_bps', w.bps, 'commission_rule', w.rule, 'funding', p_pay,
            'protection_days', coalesce((w.release->>'days')::int, h.protection_days),
            'maturity_days', h.maturity_days, 'release', coalesce(w.release, h.release), 'refund', h.refund)
        )::wanted ORDER BY w.listing_id) AS lines, sum(w.price * w.quantity)::bigint AS total
      FROM (
        SELECT x.*, l.seller_id, l.kind, l.state, l.title, l.slug, l.platform, l.region, l.edition, l.activation,
               l.price, l.price_version, l.version, l.max_per_order, l.currency::text, s.state AS store, s.name,
               s.slug AS seller_slug, s.release, r.id AS rule,
               CASE WHEN r.weight >= 8 THEN r.bps ELSE coalesce(s.commission_bps, r.bps, h.bps) END AS bps,
               dense_rank() OVER (ORDER BY l.seller_id)::int AS part
        FROM (
          SELECT x.listing AS listing_id, (array_agg(x.id))[1] AS line_id, sum(x.quantity)::int AS quantity,
                 min(x.price) AS low_price, max(x.price) AS high_price, max(x.price_version) AS seen_version
          FROM jsonb_to_recordset(h.lines) AS x(id uuid, listing uuid, quantity int, price bigint,
            price_version int) GROUP BY x.listing) x
        LEFT JOIN catalog.listing l ON l.id = x.listing_id
        LEFT JOIN sellers.seller s ON s.id = l.seller_id
        LEFT JOIN LATERAL (
          SELECT r.id, r.weight, r.bps FROM commission_rule r
          WHERE r.ended_at IS NULL AND (r.seller_id IS NULL OR r.seller_id = l.seller_id)
            AND (r.category IS NULL OR r.category = l.category) AND (r.kind IS NULL OR r.kind = l.kind)
            AND (r.currency IS NULL OR r.currency = l.currency AND l.price >= coalesce(r.price_from, 0)
                 AND l.price < coalesce(r.price_to, 9223372036854775807))
          ORDER BY r.weight DESC, r.id DESC LIMIT 1) r ON true) w
      ) found
    ORDER BY h.n);
END $$;

-- Gives up a group that awaits its payment: EXPIRED (its time is over and no payment is under way) or
-- CANCELLED. Units go back to stock. Answers done, not_waiting, not_yet, under_way (looked at again in a
-- while; the reservation is kept until then) or paid.
CREATE OR REPLACE FUNCTION orders.give_up(p_group uuid, p_state text, p_because text, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  due timestamptz;
  debit boolean;  -- a bank debit is under way; it may take days
BEGIN
  PERFORM 1 FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  SELECT max(o.expires_at) INTO due FROM orders o WHERE o.group_id = p_group AND o.state = 'PENDING_PAYMENT';
  IF due IS NULL THEN RETURN 'not_waiting'; END IF;
  IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
             AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED', 'CHARGED_BACK')) THEN
    RETURN 'paid';
  END IF;
  debit := EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
                   AND f.state = 'PROCESSING' AND f.intent_id IS NOT NULL);
  IF p_state = 'CANCELLED' AND debit THEN RETURN 'under_way'; END IF;
  IF p_state = 'EXPIRED' THEN
    IF due > now() THEN RETURN 'not_yet'; END IF;
    IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
               AND f.state IN ('CREATED', 'PROCESSING')) THEN
      due := now() + CASE WHEN debit THEN interval '30 minutes' ELSE interval '1 minute' END;
      UPDATE orders o SET expires_at = due WHERE o.group_id = p_group;
      UPDATE inventory.stock_unit u SET reserved_until = due
        FROM orders o JOIN order_line i ON i.order_id = o.id
        WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED';
      UPDATE inventory.hold h SET reserved_until = due
        FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group AND h.line_id = i.id;
      RETURN 'under_way';
    END IF;
  END IF;
  PERFORM close_group(p_group, p_state, p_because, p_actor);
  RETURN 'done';
END $$;

INSERT INTO core.edge (machine, source, target) VALUES
  ('payment', 'SUCCEEDED', 'DISPUTED'), ('payment', 'PARTIALLY_REFUNDED', 'DISPUTED'),
  ('payment', 'REFUNDED', 'DISPUTED'), ('payment', 'DISPUTED', 'SUCCEEDED'),
  ('payment', 'DISPUTED', 'PARTIALLY_REFUNDED'), ('payment', 'DISPUTED', 'REFUNDED'),
  ('payment', 'SUCCEEDED', 'CHARGED_BACK'), ('payment', 'PARTIALLY_REFUNDED', 'CHARGED_BACK'),
  ('payment', 'REFUNDED', 'CHARGED_BACK'),
  ('payment', 'DISPUTED', 'CHARGED_BACK'), ('payment', 'CHARGED_BACK', 'DISPUTED'),
  ('payment', 'CHARGED_BACK', 'SUCCEEDED'), ('payment', 'CHARGED_BACK', 'PARTIALLY_REFUNDED'),
  ('payment', 'CHARGED_BACK', 'REFUNDED');
INSERT INTO core.edge (machine, source, target) VALUES
  ('chargeback', '', 'LOST'),
  ('chargeback', '', 'NEEDS_RESPONSE'),
  ('chargeback', '', 'PREVENTED'),
  ('chargeback', '', 'UNDER_REVIEW'),
  ('chargeback', '', 'WARNING_CLOSED'),
  ('chargeback', '', 'WARNING_NEEDS_RESPONSE'),
  ('chargeback', '', 'WARNING_UNDER_REVIEW'),
  ('chargeback', '', 'WON'),
  ('chargeback', 'LOST', 'WON'),
  ('chargeback', 'NEEDS_RESPONSE', 'LOST'),
  ('chargeback', 'NEEDS_RESPONSE', 'PREVENTED'),
  ('chargeback', 'NEEDS_RESPONSE', 'UNDER_REVIEW'),
  ('chargeback', 'NEEDS_RESPONSE', 'WON'),
  ('chargeback', 'UNDER_REVIEW', 'LOST'),
  ('chargeback', 'UNDER_REVIEW', 'PREVENTED'),
  ('chargeback', 'UNDER_REVIEW', 'WON'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'LOST'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'NEEDS_RESPONSE'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'UNDER_REVIEW'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'WARNING_CLOSED'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'WARNING_UNDER_REVIEW'),
  ('chargeback', 'WARNING_NEEDS_RESPONSE', 'WON'),
  ('chargeback', 'WARNING_UNDER_REVIEW', 'LOST'),
  ('chargeback', 'WARNING_UNDER_REVIEW', 'NEEDS_RESPONSE'),
  ('chargeback', 'WARNING_UNDER_REVIEW', 'UNDER_REVIEW'),
  ('chargeback', 'WARNING_UNDER_REVIEW', 'WARNING_CLOSED'),
  ('chargeback', 'WARNING_UNDER_REVIEW', 'WON'),
  ('chargeback_evidence', '', 'DRAFT'),
  ('chargeback_evidence', 'CONFIRMED', 'CLOSED'),
  ('chargeback_evidence', 'CONFIRMED', 'SENDING'),
  ('chargeback_evidence', 'DRAFT', 'CLOSED'),
  ('chargeback_evidence', 'DRAFT', 'CONFIRMED'),
  ('chargeback_evidence', 'DRAFT', 'SENDING'),
  ('chargeback_evidence', 'SENDING', 'REFUSED'),
  ('chargeback_evidence', 'SENDING', 'SENT'),
  ('chargeback_evidence', 'SENDING', 'UNKNOWN'),
  ('chargeback_evidence', 'UNKNOWN', 'REFUSED'),
  ('chargeback_evidence', 'UNKNOWN', 'SENDING'),
  ('chargeback_evidence', 'UNKNOWN', 'SENT'),
  ('wallet_standing', '', 'LOCKED'),
  ('wallet_standing', '', 'WALLET_AT_RISK'),
  ('wallet_standing', 'LOCKED', 'OK'),
  ('wallet_standing', 'LOCKED', 'WALLET_AT_RISK'),
  ('wallet_standing', 'OK', 'LOCKED'),
  ('wallet_standing', 'OK', 'WALLET_AT_RISK'),
  ('wallet_standing', 'WALLET_AT_RISK', 'LOCKED'),
  ('wallet_standing', 'WALLET_AT_RISK', 'OK');
