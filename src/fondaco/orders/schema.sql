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
  funding_policy text NOT NULL CHECK (funding_policy IN ('wallet', 'card')),
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
  CHECK (total = unit_price * quantity),
  CHECK (commission + tax <= total AND refunded <= total)
);
CREATE TRIGGER delivery_machine BEFORE INSERT OR UPDATE OF delivery_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('line_delivery', 'delivery_state');
CREATE TRIGGER escrow_machine BEFORE INSERT OR UPDATE OF escrow_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('escrow', 'escrow_state');
CREATE INDEX order_line_order ON orders.order_line (order_id);
CREATE INDEX order_line_listing ON orders.order_line (listing_id);
CREATE INDEX order_line_due ON orders.order_line (release_at) WHERE escrow_state = 'HELD';
CREATE INDEX order_line_maturing ON orders.order_line (matures_at) WHERE escrow_state = 'RELEASED' AND matured_at IS NULL;
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

-- ---------------------------------------------------------------------------------------------------
-- Buying. One call takes an array of purchases and answers one row each, in order of arrival. A purchase
-- is a JSON object:
--   buyer, country (or null), idem, fingerprint (hex), actor, group, number, currency, from_cart,
--   bps, protection_days, maturity_days: the marketplace's terms at this moment,
--   until: for a card checkout, how long the stock is held,
--   orders: one {id, number} for each seller there may be,
--   lines:  {id, listing, quantity, price and/or price_version as the buyer saw them}.
-- ---------------------------------------------------------------------------------------------------
CREATE TYPE orders.verdict AS (verdict text, group_id uuid, data jsonb);

-- One listing of a purchase: what is asked, what the catalogue says now, and why it cannot be ('': it can).
CREATE TYPE orders.wanted AS (
  line_id uuid, listing_id uuid, quantity int, seller_id uuid, price bigint, commission bigint,
  title text, fault text, facts jsonb, terms jsonb);

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

-- The lines of a purchase, one per listing (a listing named twice is added up), in order of the listings.
CREATE FUNCTION orders.look(p jsonb, p_pay text) RETURNS orders.wanted[]
LANGUAGE sql SET search_path = orders, pg_temp AS $$
  SELECT array_agg(ROW(
      w.line_id, w.listing_id, w.quantity, l.seller_id, l.price,
      l.price * w.quantity * coalesce(s.commission_bps, (p->>'bps')::int) / 10000, l.title,
      CASE
        WHEN l.state IS DISTINCT FROM 'PUBLISHED' OR s.state <> 'OPEN' THEN 'unavailable'
        WHEN EXISTS (SELECT 1 FROM identity.membership m
                     WHERE m.user_id = (p->>'buyer')::uuid AND m.seller_id = l.seller_id) THEN 'own_goods'
        WHEN NOT region_fits(l.region, p->>'country') THEN 'region'
        WHEN w.quantity > l.max_per_order THEN 'too_many'
        WHEN w.low_price <> l.price OR w.high_price <> l.price
          OR w.low_price IS NULL AND w.price_version IS DISTINCT FROM l.price_version THEN 'price_changed'
        WHEN l.currency::text <> p->>'currency' THEN 'currency'
        ELSE ''
      END,
      jsonb_build_object('listing_id', w.listing_id, 'title', l.title, 'price', l.price,
        'price_version', l.price_version, 'currency', l.currency, 'seen_price', w.low_price,
        'quantity', w.quantity, 'max_per_order', l.max_per_order, 'region', l.region),
      jsonb_build_object('title', l.title, 'slug', l.slug, 'platform', l.platform, 'region', l.region,
        'edition', l.edition, 'activation', l.activation, 'seller', s.name, 'seller_slug', s.slug,
        'price_version', l.price_version, 'listing_version', l.version,
        'commission_bps', coalesce(s.commission_bps, (p->>'bps')::int), 'funding', p_pay,
        'protection_days', (p->>'protection_days')::int, 'maturity_days', (p->>'maturity_days')::int)
    )::wanted ORDER BY w.listing_id)
  FROM (
    SELECT (x->>'listing')::uuid AS listing_id, (array_agg((x->>'id')::uuid))[1] AS line_id,
           sum((x->>'quantity')::int)::int AS quantity, min((x->>'price')::bigint) AS low_price,
           max((x->>'price')::bigint) AS high_price, max((x->>'price_version')::int) AS price_version
    FROM jsonb_array_elements(p->'lines') x GROUP BY 1
  ) w
  LEFT JOIN catalog.listing l ON l.id = w.listing_id
  LEFT JOIN sellers.seller s ON s.id = l.seller_id
$$;

-- Takes the units of several lines, all or none; answers NULL or what was short: [{listing_id, left}].
CREATE FUNCTION orders.take_all(p_listings uuid[], p_lines uuid[], p_quantities int[], p_state text,
                                p_until timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  short jsonb := '[]';
  got int;
BEGIN
  FOR i IN 1 .. cardinality(p_listings) LOOP
    got := inventory.take(p_listings[i], p_lines[i], p_quantities[i], p_state, p_until);
    IF got < p_quantities[i] THEN
      short := short || jsonb_build_object('listing_id', p_listings[i], 'left', got);
    END IF;
  END LOOP;
  IF short <> '[]' THEN
    RAISE EXCEPTION USING ERRCODE = 'FD001';  -- undoes what the other lines took
  END IF;
  RETURN NULL;
EXCEPTION WHEN SQLSTATE 'FD001' THEN
  RETURN short;
END $$;

-- The rows of a purchase whose units are taken: paid from the wallet, or waiting for a card.
CREATE FUNCTION orders.write_down(p jsonb, p_pay text, p_wanted orders.wanted[], p_total bigint) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  paid boolean := p_pay = 'wallet';
  buyer uuid := p->>'buyer';
  money char(3) := p->>'currency';
  sellers uuid[] := ARRAY(SELECT DISTINCT w.seller_id FROM unnest(p_wanted) w ORDER BY 1);
  moment timestamptz := CASE WHEN paid THEN now() END;
BEGIN
  INSERT INTO order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total, currency, from_cart)
    VALUES ((p->>'group')::uuid, p->>'number', buyer, p->>'idem', decode(p->>'fingerprint', 'hex'), p_pay,
            p_total, money, coalesce((p->>'from_cart')::boolean, false));
  INSERT INTO orders (id, number, group_id, buyer_id, seller_id, state, total, currency, expires_at, paid_at,
                      delivered_at)
    SELECT (p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'id')::uuid,
           p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'number',
           (p->>'group')::uuid, buyer, w.seller_id, CASE WHEN paid THEN 'DELIVERED' ELSE 'PENDING_PAYMENT' END,
           sum(w.price * w.quantity), money, (p->>'until')::timestamptz, moment, moment
    FROM unnest(p_wanted) w GROUP BY w.seller_id;
  INSERT INTO order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total,
                          commission, currency, terms, delivery_state, escrow_state, release_at, delivered_at)
    SELECT w.line_id, (p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'id')::uuid, buyer,
           w.seller_id, w.listing_id, w.quantity, w.price, w.price * w.quantity, w.commission, money, w.terms,
           CASE WHEN paid THEN 'DELIVERED' ELSE 'RESERVED' END, CASE WHEN paid THEN 'HELD' ELSE 'EMPTY' END,
           moment + make_interval(days => (p->>'protection_days')::int), moment
    FROM unnest(p_wanted) w;
END $$;

-- The rest of a paid and delivered group: entitlements, events, the buyer's cart, and the journals last.
CREATE FUNCTION orders.hand_over(p_group uuid, p_funding text, p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  g order_group;
  granted int;
  wallet bigint;
  l record;
BEGIN
  SELECT * INTO STRICT g FROM order_group WHERE id = p_group;
  INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id, title,
                                    platform, region)
    SELECT gen_random_uuid(), i.buyer_id, i.seller_id, i.listing_id, i.order_id, i.id, u.id,
           i.terms->>'title', i.terms->>'platform', i.terms->>'region'
    FROM orders o JOIN order_line i ON i.order_id = o.id JOIN inventory.stock_unit u ON u.line_id = i.id
    WHERE o.group_id = p_group AND u.state = 'SOLD';
  GET DIAGNOSTICS granted = ROW_COUNT;
  IF granted <> (SELECT sum(i.quantity) FROM orders o JOIN order_line i ON i.order_id = o.id
                 WHERE o.group_id = p_group) THEN
    RAISE EXCEPTION 'group % would deliver % units', p_group, granted USING ERRCODE = '23514';
  END IF;
  PERFORM audit.record('order.delivered', 'order:' || o.id, p_actor, jsonb_build_object('group_id', p_group,
            'buyer_id', o.buyer_id, 'seller_id', o.seller_id, 'funding', p_funding))
    FROM orders o WHERE o.group_id = p_group ORDER BY o.id;
  IF g.from_cart THEN
    DELETE FROM cart_line c USING cart k, orders o, order_line i
      WHERE k.user_id = g.buyer_id AND c.cart_id = k.id AND o.group_id = p_group AND i.order_id = o.id
        AND c.listing_id = i.listing_id AND c.added_at <= g.created_at;
  END IF;
  wallet := ledger.open_account('wallet', 'user:' || g.buyer_id, g.currency);
  FOR l IN SELECT i.id, i.order_id, i.total FROM orders o JOIN order_line i ON i.order_id = o.id
           WHERE o.group_id = p_group ORDER BY i.id LOOP
    PERFORM ledger.post('purchase', 'buy:' || l.id, 'order:' || l.order_id, p_actor,
      ARRAY[wallet, ledger.open_account('escrow', 'line:' || l.id, g.currency)], ARRAY[l.total, -l.total]);
  END LOOP;
END $$;

-- Decides one purchase before writing anything, then writes all of it or nothing.
CREATE FUNCTION orders.buy_one(p jsonb, p_pay text) RETURNS orders.verdict
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  known record;
  lines wanted[];
  fault text;
  total bigint;
  holds bigint;
  short jsonb;
BEGIN
  SELECT g.id, encode(g.fingerprint, 'hex') AS fingerprint INTO known FROM order_group g
    WHERE g.buyer_id = (p->>'buyer')::uuid AND g.idem = p->>'idem';
  IF FOUND THEN
    RETURN (CASE WHEN known.fingerprint = p->>'fingerprint' THEN 'same_again' ELSE 'key_reused' END,
            known.id, '{}')::verdict;
  END IF;
  lines := look(p, p_pay);
  SELECT w.fault INTO fault FROM unnest(lines) w WHERE w.fault <> '' ORDER BY array_position(
    ARRAY['unavailable', 'own_goods', 'region', 'too_many', 'currency', 'price_changed'], w.fault) LIMIT 1;
  IF FOUND THEN
    RETURN (fault, NULL, (SELECT jsonb_build_object('lines', jsonb_agg(
      CASE WHEN w.fault = 'unavailable' THEN jsonb_build_object('listing_id', w.listing_id) ELSE w.facts END
        || jsonb_build_object('fault', w.fault) ORDER BY w.listing_id))
      FROM unnest(lines) w WHERE w.fault <> ''))::verdict;
  END IF;
  SELECT sum(w.price * w.quantity) INTO total FROM unnest(lines) w;
  IF p_pay = 'wallet' THEN
    SELECT b.amount INTO holds FROM ledger.balance b WHERE b.account_id = (
      SELECT a.id FROM ledger.account a WHERE a.kind = 'wallet' AND a.owner = 'user:' || (p->>'buyer')
        AND a.currency = (p->>'currency')::char(3)) FOR UPDATE;
    IF coalesce(holds, 0) < total THEN
      RETURN ('insufficient_funds', NULL, jsonb_build_object('balance', coalesce(holds, 0), 'total', total,
              'currency', p->>'currency'))::verdict;
    END IF;
  END IF;
  SELECT take_all(array_agg(w.listing_id), array_agg(w.line_id), array_agg(w.quantity),
                  CASE p_pay WHEN 'wallet' THEN 'SOLD' ELSE 'RESERVED' END, (p->>'until')::timestamptz)
    INTO short FROM unnest(lines) w;
  IF short IS NOT NULL THEN
    RETURN ('sold_out', NULL, (SELECT jsonb_build_object('lines', jsonb_agg(
      w.facts || s || '{"fault": "sold_out"}')) FROM jsonb_array_elements(short) s
      JOIN unnest(lines) w ON w.listing_id = (s->>'listing_id')::uuid))::verdict;
  END IF;
  PERFORM write_down(p, p_pay, lines, total);
  IF p_pay = 'wallet' THEN
    PERFORM hand_over((p->>'group')::uuid, 'wallet', p->>'actor');
  END IF;
  RETURN ('bought', (p->>'group')::uuid, jsonb_build_object('total', total))::verdict;
END $$;

-- Listings whose last free unit is gone are shown as sold out; units others are just taking count as gone.
-- Never waits: a job repairs what this gets wrong.
CREATE FUNCTION orders.note_empty(p_listings uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  low uuid[];
  empty uuid[] := '{}';
  one uuid;
BEGIN
  SELECT array_agg(l.id ORDER BY l.id) INTO low FROM catalog.listing l WHERE l.id = ANY (p_listings) AND l.in_stock
    AND (SELECT count(*) FROM (SELECT 1 FROM inventory.stock_unit u
           WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' LIMIT 64) t) < 64;
  IF low IS NULL THEN RETURN; END IF;
  FOR one IN SELECT id FROM catalog.listing WHERE id = ANY (low) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM 1 FROM inventory.stock_unit u WHERE u.listing_id = one AND u.state = 'AVAILABLE'
      LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      empty := empty || one;
    END IF;
  END LOOP;
  UPDATE catalog.listing SET in_stock = false WHERE id = ANY (empty);
END $$;

-- Purchases paid from the wallet. Wallets are locked first, in order; stock is never waited for.
CREATE FUNCTION orders.buy(p_batch jsonb) RETURNS TABLE (n int, verdict text, group_id uuid, data jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  p jsonb;
  v verdict;
  wallets bigint[] := ARRAY(
    SELECT (SELECT a.id FROM ledger.account a WHERE a.kind = 'wallet' AND a.owner = 'user:' || (x->>'buyer')
              AND a.currency = (x->>'currency')::char(3))
    FROM jsonb_array_elements(p_batch) x);
  touched uuid[] := '{}';
BEGIN
  PERFORM 1 FROM ledger.balance b WHERE b.account_id = ANY (wallets) ORDER BY b.account_id FOR UPDATE;
  n := 0;
  FOR p IN SELECT jsonb_array_elements(p_batch) LOOP
    v := buy_one(p, 'wallet');
    IF v.verdict IN ('bought', 'sold_out') THEN
      touched := touched || ARRAY(SELECT (x->>'listing')::uuid FROM jsonb_array_elements(p->'lines') x);
    END IF;
    verdict := v.verdict; group_id := v.group_id; data := v.data;
    RETURN NEXT;
    n := n + 1;
  END LOOP;
  PERFORM note_empty(touched);
END $$;

-- A purchase that waits for a card: its units are reserved, no money moves yet.
CREATE FUNCTION orders.place(p jsonb) RETURNS orders.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v verdict;
BEGIN
  v := buy_one(p, 'card');
  IF v.verdict = 'bought' THEN
    PERFORM audit.record('order.placed', 'order:' || o.id, p->>'actor', jsonb_build_object('group_id', v.group_id,
              'buyer_id', o.buyer_id, 'seller_id', o.seller_id))
      FROM orders o WHERE o.group_id = v.group_id ORDER BY o.id;
  END IF;
  IF v.verdict IN ('bought', 'sold_out') THEN
    PERFORM note_empty(ARRAY(SELECT (x->>'listing')::uuid FROM jsonb_array_elements(p->'lines') x));
  END IF;
  RETURN v;
END $$;

-- The money of a card checkout is in the buyer's wallet (in this same transaction): pay and deliver.
-- Answers delivered, already, cancelled, or sold_out (expired meanwhile, and the units are gone).
CREATE FUNCTION orders.pay_group(p_group uuid, p_funding uuid, p_actor text DEFAULT 'stripe') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  g order_group;
  is_now text;
  lines record;
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
  SELECT array_agg(i.listing_id ORDER BY i.listing_id) AS listings, array_agg(i.id ORDER BY i.listing_id) AS ids,
         array_agg(i.quantity ORDER BY i.listing_id) AS quantities
    INTO lines FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group;
  IF is_now = 'EXPIRED' THEN
    IF take_all(lines.listings, lines.ids, lines.quantities, 'SOLD', NULL) IS NOT NULL THEN
      RETURN 'sold_out';
    END IF;
  ELSE
    UPDATE inventory.stock_unit u SET state = 'SOLD', reserved_until = NULL
      WHERE u.line_id = ANY (lines.ids) AND u.state = 'RESERVED';
  END IF;
  UPDATE order_line i SET delivery_state = 'DELIVERED', escrow_state = 'HELD', delivered_at = now(),
      release_at = now() + make_interval(days => (i.terms->>'protection_days')::int)
    WHERE i.id = ANY (lines.ids);
  UPDATE orders o SET state = 'DELIVERED', paid_at = now(), delivered_at = now(), expires_at = NULL,
      closed_because = NULL
    WHERE o.group_id = p_group;
  PERFORM note_empty(lines.listings);
  PERFORM hand_over(p_group, 'card', p_actor);
  RETURN 'delivered';
END $$;

-- Gives up a group that awaits its payment: EXPIRED (its time is over and no payment is under way) or
-- CANCELLED. Units go back to stock. Answers done, not_waiting, not_yet, under_way (looked at again in a
-- while; the reservation is kept until then) or paid.
CREATE FUNCTION orders.give_up(p_group uuid, p_state text, p_because text, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  due timestamptz;
  debit boolean;  -- a bank debit is under way; it may take days
  back uuid[];
BEGIN
  PERFORM 1 FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  SELECT max(o.expires_at) INTO due FROM orders o WHERE o.group_id = p_group AND o.state = 'PENDING_PAYMENT';
  IF due IS NULL THEN RETURN 'not_waiting'; END IF;
  IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
             AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED')) THEN RETURN 'paid'; END IF;
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
      RETURN 'under_way';
    END IF;
  END IF;
  WITH freed AS (
    UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL, reserved_until = NULL
    FROM orders o JOIN order_line i ON i.order_id = o.id
    WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED' RETURNING u.listing_id)
  SELECT array_agg(DISTINCT listing_id) INTO back FROM freed;
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
  RETURN 'done';
END $$;

-- Protection ends: a held line's money goes to the seller (pending) and the marketplace (commission).
-- One release at a time in the whole database, so that no two wait for each other's accounts.
CREATE FUNCTION orders.release(p_lines uuid[], p_actor text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l order_line;
  accounts bigint[];
  amounts bigint[];
  released int := 0;
  completed int;
  touched uuid[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('orders.release'));
  FOR l IN SELECT * FROM order_line WHERE id = ANY (p_lines) AND escrow_state = 'HELD'
           ORDER BY seller_id, id FOR UPDATE LOOP
    UPDATE order_line SET escrow_state = 'RELEASED', released_at = now(),
        matures_at = now() + make_interval(days => (l.terms->>'maturity_days')::int) WHERE id = l.id;
    accounts := ARRAY[ledger.open_account('escrow', 'line:' || l.id, l.currency),
                      ledger.open_account('seller_pending', 'seller:' || l.seller_id, l.currency),
                      ledger.open_account('commission', 'platform', l.currency)];
    amounts := ARRAY[l.total, -(l.total - l.commission - l.tax), -l.commission];
    IF l.tax > 0 THEN
      accounts := accounts || ledger.open_account('tax_payable', 'platform', l.currency);
      amounts := amounts || -l.tax;
    END IF;
    PERFORM ledger.post('release', 'release:' || l.id, 'order:' || l.order_id, p_actor, accounts, amounts);
    PERFORM audit.record('line.released', 'order:' || l.order_id, p_actor, jsonb_build_object('line_id', l.id,
              'buyer_id', l.buyer_id, 'seller_id', l.seller_id));
    released := released + 1;
    touched := touched || l.order_id;
  END LOOP;
  WITH done AS (
    UPDATE orders o SET state = 'COMPLETED', completed_at = now() WHERE o.id = ANY (touched)
      AND o.state = 'DELIVERED' AND NOT EXISTS (
        SELECT 1 FROM order_line i WHERE i.order_id = o.id AND i.escrow_state NOT IN ('RELEASED', 'REFUNDED'))
    RETURNING o.*)
  SELECT count(audit.record('order.completed', 'order:' || id, p_actor,
           jsonb_build_object('group_id', group_id, 'buyer_id', buyer_id, 'seller_id', seller_id)))
    INTO completed FROM done;
  RETURN released;
END $$;

-- The release clock: at most p_limit lines whose protection is over.
CREATE FUNCTION orders.release_due(p_limit int) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
  SELECT release(ARRAY(
    SELECT id FROM order_line WHERE escrow_state = 'HELD' AND release_at <= now()
    ORDER BY release_at LIMIT p_limit), 'system')
$$;

-- Maturity: released money becomes payable. One journal per seller and currency for up to p_limit lines.
CREATE FUNCTION orders.mature_due(p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  s record;
  lines int := 0;
BEGIN
  FOR s IN
    SELECT d.seller_id, d.currency, array_agg(d.id ORDER BY d.id) AS ids,
           sum(d.total - d.refunded - d.commission - d.tax)::bigint AS net
    FROM (SELECT * FROM order_line WHERE escrow_state = 'RELEASED' AND matured_at IS NULL AND matures_at <= now()
          ORDER BY matures_at LIMIT p_limit FOR UPDATE SKIP LOCKED) d
    GROUP BY d.seller_id, d.currency ORDER BY d.seller_id, d.currency
  LOOP
    UPDATE order_line SET matured_at = now() WHERE id = ANY (s.ids);
    PERFORM audit.record('line.matured', 'order:' || i.order_id, 'system', jsonb_build_object('line_id', i.id,
              'seller_id', i.seller_id)) FROM order_line i WHERE i.id = ANY (s.ids) ORDER BY i.id;
    PERFORM ledger.post('mature', 'mature:' || s.seller_id || ':' || s.ids[1], 'seller:' || s.seller_id, 'system',
      ARRAY[ledger.open_account('seller_pending', 'seller:' || s.seller_id, s.currency),
            ledger.open_account('seller_available', 'seller:' || s.seller_id, s.currency)],
      ARRAY[s.net, -s.net]);
    lines := lines + cardinality(s.ids);
  END LOOP;
  RETURN lines;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA orders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.buy, orders.place, orders.pay_group, orders.give_up, orders.release,
  orders.release_due, orders.mature_due, orders.region_fits TO fondaco_app;
