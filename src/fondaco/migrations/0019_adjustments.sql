-- Tax on the commission, adjustments, forfeits; a wallet that is blocked while a card is being paid.

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
CREATE OR REPLACE FUNCTION orders.pay_group(p_group uuid, p_funding uuid, p_actor text DEFAULT 'stripe') RETURNS text
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

-- The rest of paid and delivered groups: entitlements, events, the buyers' carts, and the journals last. What is
-- bought on credit is owed by the buyer instead of paid from the wallet.
CREATE OR REPLACE FUNCTION orders.hand_over(p_groups uuid[], p_actors text[], p_funding text, p_from_cart boolean)
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

-- What purchases would cost now, asked together: a row per line in order, `n` the place of the question; a row
-- without a listing when there is none. p_wishes: for each question the lines {listing, quantity, price and/or
-- price_version as seen}, or null: the cart, of the user, or of the guest whose cookie has that hash. `before`:
-- the group that user bought with that key. `wallet`: what the user's wallet of the line's currency holds.
-- Whatever it is, it is read here at one moment; a cart and a wallet are told to whom they belong only.
CREATE OR REPLACE FUNCTION orders.quoted(p_users uuid[], p_guests bytea[], p_countries text[], p_idems text[], p_wishes jsonb)
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
CREATE OR REPLACE FUNCTION orders.put_in_cart(p_id uuid, p_user uuid, p_guest bytea, p_country text, p_listing uuid,
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

REVOKE ALL ON FUNCTION orders.close_group FROM PUBLIC;

ALTER TABLE sellers.seller ADD COLUMN commission_tax_bps int NOT NULL DEFAULT 0 CHECK (commission_tax_bps BETWEEN 0 AND 5000);
ALTER TABLE orders.order_line ADD COLUMN commission_tax bigint NOT NULL DEFAULT 0,
  ADD COLUMN refunded_commission_tax bigint NOT NULL DEFAULT 0;
ALTER TABLE orders.order_line DROP CONSTRAINT order_line_refunded_parts;
ALTER TABLE orders.order_line ADD CONSTRAINT order_line_refunded_parts CHECK (refunded_commission BETWEEN 0 AND commission
  AND refunded_tax BETWEEN 0 AND tax AND refunded_commission_tax BETWEEN 0 AND commission_tax
  AND refunded - refunded_commission - refunded_tax - refunded_commission_tax
    BETWEEN 0 AND total - commission - tax - commission_tax) NOT VALID;
ALTER TABLE orders.order_line VALIDATE CONSTRAINT order_line_refunded_parts;

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

-- What a seller has of a line, after what was refunded of it.
CREATE OR REPLACE FUNCTION orders.seller_part(l orders.order_line) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT l.total - l.commission - l.tax - l.commission_tax
    - (l.refunded - l.refunded_commission - l.refunded_tax - l.refunded_commission_tax)
$$;

REVOKE ALL ON FUNCTION orders.taxed FROM PUBLIC;

INSERT INTO ledger.posting_rule (journal_kind, account_kind, sign) VALUES
  ('forfeit', 'seller_available', 1), ('forfeit', 'seller_reserve', 1), ('forfeit', 'seller_pending', 1),
  ('forfeit', 'other_income', -1);

-- What finance changed of a balance, with reason and evidence; what two people took of a banned store.
CREATE TABLE refunds.adjustment (
  id          uuid PRIMARY KEY,                        -- the key of who asked for it
  kind        text NOT NULL CHECK (kind IN ('adjustment', 'forfeit')),
  user_id     uuid REFERENCES identity.users,
  seller_id   uuid REFERENCES sellers.seller,
  amount      bigint NOT NULL CHECK (amount <> 0),     -- above nothing: to them; below: from them
  currency    char(3) NOT NULL,
  why         text NOT NULL CHECK (length(why) BETWEEN 3 AND 500),
  evidence    text NOT NULL CHECK (length(evidence) BETWEEN 3 AND 5000),
  actor       text NOT NULL,
  approval_id uuid UNIQUE REFERENCES approvals.request, -- by which two people agreed
  journal_id  bigint NOT NULL UNIQUE REFERENCES ledger.journal,
  created_at  timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(user_id, seller_id) = 1),
  CONSTRAINT adjustment_forfeit CHECK (kind <> 'forfeit' OR seller_id IS NOT NULL AND amount < 0 AND approval_id IS NOT NULL)
);
CREATE INDEX adjustment_newest ON refunds.adjustment (created_at DESC, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refunds.adjustment
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE refunds.adjustment ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT, INSERT ON refunds.adjustment TO fondaco_app;
SELECT core.wall('refunds.adjustment', 'user_id', 'seller_id');
