-- orders: carts, order groups (one purchase), orders (one seller's part), order lines.
CREATE SCHEMA orders;
GRANT USAGE ON SCHEMA orders TO fondaco_app;

CREATE TABLE orders.cart (
  id         uuid PRIMARY KEY,
  user_id    uuid UNIQUE REFERENCES identity.users,
  guest_hash bytea UNIQUE,                             -- of the guest's cookie
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(user_id, guest_hash) = 1)
);
CREATE TABLE orders.cart_line (
  cart_id            uuid NOT NULL REFERENCES orders.cart ON DELETE CASCADE,
  listing_id         uuid NOT NULL REFERENCES catalog.listing,
  quantity           int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  seen_price         bigint NOT NULL,                  -- what the buyer saw when adding
  seen_price_version int NOT NULL,
  added_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cart_id, listing_id)
);

CREATE TABLE orders.order_group (
  id             uuid PRIMARY KEY,
  number         text NOT NULL UNIQUE,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  idem           text NOT NULL CHECK (length(idem) BETWEEN 1 AND 255),   -- the buyer's key for this purchase
  fingerprint    bytea NOT NULL,                       -- of what was asked: the same key with other content is refused
  funding_policy text NOT NULL CHECK (funding_policy IN ('wallet', 'card', 'instant_credit', 'destination')),
  total          bigint NOT NULL CHECK (total > 0),
  currency       char(3) NOT NULL,
  from_cart      boolean NOT NULL DEFAULT false,       -- what is paid leaves the buyer's cart
  created_at     timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT order_group_once UNIQUE (buyer_id, idem)
);
CREATE INDEX order_group_buyer ON orders.order_group (buyer_id, created_at DESC, id DESC);
ALTER TABLE wallets.funding ADD FOREIGN KEY (group_id) REFERENCES orders.order_group;

CREATE TABLE orders.orders (
  id           uuid PRIMARY KEY,
  number       text NOT NULL UNIQUE,
  group_id     uuid NOT NULL REFERENCES orders.order_group,
  buyer_id     uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid NOT NULL REFERENCES sellers.seller,
  state        text NOT NULL,
  total        bigint NOT NULL CHECK (total > 0),
  currency     char(3) NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,                            -- while payment is awaited
  paid_at      timestamptz,
  delivered_at timestamptz,
  completed_at timestamptz,
  closed_because text
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON orders.orders
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('order', 'state');
CREATE INDEX orders_buyer ON orders.orders (buyer_id, created_at DESC, id DESC);
CREATE INDEX orders_seller ON orders.orders (seller_id, created_at DESC, id DESC);
CREATE INDEX orders_newest ON orders.orders (created_at DESC, id DESC);
CREATE INDEX orders_seller_state ON orders.orders (seller_id, state, created_at DESC, id DESC);
CREATE INDEX orders_state ON orders.orders (state, created_at DESC, id DESC);
CREATE INDEX orders_group ON orders.orders (group_id);
CREATE INDEX orders_waiting ON orders.orders (expires_at) WHERE state = 'PENDING_PAYMENT';

CREATE TABLE orders.order_line (
  id             uuid PRIMARY KEY,
  order_id       uuid NOT NULL REFERENCES orders.orders,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  listing_id     uuid NOT NULL REFERENCES catalog.listing,
  quantity       int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  unit_price     bigint NOT NULL CHECK (unit_price > 0),
  total          bigint NOT NULL,
  tax            bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
  commission     bigint NOT NULL CHECK (commission >= 0),
  currency       char(3) NOT NULL,
  refunded       bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  terms          jsonb NOT NULL,                       -- frozen: title, platform, region, policies and versions
  delivery_state text NOT NULL,
  escrow_state   text NOT NULL,
  release_at     timestamptz,
  delivered_at   timestamptz,
  released_at    timestamptz,
  matures_at     timestamptz,                          -- when the seller may dispose of it
  matured_at     timestamptz,
  refunded_commission bigint NOT NULL DEFAULT 0,       -- of `refunded`: what the marketplace gave back
  refunded_tax   bigint NOT NULL DEFAULT 0,
  taken_back     int NOT NULL DEFAULT 0,               -- units or copies the buyer gave back
  frozen_at      timestamptz,                          -- while a case keeps the money where it is
  commission_tax bigint NOT NULL DEFAULT 0,            -- on the commission; out of the seller's part
  refunded_commission_tax bigint NOT NULL DEFAULT 0,
  CHECK (total = unit_price * quantity),
  CHECK (commission + tax <= total AND refunded <= total),
  CONSTRAINT order_line_refunded_parts CHECK (refunded_commission BETWEEN 0 AND commission
    AND refunded_tax BETWEEN 0 AND tax AND refunded_commission_tax BETWEEN 0 AND commission_tax
    AND refunded - refunded_commission - refunded_tax - refunded_commission_tax
      BETWEEN 0 AND total - commission - tax - commission_tax),
  CONSTRAINT order_line_taken_back CHECK (taken_back BETWEEN 0 AND quantity)
);
CREATE TRIGGER delivery_machine BEFORE INSERT OR UPDATE OF delivery_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('line_delivery', 'delivery_state');
CREATE TRIGGER escrow_machine BEFORE INSERT OR UPDATE OF escrow_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('escrow', 'escrow_state');
CREATE INDEX order_line_order ON orders.order_line (order_id);
CREATE INDEX order_line_listing ON orders.order_line (listing_id, delivered_at);
CREATE INDEX order_line_due ON orders.order_line (release_at) WHERE escrow_state = 'HELD';
CREATE INDEX order_line_maturing ON orders.order_line (matures_at) WHERE escrow_state IN ('RELEASED', 'SPLIT') AND matured_at IS NULL;
CREATE INDEX order_line_pending ON orders.order_line (seller_id, currency) WHERE escrow_state IN ('RELEASED', 'SPLIT') AND matured_at IS NULL;
CREATE INDEX order_line_sales ON orders.order_line (seller_id, delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX order_line_lately ON orders.order_line USING brin (delivered_at);
-- Deferred: units are taken first, and the rows of a purchase are written only once it has them.
ALTER TABLE inventory.stock_unit ADD FOREIGN KEY (line_id) REFERENCES orders.order_line
  DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE inventory.hold ADD FOREIGN KEY (line_id) REFERENCES orders.order_line
  DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (order_id) REFERENCES orders.orders;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (line_id) REFERENCES orders.order_line;

GRANT SELECT, INSERT, UPDATE, DELETE ON orders.cart, orders.cart_line TO fondaco_app;
GRANT SELECT ON orders.order_group, orders.orders, orders.order_line TO fondaco_app;
SELECT core.wall('orders.order_group', 'buyer_id', '');
SELECT core.wall('orders.orders', 'buyer_id', 'seller_id');
SELECT core.wall('orders.order_line', 'buyer_id', 'seller_id');

-- What was sold of a listing up to a moment, so that the minute's count need not add up all there ever was.
CREATE TABLE orders.sold_base (
  listing_id uuid PRIMARY KEY REFERENCES catalog.listing,
  n          bigint NOT NULL,
  up_to      timestamptz NOT NULL                      -- lines delivered before this are in n
) WITH (fillfactor = 80);
GRANT SELECT, INSERT, UPDATE ON orders.sold_base TO fondaco_app;
SELECT core.wall('orders.sold_base', '', '');

-- What share the marketplace takes, by store, category, kind and price; the most specific rule wins. Rules are
-- not changed: one ends, another begins. A purchase freezes what it found in its lines.
CREATE TABLE orders.commission_rule (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  seller_id  uuid REFERENCES sellers.seller,
  category   text,
  kind       text CHECK (kind IN ('stocked_secret', 'article')),
  currency   char(3) CHECK (currency ~ '^[A-Z]{3}$'),  -- with a price band
  price_from bigint CHECK (price_from >= 0),           -- minor units, included
  price_to   bigint CHECK (price_to > 0),              -- excluded
  bps        int NOT NULL CHECK (bps BETWEEN 0 AND 5000),
  weight     int GENERATED ALWAYS AS (
    CASE WHEN seller_id IS NULL THEN 0 ELSE 8 END + CASE WHEN category IS NULL THEN 0 ELSE 4 END
    + CASE WHEN kind IS NULL THEN 0 ELSE 2 END + CASE WHEN currency IS NULL THEN 0 ELSE 1 END) STORED,
  reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  added_by   uuid NOT NULL REFERENCES identity.users,
  added_at   timestamptz NOT NULL DEFAULT now(),
  ended_by   uuid REFERENCES identity.users,
  ended_at   timestamptz,
  CHECK ((currency IS NULL) = (price_from IS NULL AND price_to IS NULL)),
  CHECK (price_from < price_to),
  CHECK (num_nonnulls(seller_id, category, kind, currency) > 0),
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX commission_rule_now ON orders.commission_rule (weight DESC, id DESC) WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON orders.commission_rule TO fondaco_app;
SELECT core.wall('orders.commission_rule', '', '');

-- What tax is on the marketplace's share, by the country of the store: out of the store's part, at the release.
-- Rates are not changed: one ends, another begins. A store carries the rate of its country, a purchase freezes it
-- in its lines.
CREATE TABLE orders.commission_tax (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  country  char(2) NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  bps      int NOT NULL CHECK (bps BETWEEN 0 AND 5000),
  reason   text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  added_by uuid NOT NULL REFERENCES identity.users,
  added_at timestamptz NOT NULL DEFAULT now(),
  ended_by uuid REFERENCES identity.users,
  ended_at timestamptz,
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX commission_tax_now ON orders.commission_tax (country) WHERE ended_at IS NULL;
GRANT SELECT, INSERT ON orders.commission_tax TO fondaco_app;
GRANT UPDATE (ended_by, ended_at) ON orders.commission_tax TO fondaco_app;
SELECT core.wall('orders.commission_tax', '', '');

CREATE FUNCTION orders.taxed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
BEGIN
  NEW.commission_tax_bps := coalesce((SELECT t.bps FROM commission_tax t
    WHERE t.country = NEW.country AND t.ended_at IS NULL), 0);
  RETURN NEW;
END $$;
CREATE TRIGGER commission_tax BEFORE INSERT OR UPDATE OF country, commission_tax_bps ON sellers.seller
  FOR EACH ROW EXECUTE FUNCTION orders.taxed();

-- ---------------------------------------------------------------------------------------------------
-- Buying. One call takes an array of purchases and answers one row each, in order of arrival. A purchase
-- is a JSON object:
--   buyer, country (or null), idem, fingerprint (hex), actor, group, number, currency, from_cart,
--   bps, protection_days, maturity_days, release, refund: the marketplace's terms at this moment (release:
--   {policy, version, days, hours}; a store may have its own),
--   until: for a card checkout, how long the stock is held,
--   orders: one {id, number} for each seller there may be,
--   lines:  {id, listing, quantity, price and/or price_version as the buyer saw them}.
-- ---------------------------------------------------------------------------------------------------
CREATE TYPE orders.verdict AS (verdict text, group_id uuid, data jsonb);

-- One listing of a purchase: what is asked, what the catalogue says now, and why it cannot be ('': it can).
CREATE TYPE orders.wanted AS (
  line_id uuid, listing_id uuid, quantity int, seller_id uuid, part int, price bigint, commission bigint,
  counted boolean, price_version int, seen_price bigint, max_per_order int, currency text, fault text, terms jsonb);

-- One purchase of a call: who asks, what their wallet holds, whether their key is known, and the lines, one
-- per listing (a listing named twice is added up), in order of the listings.
CREATE TYPE orders.asked AS (
  n int, buyer uuid, actor text, idem text, fingerprint bytea, group_id uuid, number text, currency text,
  from_cart boolean, until timestamptz, days int, parts jsonb, known uuid, known_as bytea, wallet bigint,
  holds bigint, lines orders.wanted[], total bigint,
  may int);  -- how many units the buyer's tier still allows today; NULL: any

-- Whether a key of this region works in that country. What is not known is not refused.
CREATE FUNCTION orders.region_fits(p_region text, p_country text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN p_country IS NULL OR p_region = p_country THEN true
    WHEN p_region = 'EU' THEN p_country = ANY (ARRAY['AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES',
      'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT', 'LT', 'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI',
      'SK'])
    ELSE p_region !~ '^[A-Z]{2}$'
  END
$$;

-- What a call sells: its groups and who buys each, whether any is from a cart, and its lines in order of arrival.
CREATE TYPE orders.sold AS (
  groups uuid[], actors text[], from_cart boolean, lines uuid[], listings uuid[], quantities int[], counted boolean[]);

-- How many units somebody bought, or is about to pay for, in the last 24 hours.
CREATE FUNCTION orders.units_lately(p_buyer uuid) RETURNS int
LANGUAGE sql STABLE SET search_path = orders, pg_temp AS $$
  SELECT coalesce(sum(i.quantity), 0)::int FROM order_group g JOIN orders o ON o.group_id = g.id
    JOIN order_line i ON i.order_id = o.id
    WHERE g.buyer_id = p_buyer AND g.created_at > now() - interval '24 hours' AND o.state NOT IN ('EXPIRED', 'CANCELLED')
$$;

-- Everything that decides about the purchases of a call, read at once. p_locked: the wallets that were locked.
CREATE FUNCTION orders.look(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.asked[]
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
            WHEN w.at_sale <> (p_pay = 'destination') THEN 'at_sale'
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
            'commission_tax', CASE WHEN w.tax_bps > 0 THEN jsonb_build_object('bps', w.tax_bps, 'country', w.country) END,
            'protection_days', coalesce((w.release->>'days')::int, h.protection_days),
            'maturity_days', h.maturity_days, 'release', coalesce(w.release, h.release), 'refund', h.refund)
        )::wanted ORDER BY w.listing_id) AS lines, sum(w.price * w.quantity)::bigint AS total
      FROM (
        SELECT x.*, l.seller_id, l.kind, l.state, l.title, l.slug, l.platform, l.region, l.edition, l.activation,
               l.price, l.price_version, l.version, l.max_per_order, l.currency::text, s.state AS store, s.name,
               s.slug AS seller_slug, s.commission_tax_bps AS tax_bps, s.country, s.release, s.at_sale, r.id AS rule,
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

-- What a purchase that cannot be is told: the listings with that fault. Nothing of one that is not for sale.
CREATE FUNCTION orders.told(w orders.wanted, p_fault text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = orders, pg_temp AS $$
  SELECT CASE p_fault WHEN 'unavailable' THEN jsonb_build_object('listing_id', w.listing_id, 'fault', p_fault)
    ELSE jsonb_build_object('listing_id', w.listing_id, 'title', w.terms->'title', 'price', w.price,
      'price_version', w.price_version, 'currency', w.currency, 'seen_price', w.seen_price,
      'quantity', w.quantity, 'max_per_order', w.max_per_order, 'region', w.terms->'region', 'fault', p_fault) END
$$;

-- Decides each purchase in order of arrival, as if those before it were done: what it would find in its wallet
-- and in stock. p_scarce and p_left name the listings of which there is less than was asked, and how much.
-- Answers a verdict each, the purchases that can be, and how much of which listing they need.
CREATE FUNCTION orders.decide(p_asked orders.asked[], p_pay text, p_scarce uuid[], p_left int[],
  OUT verdicts orders.verdict[], OUT chosen orders.asked[], OUT listings uuid[], OUT need int[], OUT counted boolean[],
  OUT sold orders.sold)
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  h asked;
  w wanted;
  v verdict;
  short jsonb;
  k int;
  wallets bigint[] := '{}';
  spent bigint[] := '{}';
  keys text[] := '{}';
  units int;
BEGIN
  verdicts := '{}'; chosen := '{}'; listings := '{}'; need := '{}'; counted := '{}';
  sold := ('{}', '{}', false, '{}', '{}', '{}', '{}');
  FOREACH h IN ARRAY p_asked LOOP
    v := NULL;
    k := array_position(keys, h.buyer || h.idem);
    IF h.known IS NOT NULL OR k IS NOT NULL THEN
      IF k IS NOT NULL THEN  -- bought by an earlier purchase of this call
        h.known := (chosen[k]).group_id;
        h.known_as := (chosen[k]).fingerprint;
      END IF;
      v := (CASE WHEN h.known_as = h.fingerprint THEN 'same_again' ELSE 'key_reused' END, h.known, '{}');
    ELSIF EXISTS (SELECT 1 FROM unnest(h.lines) l WHERE l.fault <> '') THEN
      SELECT t.lines[1]->>'fault', NULL, jsonb_build_object('lines', t.lines) INTO v
        FROM (SELECT array_agg(told(l, l.fault)) AS lines FROM unnest(h.lines) l WHERE l.fault <> '') t;
    END IF;
    IF v IS NULL AND h.may IS NOT NULL THEN
      units := 0;
      FOR k IN 1 .. cardinality(chosen) LOOP  -- bought by an earlier purchase of this call
        IF (chosen[k]).buyer = h.buyer THEN
          units := units + (SELECT sum(l.quantity) FROM unnest((chosen[k]).lines) l);
        END IF;
      END LOOP;
      units := greatest(h.may - units, 0);
      IF (SELECT sum(l.quantity) FROM unnest(h.lines) l) > units THEN
        v := ('units_today', NULL, jsonb_build_object('left', units));
      END IF;
    END IF;
    IF v IS NULL AND p_pay = 'wallet' THEN
      k := array_position(wallets, h.wallet);
      IF k IS NULL THEN
        wallets := wallets || h.wallet;
        spent := spent || 0::bigint;
        k := cardinality(wallets);
      END IF;
      IF h.holds - spent[k] < h.total THEN
        v := ('insufficient_funds', NULL, jsonb_build_object('balance', h.holds - spent[k], 'total', h.total,
              'currency', h.currency));
      END IF;
    END IF;
    IF v IS NULL AND cardinality(p_scarce) > 0 THEN
      short := '[]';
      FOREACH w IN ARRAY h.lines LOOP
        k := array_position(p_scarce, w.listing_id);
        IF k IS NOT NULL AND p_left[k] - coalesce(need[array_position(listings, w.listing_id)], 0) < w.quantity THEN
          short := short || (told(w, 'sold_out') || jsonb_build_object('left',
                     p_left[k] - coalesce(need[array_position(listings, w.listing_id)], 0)));
        END IF;
      END LOOP;
      IF short <> '[]' THEN
        v := ('sold_out', NULL, jsonb_build_object('lines', short));
      END IF;
    END IF;
    IF v IS NULL THEN
      v := ('bought', h.group_id, jsonb_build_object('total', h.total));
      chosen := chosen || h;
      sold.groups := sold.groups || h.group_id;
      sold.actors := sold.actors || h.actor;
      sold.from_cart := sold.from_cart OR h.from_cart;
      keys := keys || (h.buyer || h.idem);
      IF p_pay = 'wallet' THEN
        k := array_position(wallets, h.wallet);
        spent[k] := spent[k] + h.total;
      END IF;
      FOREACH w IN ARRAY h.lines LOOP
        sold.lines := sold.lines || w.line_id;
        sold.listings := sold.listings || w.listing_id;
        sold.quantities := sold.quantities || w.quantity;
        sold.counted := sold.counted || w.counted;
        k := array_position(listings, w.listing_id);
        IF k IS NULL THEN
          listings := listings || w.listing_id;
          need := need || w.quantity;
          counted := counted || w.counted;
        ELSE
          need[k] := need[k] + w.quantity;
        END IF;
      END LOOP;
    END IF;
    verdicts := verdicts || v;
  END LOOP;
END $$;

-- The rows of purchases whose units are found: paid from the wallet, owed, or waiting for a card.
CREATE FUNCTION orders.write_down(p_chosen orders.asked[], p_pay text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  paid boolean := p_pay IN ('wallet', 'instant_credit');
  moment timestamptz := CASE WHEN paid THEN now() END;
BEGIN
  INSERT INTO order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total, currency, from_cart)
    SELECT h.group_id, h.number, h.buyer, h.idem, h.fingerprint, p_pay, h.total, h.currency, h.from_cart
    FROM unnest(p_chosen) h;
  INSERT INTO orders (id, number, group_id, buyer_id, seller_id, state, total, currency, expires_at, paid_at,
                      delivered_at)
    SELECT (h.parts->(w.part - 1)->>'id')::uuid, h.parts->(w.part - 1)->>'number', h.group_id, h.buyer,
           w.seller_id, CASE WHEN paid THEN 'DELIVERED' ELSE 'PENDING_PAYMENT' END, w.total, h.currency, h.until,
           moment, moment
    FROM unnest(p_chosen) h, LATERAL (
      SELECT l.part, l.seller_id, sum(l.price * l.quantity) AS total FROM unnest(h.lines) l GROUP BY 1, 2) w;
  INSERT INTO order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total,
                          commission, commission_tax, currency, terms, delivery_state, escrow_state, release_at,
                          delivered_at)
    SELECT w.line_id, (h.parts->(w.part - 1)->>'id')::uuid, h.buyer, w.seller_id, w.listing_id, w.quantity,
           w.price, w.price * w.quantity, w.commission, CASE WHEN p_pay = 'destination' THEN 0
             ELSE coalesce(w.commission * (w.terms->'commission_tax'->>'bps')::int / 10000, 0) END, h.currency, w.terms,
           CASE WHEN paid THEN 'DELIVERED' ELSE 'RESERVED' END, CASE WHEN paid THEN 'HELD' ELSE 'EMPTY' END,
           moment + make_interval(days => (w.terms->>'protection_days')::int), moment
    FROM unnest(p_chosen) h, unnest(h.lines) w;
END $$;

-- Gives stock that was found, the units in order of p_listings, to lines in order of arrival: held until
-- p_until, or sold when that is NULL.
CREATE FUNCTION orders.deal_out(p_sold orders.sold, p_listings uuid[], p_units uuid[], p_until timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  s_lines uuid[] := p_sold.lines;
  s_listings uuid[] := p_sold.listings;
  s_quantities int[] := p_sold.quantities;
  s_counted boolean[] := p_sold.counted;
  held int := CASE WHEN p_until IS NULL THEN 0 ELSE 1 END;
BEGIN
  WITH lines AS (
    SELECT t.id, t.quantity, sum(t.quantity) OVER (ORDER BY array_position(p_listings, t.listing), t.n)::int AS upto
    FROM unnest(s_lines, s_listings, s_quantities, s_counted) WITH ORDINALITY t(id, listing, quantity, counted, n)
    WHERE NOT t.counted)
  UPDATE inventory.stock_unit u SET state = CASE held WHEN 1 THEN 'RESERVED' ELSE 'SOLD' END, line_id = l.id,
      reserved_until = p_until
    FROM lines l, generate_series(l.upto - l.quantity + 1, l.upto) i WHERE u.id = p_units[i];
  IF NOT true = ANY (s_counted) THEN RETURN; END IF;
  UPDATE inventory.counted c SET on_hand = c.on_hand - t.copies, sold = c.sold + t.copies * (1 - held)
    FROM (SELECT l.listing, sum(l.quantity)::int AS copies
          FROM unnest(s_listings, s_quantities, s_counted) l(listing, quantity, counted)
          WHERE l.counted GROUP BY l.listing) t
    WHERE c.listing_id = t.listing;
  IF held = 1 THEN
    INSERT INTO inventory.hold (line_id, listing_id, seller_id, quantity, reserved_until)
      SELECT t.id, t.listing, c.seller_id, t.quantity, p_until
      FROM unnest(s_lines, s_listings, s_quantities, s_counted) t(id, listing, quantity, counted)
      JOIN inventory.counted c ON c.listing_id = t.listing WHERE t.counted;
  END IF;
END $$;

-- The rest of paid and delivered groups: entitlements, events, the buyers' carts, and the journals last. What is
-- bought on credit is owed by the buyer instead of paid from the wallet.
CREATE FUNCTION orders.hand_over(p_groups uuid[], p_actors text[], p_funding text, p_from_cart boolean)
RETURNS void LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  owed boolean := p_funding = 'instant_credit';
  source text := CASE WHEN owed THEN 'credit_out' ELSE 'wallet' END;
  journal text := CASE WHEN owed THEN 'credit_sale' ELSE 'purchase' END;
  key text := CASE WHEN owed THEN 'credit:' ELSE 'buy:' END;
  l record;
  gone int;
BEGIN
  WITH lines AS (
    SELECT g.n, g.actor, i.id, i.order_id, i.buyer_id, i.seller_id, i.listing_id, i.quantity, i.total, i.currency,
           i.terms, (SELECT a.id FROM ledger.account a WHERE a.kind = source AND a.owner = 'user:' || i.buyer_id
             AND a.currency = i.currency) AS wallet
    FROM unnest(p_groups, p_actors) WITH ORDINALITY g(id, actor, n)
    JOIN orders o ON o.group_id = g.id JOIN order_line i ON i.order_id = o.id),
  granted AS (
    INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id,
                                      content_version, title, platform, region)
      SELECT gen_random_uuid(), i.buyer_id, i.seller_id, i.listing_id, i.order_id, i.id, u.id, c.content_version,
             i.terms->>'title', i.terms->>'platform', i.terms->>'region'
      FROM lines i LEFT JOIN inventory.counted c ON c.listing_id = i.listing_id, LATERAL (
        SELECT s.id FROM inventory.stock_unit s WHERE s.line_id = i.id AND s.state = 'SOLD'
        UNION ALL SELECT NULL FROM generate_series(1, i.quantity) WHERE c.listing_id IS NOT NULL) u
      RETURNING 1)
  SELECT sum(i.quantity) AS units, (SELECT count(*) FROM granted) AS granted,
         array_agg(key || i.id ORDER BY i.n, i.id) AS idems, array_agg('line:' || i.id ORDER BY i.n, i.id) AS owners,
         array_agg('order:' || i.order_id ORDER BY i.n, i.id) AS refs, array_agg(i.actor ORDER BY i.n, i.id) AS actors,
         array_agg(i.currency::text ORDER BY i.n, i.id) AS currencies, array_agg(i.wallet ORDER BY i.n, i.id) AS wallets,
         array_agg(i.total ORDER BY i.n, i.id) AS totals, array_agg(-i.total ORDER BY i.n, i.id) AS credits
    INTO l FROM lines i;
  IF l.granted IS DISTINCT FROM l.units THEN
    RAISE EXCEPTION '% units of % would be delivered', l.granted, l.units USING ERRCODE = '23514';
  END IF;
  PERFORM audit.record_many('order.delivered', array_agg('order:' || o.id ORDER BY g.n, o.id),
      array_agg(g.actor ORDER BY g.n, o.id), array_agg(jsonb_build_object('group_id', o.group_id, 'buyer_id',
        o.buyer_id, 'seller_id', o.seller_id, 'funding', p_funding) ORDER BY g.n, o.id))
    FROM unnest(p_groups, p_actors) WITH ORDINALITY g(id, actor, n) JOIN orders o ON o.group_id = g.id;
  IF p_from_cart THEN
    DELETE FROM cart_line c USING order_group g, cart k, orders o, order_line i
      WHERE g.id = ANY (p_groups) AND g.from_cart AND k.user_id = g.buyer_id AND c.cart_id = k.id
        AND o.group_id = g.id AND i.order_id = o.id AND c.listing_id = i.listing_id
        AND c.added_at <= g.created_at AND c.quantity <= i.quantity;
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone < cardinality(l.idems) THEN  -- of a line that was raised meanwhile only what is bought goes
      UPDATE cart_line c SET quantity = c.quantity - i.quantity FROM order_group g, cart k, orders o, order_line i
        WHERE g.id = ANY (p_groups) AND g.from_cart AND k.user_id = g.buyer_id AND c.cart_id = k.id
          AND o.group_id = g.id AND i.order_id = o.id AND c.listing_id = i.listing_id
          AND c.added_at <= g.created_at AND c.quantity > i.quantity;
    END IF;
  END IF;
  IF p_funding = 'destination' THEN RETURN; END IF;  -- paid to the store's own account: none passes here
  PERFORM ledger.post_many(journal, l.idems, l.refs, l.actors,
    l.wallets || ledger.open_accounts('escrow', l.owners, l.currencies), l.totals || l.credits);
END $$;

-- Those of the listings that have no copy on hand and no unit free that nobody else is just taking. What was
-- locked to find out is let go at once.
CREATE FUNCTION orders.gone(p_listings uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  gone uuid[] := '{}';
  one uuid;
BEGIN
  FOREACH one IN ARRAY p_listings LOOP
    PERFORM 1 FROM inventory.stock_unit u WHERE u.listing_id = one AND u.state = 'AVAILABLE'
      LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM inventory.counted c WHERE c.listing_id = one AND c.on_hand > 0) THEN
      gone := gone || one;
    END IF;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'FD001';
EXCEPTION WHEN SQLSTATE 'FD001' THEN
  RETURN gone;
END $$;

-- Listings whose last free unit or copy is gone are shown as sold out; units others are just taking count as
-- gone. Never waits: a job repairs what this gets wrong.
CREATE FUNCTION orders.note_empty(p_listings uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  empty uuid[];
BEGIN
  SELECT array_agg(l.id) INTO empty FROM catalog.listing l WHERE l.id = ANY (p_listings) AND l.in_stock
    AND NOT EXISTS (SELECT 1 FROM inventory.stock_unit u
      WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' OFFSET 63);
  IF empty IS NULL THEN RETURN; END IF;
  empty := gone(empty);
  IF empty = '{}' THEN RETURN; END IF;
  empty := ARRAY(SELECT l.id FROM catalog.listing l WHERE l.id = ANY (empty) ORDER BY l.id
                 FOR NO KEY UPDATE SKIP LOCKED);
  empty := gone(empty);  -- again: what came in before the lock was got has set the word itself
  UPDATE catalog.listing SET in_stock = false WHERE id = ANY (empty);
END $$;

-- Finds and locks the stock of listings: the units, in order of the listings, and how much of each there is.
CREATE FUNCTION orders.find(p_listings uuid[], p_need int[], p_counted boolean[], OUT units uuid[], OUT got int[])
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  copies int[];
BEGIN
  IF true = ANY (p_counted) THEN
    copies := inventory.find_copies(p_listings, p_need);
  END IF;
  SELECT f.units, f.got INTO units, got FROM inventory.find_units(p_listings,
    ARRAY(SELECT CASE WHEN t.counted THEN 0 ELSE t.need END FROM unnest(p_need, p_counted) t(need, counted))) f;
  IF copies IS NOT NULL THEN
    got := ARRAY(SELECT CASE WHEN t.counted THEN t.copies ELSE t.got END
      FROM unnest(got, copies, p_counted) t(got, copies, counted));
  END IF;
END $$;

-- Decides all purchases of a call and writes those that can be. When stock is short of something, what was
-- locked is let go and everything is decided again, knowing how much there is. A call that awaits a card has
-- one purchase.
CREATE FUNCTION orders.buy_all(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.verdict[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  everybody asked[] := look(p_batch, p_pay, p_locked);
  d record;
  f record;
  scarce uuid[] := '{}';
  there int[] := '{}';
  k int;
BEGIN
  LOOP
    d := decide(everybody, p_pay, scarce, there);
    EXIT WHEN d.chosen = '{}';
    BEGIN
      f := find(d.listings, d.need, d.counted);
      EXIT WHEN f.got = d.need;
      RAISE EXCEPTION USING ERRCODE = 'FD001';  -- lets go of what was locked
    EXCEPTION WHEN SQLSTATE 'FD001' THEN
      FOR i IN 1 .. cardinality(d.listings) LOOP
        IF f.got[i] < d.need[i] THEN
          k := coalesce(array_position(scarce, d.listings[i]), cardinality(scarce) + 1);
          scarce[k] := d.listings[i];
          there[k] := f.got[i];
        END IF;
      END LOOP;
    END;
  END LOOP;
  IF d.chosen <> '{}' THEN
    PERFORM write_down(d.chosen, p_pay);
    PERFORM deal_out(d.sold, d.listings, f.units, (d.chosen[1]).until);
    IF p_pay = 'wallet' THEN
      PERFORM hand_over((d.sold).groups, (d.sold).actors, p_pay, (d.sold).from_cart);
    END IF;
  END IF;
  PERFORM note_empty(d.listings || scarce);
  RETURN d.verdicts;
END $$;

-- Purchases paid from the wallet. Wallets are locked first, in order; stock units are never waited for.
CREATE FUNCTION orders.buy(p_batch jsonb) RETURNS TABLE (n int, verdict text, group_id uuid, data jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  wallets bigint[] := ARRAY(
    SELECT a.id FROM jsonb_to_recordset(p_batch) AS x(buyer uuid, currency text)
    JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || x.buyer AND a.currency = x.currency::char(3));
BEGIN
  PERFORM 1 FROM ledger.balance b WHERE b.account_id = ANY (wallets) ORDER BY b.account_id FOR UPDATE;
  RETURN QUERY SELECT (v.place - 1)::int, v.verdict, v.group_id, v.data
    FROM unnest(buy_all(p_batch, 'wallet', wallets)) WITH ORDINALITY v(verdict, group_id, data, place);
END $$;

-- A purchase that waits for a card: its stock is reserved, no money moves yet.
CREATE FUNCTION orders.place(p jsonb) RETURNS orders.verdict
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
-- The end of a group that will not be paid for: its units and copies go back to stock.
CREATE FUNCTION orders.close_group(p_group uuid, p_state text, p_because text, p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  back uuid[];
BEGIN
  WITH freed AS (
    UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL, reserved_until = NULL
    FROM orders o JOIN order_line i ON i.order_id = o.id
    WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED' RETURNING u.listing_id)
  SELECT array_agg(DISTINCT listing_id) INTO back FROM freed;
  back := back || inventory.settle_holds(ARRAY(
    SELECT i.id FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group), false);
  PERFORM 1 FROM catalog.listing l WHERE l.id = ANY (back) AND NOT l.in_stock ORDER BY l.id FOR NO KEY UPDATE;
  UPDATE catalog.listing l SET in_stock = true WHERE l.id = ANY (back) AND NOT l.in_stock;
  UPDATE order_line i SET delivery_state = 'CANCELLED'
    FROM orders o WHERE o.group_id = p_group AND i.order_id = o.id;
  UPDATE orders o SET state = p_state, closed_because = p_because, expires_at = NULL
    WHERE o.group_id = p_group;
  PERFORM audit.record(CASE p_state WHEN 'EXPIRED' THEN 'order.expired' ELSE 'order.cancelled' END,
            'order:' || o.id, p_actor, jsonb_build_object('group_id', p_group, 'buyer_id', o.buyer_id,
            'seller_id', o.seller_id, 'because', p_because))
    FROM orders o WHERE o.group_id = p_group ORDER BY o.id;
END $$;

-- The money of a card checkout is in the buyer's wallet (in this same transaction): pay and deliver.
-- Answers delivered, already, cancelled, sold_out (expired meanwhile, and the units are gone), or blocked (the
-- wallet was blocked meanwhile: nothing leaves it, so nothing is delivered, and the money stays there).
CREATE FUNCTION orders.pay_group(p_group uuid, p_funding uuid, p_actor text DEFAULT 'stripe') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  g order_group;
  is_now text;
  lines record;
  stock record;
BEGIN
  SELECT * INTO STRICT g FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  PERFORM 1 FROM wallets.funding f WHERE f.id = p_funding AND f.group_id = p_group
    AND f.user_id = g.buyer_id AND f.amount = g.total AND f.currency = g.currency;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'funding % does not pay for group %', p_funding, p_group USING ERRCODE = '22023';
  END IF;
  SELECT min(o.state) INTO is_now FROM orders o WHERE o.group_id = p_group;
  IF is_now = 'CANCELLED' THEN RETURN 'cancelled'; END IF;
  IF is_now NOT IN ('PENDING_PAYMENT', 'EXPIRED') THEN RETURN 'already'; END IF;
  -- Asked once the wallet is locked by its money coming in: whoever blocks it locks it too.
  IF EXISTS (SELECT 1 FROM wallets.standing s WHERE s.user_id = g.buyer_id AND s.state <> 'OK') THEN
    IF is_now = 'PENDING_PAYMENT' THEN
      PERFORM close_group(p_group, 'CANCELLED', 'your wallet is blocked; the payment is in it', p_actor);
    END IF;
    RETURN 'blocked';
  END IF;
  SELECT array_agg(i.id ORDER BY l.id) AS ids, array_agg(l.id ORDER BY l.id) AS listings,
         array_agg(i.quantity ORDER BY l.id) AS quantities, array_agg(l.kind = 'article' ORDER BY l.id) AS counted
    INTO lines FROM orders o JOIN order_line i ON i.order_id = o.id JOIN catalog.listing l ON l.id = i.listing_id
    WHERE o.group_id = p_group;
  IF is_now = 'EXPIRED' THEN
    BEGIN
      stock := find(lines.listings, lines.quantities, lines.counted);
      IF stock.got <> lines.quantities THEN
        RAISE EXCEPTION USING ERRCODE = 'FD001';  -- lets go of what was locked
      END IF;
    EXCEPTION WHEN SQLSTATE 'FD001' THEN
      RETURN 'sold_out';
    END;
    PERFORM deal_out((NULL, NULL, false, lines.ids, lines.listings, lines.quantities, lines.counted)::sold,
      lines.listings, stock.units, NULL);
  ELSE
    UPDATE inventory.stock_unit u SET state = 'SOLD', reserved_until = NULL
      WHERE u.line_id = ANY (lines.ids) AND u.state = 'RESERVED';
    PERFORM inventory.settle_holds(lines.ids, true);
  END IF;
  UPDATE order_line i SET delivery_state = 'DELIVERED', delivered_at = now(),
      escrow_state = CASE WHEN g.funding_policy = 'destination' THEN 'DIRECT' ELSE 'HELD' END,
      release_at = CASE WHEN g.funding_policy <> 'destination'
        THEN now() + make_interval(days => (i.terms->>'protection_days')::int) END
    WHERE i.id = ANY (lines.ids);
  UPDATE orders o SET state = 'DELIVERED', paid_at = now(), delivered_at = now(), expires_at = NULL,
      closed_because = NULL
    WHERE o.group_id = p_group;
  PERFORM note_empty(lines.listings);
  PERFORM hand_over(ARRAY[p_group], ARRAY[p_actor], g.funding_policy, g.from_cart);
  IF g.funding_policy = 'destination' THEN  -- nothing is held: the order is complete
    PERFORM settle_orders(ARRAY(SELECT o.id FROM orders o WHERE o.group_id = p_group), p_actor);
  END IF;
  RETURN 'delivered';
END $$;

-- Gives up a group that awaits its payment: EXPIRED (its time is over and no payment is under way) or
-- CANCELLED. Units go back to stock. Answers done, not_waiting, not_yet, under_way (looked at again in a
-- while; the reservation is kept until then) or paid.
CREATE FUNCTION orders.give_up(p_group uuid, p_state text, p_because text, p_actor text) RETURNS text
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

-- What a seller has of a line, after what was refunded of it.
CREATE FUNCTION orders.seller_part(l orders.order_line) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT l.total - l.commission - l.tax - l.commission_tax
    - (l.refunded - l.refunded_commission - l.refunded_tax - l.refunded_commission_tax)
$$;

-- Protection ends: what is left of a held line's money goes to the seller (what they owe first, the rest
-- pending) and the marketplace (commission). p_even_frozen: a case has been decided for the seller.
-- One release at a time in the whole database, so that no two wait for each other's accounts.
CREATE FUNCTION orders.release(p_lines uuid[], p_actor text, p_even_frozen boolean DEFAULT false) RETURNS int
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

-- Orders whose lines' money is nowhere in between any more: REFUNDED when the buyer has all of it back,
-- COMPLETED when not.
CREATE FUNCTION orders.settle_orders(p_orders uuid[], p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  told int;
BEGIN
  WITH done AS (
    UPDATE orders o SET state = CASE WHEN t.all_back THEN 'REFUNDED' ELSE 'COMPLETED' END,
        completed_at = coalesce(o.completed_at, CASE WHEN NOT t.all_back THEN now() END)
      FROM (SELECT i.order_id, bool_and(i.refunded = i.total) AS all_back FROM order_line i
            WHERE i.order_id = ANY (p_orders) GROUP BY i.order_id
            HAVING bool_and(i.escrow_state IN ('RELEASED', 'REFUNDED', 'SPLIT', 'DIRECT'))) t
      WHERE o.id = t.order_id AND (o.state = 'DELIVERED' OR o.state = 'COMPLETED' AND t.all_back)
    RETURNING o.*)
  SELECT count(audit.record(CASE state WHEN 'REFUNDED' THEN 'order.refunded' ELSE 'order.completed' END, 'order:' || id,
           p_actor, jsonb_build_object('group_id', group_id, 'buyer_id', buyer_id, 'seller_id', seller_id)))
    INTO told FROM done;
END $$;

-- A case begins: the money of these lines stays where it is, their release clock stands still. Answers which.
CREATE FUNCTION orders.freeze(p_lines uuid[], p_actor text) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  found uuid[];
  told int;
BEGIN
  PERFORM 1 FROM order_line WHERE id = ANY (p_lines) ORDER BY id FOR UPDATE;
  WITH frozen AS (
    UPDATE order_line SET escrow_state = 'FROZEN', frozen_at = now()
      WHERE id = ANY (p_lines) AND escrow_state = 'HELD' RETURNING *)
  SELECT array_agg(id), count(audit.record('line.frozen', 'order:' || order_id, p_actor, jsonb_build_object('line_id', id,
           'buyer_id', buyer_id, 'seller_id', seller_id))) INTO found, told FROM frozen;
  RETURN coalesce(found, '{}');
END $$;

-- A case ends without a decision about the money: protection goes on for as long as was left of it.
CREATE FUNCTION orders.thaw(p_lines uuid[], p_actor text) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  found uuid[];
  told int;
BEGIN
  PERFORM 1 FROM order_line WHERE id = ANY (p_lines) ORDER BY id FOR UPDATE;
  WITH thawed AS (
    UPDATE order_line SET escrow_state = 'HELD', release_at = release_at + (now() - frozen_at), frozen_at = NULL
      WHERE id = ANY (p_lines) AND escrow_state = 'FROZEN' RETURNING *)
  SELECT array_agg(id), count(audit.record('line.thawed', 'order:' || order_id, p_actor, jsonb_build_object('line_id', id,
           'buyer_id', buyer_id, 'seller_id', seller_id))) INTO found, told FROM thawed;
  RETURN coalesce(found, '{}');
END $$;

-- The release clock: at most p_limit lines whose protection is over.
CREATE FUNCTION orders.release_due(p_limit int) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
  SELECT release(ARRAY(
    SELECT id FROM order_line WHERE escrow_state = 'HELD' AND release_at <= now()
    ORDER BY release_at LIMIT p_limit), 'system')
$$;

-- Maturity: released money becomes payable, less what is kept back from this seller for a while. One journal per
-- seller and currency for up to p_limit lines. Refunds may have taken some of what was pending.
CREATE FUNCTION orders.mature_due(p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  s record;
  source bigint;
  amount bigint;
  kept bigint;
  lines int := 0;
BEGIN
  FOR s IN
    SELECT d.seller_id, d.currency, array_agg(d.id ORDER BY d.id) AS ids, sum(seller_part(d))::bigint AS net
    FROM (SELECT * FROM order_line WHERE escrow_state IN ('RELEASED', 'SPLIT') AND matured_at IS NULL AND matures_at <= now()
          ORDER BY matures_at LIMIT p_limit FOR UPDATE SKIP LOCKED) d
    GROUP BY d.seller_id, d.currency ORDER BY d.seller_id, d.currency
  LOOP
    lines := lines + cardinality(s.ids);
    BEGIN
      UPDATE order_line SET matured_at = now() WHERE id = ANY (s.ids);
      PERFORM audit.record('line.matured', 'order:' || i.order_id, 'system', jsonb_build_object('line_id', i.id,
                'seller_id', i.seller_id)) FROM order_line i WHERE i.id = ANY (s.ids) ORDER BY i.id;
      source := ledger.open_account('seller_pending', 'seller:' || s.seller_id, s.currency);
      SELECT b.amount INTO amount FROM ledger.balance b WHERE b.account_id = source FOR UPDATE;
      -- Asked once the balance is locked: what is released from now on is not in it yet.
      IF EXISTS (SELECT 1 FROM order_line i WHERE i.seller_id = s.seller_id AND i.currency = s.currency
                 AND i.escrow_state IN ('RELEASED', 'SPLIT') AND i.matured_at IS NULL) THEN
        amount := least(s.net, amount);
      END IF;
      CONTINUE WHEN amount = 0;
      kept := amount * payouts.reserve_bps(s.seller_id) / 10000;
      IF kept > 0 THEN
        INSERT INTO payouts.reserve (seller_id, currency, amount, bps)
          VALUES (s.seller_id, s.currency, kept, payouts.reserve_bps(s.seller_id));
      END IF;
      PERFORM ledger.post('mature', 'mature:' || s.seller_id || ':' || s.ids[1], 'seller:' || s.seller_id, 'system',
        ARRAY[source, ledger.open_account('seller_available', 'seller:' || s.seller_id, s.currency)]
          || CASE WHEN kept > 0 THEN ARRAY[ledger.open_account('seller_reserve', 'seller:' || s.seller_id, s.currency)] ELSE '{}' END,
        ARRAY[amount, kept - amount] || CASE WHEN kept > 0 THEN ARRAY[-kept] ELSE '{}' END);
    EXCEPTION WHEN insufficient_privilege OR check_violation THEN
      -- Of a seller whose accounts may not be moved nothing matures now; it is tried again in a while.
      RAISE WARNING 'money of seller % does not mature: %', s.seller_id, SQLERRM;
      UPDATE order_line SET matures_at = now() + interval '15 minutes' WHERE id = ANY (s.ids);
    END;
  END LOOP;
  RETURN lines;
END $$;

-- What purchases from the wallet were answered with, asked together: a row per line, `n` the place of its group.
-- Only of groups that buyer bought, and only what never changes after: the first answer can be given again, the
-- same to the byte, for ever.
CREATE FUNCTION orders.as_bought(p_groups uuid[], p_buyers uuid[])
RETURNS TABLE (
  n bigint, group_id uuid, group_number text, buyer_id uuid, group_total bigint, currency text, at timestamptz,
  order_id uuid, number text, seller_id uuid, order_total bigint, line_id uuid, listing_id uuid, quantity int,
  unit_price bigint, line_total bigint, release_at timestamptz, terms jsonb, entitlements uuid[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = orders, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.n, g.id, g.number, g.buyer_id, g.total, g.currency::text, g.created_at,
           o.id, o.number, o.seller_id, o.total, l.id, l.listing_id, l.quantity, l.unit_price, l.total,
           l.delivered_at + make_interval(days => (l.terms->>'protection_days')::int), l.terms,
           ARRAY(SELECT e.id FROM delivery.entitlement e WHERE e.line_id = l.id AND e.replaces IS NULL ORDER BY e.id)
    FROM unnest(p_groups, p_buyers) WITH ORDINALITY k(group_id, buyer_id, n)
    JOIN order_group g ON g.id = k.group_id AND g.buyer_id = k.buyer_id AND g.funding_policy = 'wallet'
    JOIN orders o ON o.group_id = g.id
    JOIN order_line l ON l.order_id = o.id
    ORDER BY k.n, o.id, l.id;
END $$;

-- A line of a quote, with why this user can buy nothing now (`fault`); of one that was just put into a cart: why
-- not, and how many one order may have.
CREATE TYPE orders.quoted_line AS (
  n bigint, before uuid, listing_id uuid, quantity int, seen_price bigint, seen_version int, slug text, title text,
  seller_id uuid, platform text, region text, edition text, cover text, max_per_order int, price bigint,
  price_version int, currency text, seller text, seller_slug text, for_sale boolean, own boolean, fits boolean,
  free bigint, wallet bigint, fault text, most int, at_sale boolean);

-- What purchases would cost now, asked together: a row per line in order, `n` the place of the question; a row
-- without a listing when there is none. p_wishes: for each question the lines {listing, quantity, price and/or
-- price_version as seen}, or null: the cart, of the user, or of the guest whose cookie has that hash. `before`:
-- the group that user bought with that key. `wallet`: what the user's wallet of the line's currency holds.
-- Whatever it is, it is read here at one moment; a cart and a wallet are told to whom they belong only.
CREATE FUNCTION orders.quoted(p_users uuid[], p_guests bytea[], p_countries text[], p_idems text[], p_wishes jsonb)
RETURNS SETOF orders.quoted_line
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  RETURN QUERY
    SELECT k.n, (SELECT g.id FROM order_group g WHERE g.buyer_id = k.user_id AND g.idem = k.idem),
      w.id, w.quantity, w.price, w.price_version, l.slug, l.title, l.seller_id, l.platform, l.region, l.edition,
      l.cover, l.max_per_order, l.price, l.price_version, l.currency::text, s.name, s.slug,
      coalesce(l.state = 'PUBLISHED' AND s.state = 'OPEN', false),
      EXISTS (SELECT 1 FROM identity.membership m WHERE m.user_id = k.user_id AND m.seller_id = l.seller_id),
      region_fits(l.region, k.country),
      coalesce((SELECT least(c.on_hand, w.quantity + 10) FROM inventory.counted c WHERE c.listing_id = l.id),
        (SELECT count(*) FROM (SELECT 1 FROM inventory.stock_unit u
           WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' LIMIT w.quantity + 10) t)),
      coalesce((SELECT sum(b.amount) FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
        WHERE a.kind = 'wallet' AND a.owner = 'user:' || k.user_id AND a.currency = l.currency), 0)::bigint,
      CASE WHEN b.user_id IS NOT NULL THEN 'wallet_at_risk' WHEN NOT e.buys THEN 'tier_forbids' END, NULL::int,
      coalesce(s.at_sale, false)
    FROM unnest(p_users, p_guests, p_countries, p_idems) WITH ORDINALITY k(user_id, guest, country, idem, n)
    LEFT JOIN wallets.standing b ON b.user_id = k.user_id AND b.state <> 'OK'
    LEFT JOIN risk.standing t ON t.user_id = k.user_id AND t.tier <> 'NORMAL'
    LEFT JOIN risk.enforcement e ON e.side = 'user' AND e.tier = t.tier
    LEFT JOIN LATERAL (
      SELECT i.listing_id AS id, i.quantity, i.seen_price AS price, NULL::int AS price_version, i.added_at, 0::bigint AS place
        FROM cart c JOIN cart_line i ON i.cart_id = c.id
        WHERE c.user_id = k.user_id AND p_wishes->(k.n - 1)::int = 'null'
      UNION ALL
      SELECT i.listing_id, i.quantity, i.seen_price, NULL, i.added_at, 0
        FROM cart c JOIN cart_line i ON i.cart_id = c.id
        WHERE k.user_id IS NULL AND c.guest_hash = k.guest AND p_wishes->(k.n - 1)::int = 'null'
      UNION ALL
      SELECT (x.wish->>'listing')::uuid, (x.wish->>'quantity')::int, (x.wish->>'price')::bigint,
             (x.wish->>'price_version')::int, NULL, x.place
        FROM jsonb_array_elements(nullif(p_wishes->(k.n - 1)::int, 'null')) WITH ORDINALITY x(wish, place)) w ON true
    LEFT JOIN catalog.listing l ON l.id = w.id
    LEFT JOIN sellers.seller s ON s.id = l.seller_id
    ORDER BY k.n, w.place, w.added_at, w.id;
END $$;

-- Puts a listing into a cart (of the user, or of the guest whose cookie has that hash; made with p_id when there
-- is none): so many units, with p_add so many more. Answers the cart as it is then, or why not: unavailable,
-- too_many, full.
CREATE FUNCTION orders.put_in_cart(p_id uuid, p_user uuid, p_guest bytea, p_country text, p_listing uuid,
                                   p_quantity int, p_add boolean, p_lines int) RETURNS SETOF orders.quoted_line
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l catalog.listing;
  mine uuid;
  lines int;
  there int;
  answer quoted_line;
BEGIN
  SELECT x.* INTO l FROM catalog.listing x JOIN sellers.seller s ON s.id = x.seller_id
    WHERE x.id = p_listing AND x.state = 'PUBLISHED' AND s.state = 'OPEN';
  answer.most := l.max_per_order;
  answer.fault := CASE WHEN l.id IS NULL THEN 'unavailable' WHEN p_quantity > l.max_per_order THEN 'too_many' END;
  IF answer.fault IS NOT NULL THEN
    RETURN NEXT answer;
    RETURN;
  END IF;
  IF p_user IS NULL THEN
    INSERT INTO cart (id, guest_hash) VALUES (p_id, p_guest)
      ON CONFLICT (guest_hash) DO UPDATE SET updated_at = now() RETURNING id INTO mine;
  ELSE
    INSERT INTO cart (id, user_id) VALUES (p_id, p_user)
      ON CONFLICT (user_id) DO UPDATE SET updated_at = now() RETURNING id INTO mine;
  END IF;
  SELECT count(*), sum(c.quantity) FILTER (WHERE c.listing_id = p_listing) INTO lines, there
    FROM cart_line c WHERE c.cart_id = mine;
  IF p_add AND coalesce(there, 0) + p_quantity > l.max_per_order THEN
    answer.fault := 'too_many';
    RETURN NEXT answer;
  ELSIF there IS NULL AND lines >= p_lines THEN
    answer.fault := 'full';
    RETURN NEXT answer;
  ELSE
    INSERT INTO cart_line AS c (cart_id, listing_id, quantity, seen_price, seen_price_version)
      VALUES (mine, p_listing, p_quantity + CASE WHEN p_add THEN coalesce(there, 0) ELSE 0 END, l.price, l.price_version)
      ON CONFLICT (cart_id, listing_id) DO UPDATE SET quantity = excluded.quantity, seen_price = excluded.seen_price,
        seen_price_version = excluded.seen_price_version;
    RETURN QUERY SELECT * FROM quoted(ARRAY[p_user], ARRAY[p_guest], ARRAY[p_country], ARRAY[NULL], '[null]');
  END IF;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA orders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.as_bought, orders.buy, orders.place, orders.pay_group, orders.give_up,
  orders.put_in_cart, orders.quoted, orders.freeze, orders.thaw, orders.release, orders.release_due, orders.mature_due,
  orders.region_fits TO fondaco_app;
